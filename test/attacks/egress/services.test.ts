/**
 * A tenant who wants the gateway to connect where it should not: to the machine itself, to the metadata service, to
 * the gateway's own listeners. Names are a real name server's, which answers as the tenant likes.
 */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { networkInterfaces } from "node:os";
import { after, before, describe, it } from "node:test";
import { send } from "../../support/client.ts";
import { type Gateway, startGateway } from "../../support/gateway.ts";
import { type NameServer, startNameServer } from "../../support/name-server.ts";

/** Stands for the world outside: the only loopback address that is allowed. */
const WORLD = "127.0.0.2";
/** Where a machine has no network, another loopback address that is allowed stands for its own. */
const FALLBACK = "127.0.0.3";
/** An address of this machine beside the ones that its origins listen on. */
const MACHINE =
  Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ internal, family }) => !internal && family === "IPv4")?.address ?? FALLBACK;

/** What names lead to, by how often they were asked for; the last answer stays. */
const NAMES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "world.test": [[WORLD]],
  "rebinds.test": [[WORLD], ["127.0.0.1"]],
  "mixed.test": [["127.0.0.1", WORLD, "169.254.169.254"]],
  "machine.test": [[MACHINE]],
};
/** Names of which every answer is one address that is refused, with the rule. */
const REFUSED: readonly (readonly [address: string, rule: string])[] = [
  ["127.0.0.1", "loopback"],
  ["127.1.2.3", "loopback"],
  ["::1", "loopback"],
  ["::ffff:7f00:1", "loopback"],
  ["0.0.0.0", "unspecified"],
  ["::", "unspecified"],
  ["::7f00:1", "reserved"],
  ["2002:7f00:1::", "loopback"],
  ["64:ff9b::7f00:1", "loopback"],
  ["2001:0:7f00:1::1", "loopback"],
  ["169.254.169.254", "metadata"],
  ["::ffff:a9fe:a9fe", "metadata"],
  ["64:ff9b::a9fe:a9fe", "metadata"],
  ["fd00:ec2::254", "metadata"],
  ["169.254.0.7", "link_local"],
  ["fe80::1", "link_local"],
  ["224.0.0.1", "multicast"],
  ["255.255.255.255", "broadcast"],
  ["240.0.0.1", "reserved"],
];
const nameOf = (at: number) => `refused-${at}.test`;

describe("services of a tenant", () => {
  let names: NameServer;
  let server: Server;
  let gateway: Gateway;
  /** Addresses at which requests arrived. */
  const reached: string[] = [];
  let port: number;

  before(async () => {
    names = await startNameServer((name, before) => {
      const at = REFUSED.findIndex((_, i) => nameOf(i) === name);
      const answers = at < 0 ? (NAMES[name] ?? []) : [[REFUSED[at]?.[0] as string]];
      return answers[Math.min(before, answers.length - 1)] ?? [];
    });
    server = createServer((incoming, response) => {
      reached.push(incoming.socket.localAddress as string);
      if (incoming.url?.endsWith("/moved"))
        response.writeHead(302, { location: `http://127.0.0.1:${port}/` });
      response.end("world");
    });
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    port = (server.address() as { port: number }).port;
    gateway = await startGateway({
      config: { _format_version: "3.0" },
      settings: {
        data_threads: "1",
        proxy_listen: "0.0.0.0:0",
        status_listen: "0.0.0.0:0",
        dns_resolver: names.address,
        egress_allow: `${WORLD},${FALLBACK}`,
      },
    });
    await gateway.reload(config());
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
    await names[Symbol.asyncDispose]();
  });

  const service = (name: string, at = port) => ({
    name,
    host: `${name}.test`,
    port: at,
    retries: 5,
    routes: [{ name, hosts: ["acme.test"], paths: [`/${name}`] }],
  });
  const config = (egress: object | null = null, ...more: object[]) => ({
    _format_version: "3.0",
    services: [
      { name: "operators", host: "127.0.0.1", port, routes: [{ paths: ["/operators"] }] },
      { name: "own-admin", url: `${gateway.adminUrl}`, routes: [{ paths: ["/own-admin"] }] },
    ],
    workspaces: [
      {
        name: "acme",
        hosts: ["acme.test"],
        ...(egress === null ? {} : { egress }),
        services: [
          ...["world", "rebinds", "mixed"].map((name) => service(name)),
          service("machine", gateway.ports.status),
          {
            ...service("machine", gateway.ports.proxy),
            name: "machine-proxy",
            routes: [{ name: "machine-proxy", hosts: ["acme.test"], paths: ["/machine-proxy"] }],
          },
          {
            ...service("world", gateway.ports.proxy),
            name: "round",
            routes: [{ name: "round", hosts: ["acme.test"], paths: ["/round"] }],
          },
          ...REFUSED.map((_, at) => service(`refused-${at}`)),
          ...more,
        ],
      },
    ],
  });
  const get = (path: string, host = "acme.test") =>
    send(`${gateway.url}${path}`, { headers: { Host: host } });
  const lines = (name: string) =>
    gateway.logs.filter((line) => line.code === "egress_refused" && line.service === name);

  async function assertRefused(name: string, rule: string): Promise<void> {
    const before = reached.length;
    const { status, header, body } = await get(`/${name}`);
    assert.equal(status, 503);
    const id = header("X-Kong-Request-Id");
    assert.match(String(id), /^[0-9a-f]{32}$/);
    assert.deepEqual(JSON.parse(body), {
      message: "failure to get a peer from the ring-balancer",
      request_id: id,
    });
    assert.equal(reached.length, before);
    const line = await gateway.log((entry) => entry.code === "egress_refused" && entry.service === name);
    assert.equal(line.workspace, "acme");
    assert.equal(line.rule, rule);
    assert.ok(typeof line.advice === "string" && line.advice !== "");
    assert.equal((await get("/operators", "any.test")).body, "world");
  }

  for (const [at, [address, rule]] of REFUSED.entries())
    it(`a name that resolves to ${address} is a 503 and no connection`, async (t) => {
      t.diagnostic(`503, ${rule}`);
      await assertRefused(`refused-${at}`, rule);
    });

  it("a name that leads to what is allowed is served", async () => {
    assert.equal((await get("/world")).body, "world");
    assert.equal(reached.at(-1), WORLD);
  });

  it("of the addresses of one name only those are used that are allowed", async () => {
    for (let i = 0; i < 6; i++) {
      assert.equal((await get("/mixed")).body, "world");
      assert.equal(reached.at(-1), WORLD);
    }
    for (const address of ["127.0.0.1", "169.254.169.254"])
      await gateway.log((line) => line.service === "mixed" && line.address === address);
    assert.deepEqual(
      lines("mixed").map((line) => line.address),
      ["127.0.0.1", "169.254.169.254"],
    );
  });

  it("a name that is bound to loopback once it was served is refused from then on, kept connections included", async () => {
    assert.equal((await get("/rebinds")).body, "world");
    let answer = await get("/rebinds");
    while (answer.status === 200) {
      assert.equal(reached.at(-1), WORLD);
      answer = await get("/rebinds");
    }
    await assertRefused("rebinds", "loopback");
  });

  for (const name of ["machine", "machine-proxy", "round"])
    it(`the gateway's own listeners are refused by any address (${name})`, () =>
      assertRefused(name, "own_listener"));

  it("the operator's own services lead to the Admin API if that is configured", async () => {
    const { status } = await get("/own-admin/status", "127.0.0.1");
    assert.equal(status, 200);
  });

  it("a redirect of an upstream is the client's to follow", async () => {
    const before = reached.length;
    const { status, header } = await get("/world/moved");
    assert.equal(status, 302);
    assert.equal(header("Location"), `http://127.0.0.1:${port}/`);
    assert.equal(reached.length, before + 1);
  });

  it("refused requests are told once in the log, and counted", async () => {
    for (let i = 0; i < 20; i++) assert.equal((await get("/refused-0")).status, 503);
    assert.equal(lines("refused-0").length, 1);
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    assert.match(
      body,
      /gatehouse_egress_refused_total\{[^}]*workspace="acme"[^}]*purpose="configuration"[^}]*rule="loopback"[^}]*\} [1-9]/,
    );
  });

  for (const [what, url] of [
    ["the Admin API", () => gateway.adminUrl],
    ["the Status API by the machine's address", () => `http://${MACHINE}:${gateway.ports.status}`],
    ["the proxy by an address that is allowed", () => `http://${WORLD}:${gateway.ports.proxy}`],
    ["loopback", () => "http://127.0.0.1:1"],
  ] as const) {
    it(`a configuration that names ${what} outright is refused as a whole, and the old one serves on`, async () => {
      const text = JSON.stringify(config({ allow: [WORLD] }, { name: "attack", url: url() }));
      const headers = { "content-type": "application/json" };
      const { status, body } = await send(`${gateway.adminUrl}/config`, {
        method: "POST",
        headers,
        body: text,
      });
      assert.equal(status, 400);
      assert.match(body, /which a workspace other than 'default' may not connect to/);
      assert.equal((await get("/world")).body, "world");
    });
  }

  it("a policy that changes holds for the next request, though a connection is kept", async () => {
    assert.equal((await get("/world")).body, "world");
    await gateway.reload(config({ deny: [WORLD] }));
    await assertRefused("world", "denied");
    await gateway.reload(config());
    assert.equal((await get("/world")).body, "world");
  });
});
