/** The connector over TLS: the address is the one that was allowed, the name is what is verified. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { Agent, request } from "undici";
import { Egress } from "../../src/egress/egress.ts";
import { Policies } from "../../src/egress/policies.ts";
import { Resolver } from "../../src/upstream/resolver.ts";
import { Authority } from "../support/certificates.ts";
import { type NameServer, startNameServer } from "../support/name-server.ts";

describe("requests over TLS", () => {
  let authority: Authority;
  let names: NameServer;
  let server: Server;
  let agent: Agent;
  let egress: Egress;
  let port: number;
  const refused: { host: string; asker: string; first: boolean }[] = [];

  before(async () => {
    authority = await Authority.create();
    names = await startNameServer((name) => (name === "bad.test" ? ["127.0.0.1"] : ["127.0.0.2"]));
    const pair = await authority.issue("server", ["DNS:good.test", "IP:127.0.0.2"]);
    server = createServer(pair, (incoming, response) => {
      const { servername, localAddress } = incoming.socket as TLSSocket & { servername?: string | false };
      response.end(`${servername || "no name"} at ${localAddress}`);
    });
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    port = (server.address() as { port: number }).port;
    egress = new Egress({
      policies: Policies.of({ egressAllow: [], egressDeny: [], egressGuestAllow: ["127.0.0.2"] }),
      resolver: new Resolver({ servers: [names.address], hostsFile: "/dev/null" }),
      onRefused: (_refusal, host, asker, first) => refused.push({ host, asker, first }),
    });
    const ca = [await readFile(authority.file, "utf8")];
    agent = new Agent({ connect: egress.connector("acme", "guest", "plugin 'p'", { ca }) });
  });
  after(async () => {
    await agent.destroy();
    server.closeAllConnections();
    server.close();
    await names[Symbol.asyncDispose]();
    await authority[Symbol.asyncDispose]();
  });

  const get = async (host: string) => {
    const { body } = await request(`https://${host}:${port}/`, { dispatcher: agent as never });
    return body.text();
  };

  it("a server is asked for by its name, and verified by it", async () => {
    assert.equal(await get("good.test"), "good.test at 127.0.0.2");
  });

  it("an address is verified as one", async () => {
    assert.equal(await get("127.0.0.2"), "no name at 127.0.0.2");
  });

  it("a certificate for another name is refused", async () => {
    await assert.rejects(get("other.test"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  });

  it("an authority that cannot be read fails the request, and nothing else", async () => {
    const broken = new Agent({
      connect: egress.connector("acme", "guest", "plugin 'p'", {
        ca: ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
      }),
    });
    await assert.rejects(request(`https://good.test:${port}/`, { dispatcher: broken as never }));
    await broken.destroy();
  });

  it("what does not speak HTTP gets the addresses that it may connect to", async () => {
    const of = (host: string) => egress.addresses("acme", "guest", "a test", { host, port });
    assert.deepEqual(await of("good.test"), ["127.0.0.2"]);
    assert.deepEqual(await of("127.0.0.2"), ["127.0.0.2"]);
    for (const host of ["127.0.0.1", "localhost", "10.0.0.1"])
      await assert.rejects(of(host), { code: "egress_refused" });
    refused.length = 0;
  });

  it("what is refused is told again and again, and marked as told after the first time", async () => {
    for (let i = 0; i < 3; i++) await assert.rejects(get("bad.test"), { code: "egress_refused" });
    assert.deepEqual(
      refused,
      [true, false, false].map((first) => ({ host: "bad.test", asker: "plugin 'p'", first })),
    );
  });
});
