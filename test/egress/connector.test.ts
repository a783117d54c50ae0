/** Requests that the gateway makes itself: by a real agent of undici, with real names from a real name server. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, describe, it } from "node:test";
import { Agent, interceptors, request } from "undici";
import { EgressRefusedError, egressConnector } from "../../src/egress/connector.ts";
import { Policies } from "../../src/egress/policies.ts";
import type { Refusal } from "../../src/egress/policy.ts";
import { Resolver } from "../../src/upstream/resolver.ts";
import { type NameServer, startNameServer } from "../support/name-server.ts";

/** Addresses that a name has, one list for each time it is asked for; the last one stays. */
const NAMES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "good.test": [["127.0.0.2"]],
  "bad.test": [["127.0.0.1"]],
  "rebinds.test": [["127.0.0.2"], ["127.0.0.1"]],
  "mixed.test": [["127.0.0.1", "10.0.0.1", "127.0.0.2"]],
  "six.test": [["::1"]],
  "mapped.test": [["::ffff:7f00:1"]],
  "first-is-dead.test": [["127.0.0.3", "127.0.0.2"]],
};

describe("the connector", () => {
  let names: NameServer;
  let server: Server;
  let port: number;
  /** Addresses at which requests arrived. */
  let reached: string[] = [];
  let refused: (Refusal & { host: string })[] = [];
  const agents: Agent[] = [];

  before(async () => {
    names = await startNameServer((name, before) => {
      const answers = NAMES[name] ?? [];
      return answers[Math.min(before, answers.length - 1)] ?? [];
    });
    server = createServer((incoming, response) => {
      reached.push(incoming.socket.localAddress as string);
      const to = /^\/to\/(.+)$/.exec(incoming.url as string)?.[1];
      if (to !== undefined)
        response.writeHead(302, { location: `http://${decodeURIComponent(to)}:${port}/` });
      response.end(incoming.headers.host);
    });
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    port = (server.address() as { port: number }).port;
  });
  after(async () => {
    await Promise.all(agents.map((agent) => agent.destroy()));
    server.closeAllConnections();
    server.close();
    await names[Symbol.asyncDispose]();
  });

  /** Guests may go to 127.0.0.2 and 127.0.0.3, which stand for the world outside. */
  function open(resolver = new Resolver({ servers: [names.address], hostsFile: "/etc/hosts" })): Agent {
    const policies = Policies.of({
      egressAllow: [],
      egressDeny: [],
      egressGuestAllow: ["127.0.0.2", "127.0.0.3"],
    });
    reached = [];
    refused = [];
    const agent = new Agent({
      connect: egressConnector({
        policy: () => policies.named("acme", "guest"),
        resolver,
        onRefused: (refusal, host) => refused.push({ ...refusal, host }),
      }),
    });
    agents.push(agent);
    return agent;
  }

  const get = async (host: string, dispatcher = open(), path = "/") => {
    const { statusCode, body } = await request(`http://${host}:${port}${path}`, {
      dispatcher: dispatcher as never,
    });
    return { status: statusCode, text: await body.text() };
  };

  it("connects to the address that was allowed, and asks for the name", async () => {
    assert.deepEqual(await get("good.test"), { status: 200, text: `good.test:${port}` });
    assert.deepEqual(reached, ["127.0.0.2"]);
    assert.deepEqual(refused, []);
  });

  it("takes the next address where one does not answer", async () => {
    server.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.2", resolve));
    assert.equal((await get("first-is-dead.test")).status, 200);
    assert.deepEqual(reached, ["127.0.0.2"]);
    server.close();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.listen(port, "0.0.0.0", resolve));
  });

  for (const [host, rule] of [
    ["127.0.0.1", "loopback"],
    ["[::1]", "loopback"],
    ["[::ffff:127.0.0.1]", "loopback"],
    ["[::127.0.0.1]", "reserved"],
    ["0.0.0.0", "unspecified"],
    ["[::]", "unspecified"],
    ["2130706433", "loopback"],
    ["0x7f000001", "loopback"],
    ["0177.0.0.1", "loopback"],
    ["127.1", "loopback"],
    ["①②⑦.0.0.1", "loopback"],
    ["169.254.169.254", "metadata"],
    ["[fd00:ec2::254]", "metadata"],
    ["10.0.0.1", "private"],
    ["100.64.0.1", "shared"],
    ["localhost", "loopback"],
    ["LOCALHOST", "loopback"],
    ["bad.test", "loopback"],
    ["six.test", "loopback"],
    ["mapped.test", "loopback"],
  ] as const) {
    it(`does not connect to ${host} (${rule})`, async () => {
      await assert.rejects(
        get(host),
        (error) => error instanceof EgressRefusedError && error.refusal.rule === rule,
      );
      assert.deepEqual(reached, []);
      assert.equal(refused.length, 1);
    });
  }

  it("of several addresses of a name, connects to none that is refused", async () => {
    assert.equal((await get("mixed.test")).status, 200);
    assert.deepEqual(reached, ["127.0.0.2"]);
  });

  it("a name that leads elsewhere the next time is refused then, and never connected to", async () => {
    const resolver = new Resolver({ servers: [names.address], hostsFile: "/etc/hosts" });
    assert.equal((await get("rebinds.test", open(resolver))).status, 200);
    // The answer holds for a second; an agent of its own each time, so that no kept connection serves.
    let error: unknown = null;
    while (error === null) error = await get("rebinds.test", open(resolver)).then(() => null, String);
    assert.match(String(error), /EgressRefusedError/);
    assert.equal(names.asked.filter((name) => name === "rebinds.test").length, 2);
    assert.ok(!reached.includes("127.0.0.1"));
  });

  it("the message names no address that the caller did not write", async () => {
    await assert.rejects(get("bad.test"), (error: Error) => !error.message.includes("127."));
  });

  for (const to of ["127.0.0.1", "bad.test", "[::1]"]) {
    it(`a redirect to ${to} is refused where it is followed`, async () => {
      const dispatcher = open().compose(interceptors.redirect({ maxRedirections: 3 }));
      const path = `/to/${encodeURIComponent(to)}`;
      await assert.rejects(get("good.test", dispatcher as never, path), EgressRefusedError);
      assert.deepEqual(reached, ["127.0.0.2"]);
    });
  }

  it("a name that does not resolve is no refusal", async () => {
    await assert.rejects(get("nobody.test"), { code: "name_resolution" });
    assert.deepEqual(refused, []);
  });
});
