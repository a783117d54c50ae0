/**
 * A guest whose manifest was granted every host that it asks for, and who asks for those that nobody means: this
 * machine, the metadata service, the gateway itself, in every spelling, by names that turn, and by redirects.
 */
import assert from "node:assert/strict";
import { createServer, type Server, type ServerResponse } from "node:http";
import { after, before, describe, it } from "node:test";
import { packFiles, publish } from "../../gateway/packages.ts";
import { bundleSource } from "../../sandbox/sandbox.ts";
import { send } from "../../support/client.ts";
import { type Gateway, startGateway } from "../../support/gateway.ts";
import { type NameServer, startNameServer } from "../../support/name-server.ts";

/** Stands for the world outside: the only addresses that guests may reach. */
const WORLD = "127.0.0.2";
/** What names lead to, by how often they were asked for; the last answer stays. */
const NAMES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "world.test": [[WORLD]],
  "other.test": [[WORLD]],
  "loopback.test": [["127.0.0.1"]],
  "six.test": [["::1"]],
  "mapped.test": [["::ffff:7f00:1"]],
  "nat64.test": [["64:ff9b::7f00:1"]],
  "private.test": [["10.0.0.1"]],
  "metadata.test": [["169.254.169.254"]],
  "rebinds.test": [[WORLD], ["127.0.0.1"]],
};

/** Fetches what the request asks for, and answers with what came of it. */
const GUEST = `import { definePlugin, record, reply } from "@gatehouse/sdk";
export default definePlugin({ name: "caller", version: "1.0.0", priority: 1, schema: record({}),
  create(config, host) {
    return { async access(ctx) {
      const request = JSON.parse(ctx.request.headers.get("x-fetch"));
      try {
        const { status, body } = await host.fetch(request);
        const text = [...body].slice(0, 1000).map((code) => String.fromCharCode(code)).join("");
        return reply(200, { status, text });
      } catch (error) {
        return reply(200, { error: String(error.message) });
      }
    } };
  } });`;

interface Outcome {
  readonly status?: number;
  readonly text?: string;
  readonly error?: string;
}

describe("requests of a guest", () => {
  let names: NameServer;
  let server: Server;
  let gateway: Gateway;
  let port: number;
  /** Where requests arrived, in order. */
  const reached: { address: string; url: string; host: string }[] = [];

  before(async () => {
    names = await startNameServer((name, before) => {
      const answers = NAMES[name] ?? [];
      return answers[Math.min(before, answers.length - 1)] ?? [];
    });
    server = createServer((incoming, response) => {
      const url = incoming.url as string;
      reached.push({
        address: incoming.socket.localAddress as string,
        url,
        host: incoming.headers.host as string,
      });
      answer(url, response);
    });
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    port = (server.address() as { port: number }).port;
    gateway = await startGateway({
      config: config([]),
      settings: {
        data_threads: "1",
        status_listen: "0.0.0.0:0",
        dns_resolver: names.address,
        egress_guest_allow: WORLD,
        unfenced_uploads: "acme",
        // What is looked at here is where requests go, on a machine that may be busy.
        plugin_limits: "cpu_ms=10000,wall_ms=10000,cpu_ms_per_second=0",
      },
    });
    const hosts = [
      ...Object.keys(NAMES),
      ...["127.0.0.1", "[::1]", "0.0.0.0", "[::]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"],
      ...["169.254.169.254", "10.0.0.1", "localhost", "[fd00:ec2::254]"],
    ];
    const manifest = {
      ...{ manifest: 1, name: "caller", version: "1.0.0", runtime: "isolate", entry: "plugin.js" },
      phases: ["access"],
      grants: {
        request_headers: ["x-fetch"],
        http_hosts: [
          ...hosts.filter((host) => host !== "other.test").map((host) => `${host}:${port}`),
          `127.0.0.1:${gateway.ports.admin}`,
          `${WORLD}:${gateway.ports.status}`,
        ],
      },
    };
    const source = Buffer.from(await bundleSource(GUEST));
    for (const workspace of [undefined, "acme"])
      await publish(gateway, await packFiles(manifest, "plugin.js", source), workspace);
    await gateway.reload(config([{ name: "caller@1.0.0" }]));
    // Starting a guest has a time of its own, which a machine that is busy may exceed: its calls then fail.
    for (const host of ["acme.test", "operators.test"])
      for (let left = 5; left > 0 && (await answered({}, host)).status !== 200; left--);
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
    await names[Symbol.asyncDispose]();
  });

  function answer(url: string, response: ServerResponse): void {
    const to = /^\/to\/(.+)$/.exec(url)?.[1];
    if (to !== undefined) return void response.writeHead(302, { location: decodeURIComponent(to) }).end();
    if (url === "/round") return void response.writeHead(307, { location: "/round" }).end();
    if (url !== "/endless") return void response.end("world");
    response.writeHead(200);
    const more = () => {
      while (response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  }

  function config(plugins: readonly object[]) {
    const service = { name: "s", url: `http://127.0.0.1:1` };
    return {
      _format_version: "3.0",
      services: [{ ...service, routes: [{ name: "operators", hosts: ["operators.test"], plugins }] }],
      workspaces: [
        {
          name: "acme",
          hosts: ["acme.test"],
          services: [{ ...service, routes: [{ name: "tenants", hosts: ["acme.test"], plugins }] }],
        },
      ],
    };
  }

  const answered = (request: object, host: string) =>
    send(`${gateway.url}/`, { headers: { Host: host, "X-Fetch": JSON.stringify(request) } });

  async function fetched(request: object, host = "acme.test"): Promise<Outcome> {
    const { status, body } = await answered(request, host);
    assert.equal(status, 200, `${body}\n${gateway.output()}`);
    return JSON.parse(body) as Outcome;
  }

  const good: Outcome = { status: 200, text: "world" };
  const assertWell = async (host?: string) =>
    assert.deepEqual(await fetched({ url: `http://world.test:${port}/` }, host), good);

  it("reach what they may", async () => {
    await assertWell();
    await assertWell("operators.test");
    assert.ok(reached.every(({ address }) => address === WORLD));
  });

  const attacks: readonly (readonly [what: string, url: () => string])[] = [
    ...["127.0.0.1", "[::1]", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"].map(
      (host) => [host, () => `http://${host}:${port}/`] as const,
    ),
    ...["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.0.1", "127.0.0.1.", "LOCALHOST"].map(
      (host) => [`${host}, which is this machine`, () => `http://${host}:${port}/`] as const,
    ),
    ...["169.254.169.254", "[fd00:ec2::254]", "2852039166", "10.0.0.1"].map(
      (host) => [host, () => `http://${host}:${port}/latest/meta-data/`] as const,
    ),
    ...Object.keys(NAMES)
      .filter((name) => !["world.test", "other.test", "rebinds.test"].includes(name))
      .map((name) => [`${name}: ${NAMES[name]?.[0]?.[0]}`, () => `http://${name}:${port}/`] as const),
    ["a host that is not granted", () => `http://other.test:${port}/`],
    ["a granted host on another port", () => `http://world.test:${gateway.ports.status}/status`],
    ["the Admin API", () => `http://127.0.0.1:${gateway.ports.admin}/`],
    ["the Status API by an address that guests may reach", () => `http://${WORLD}:${gateway.ports.status}/`],
    ["a user in the URL", () => `http://world.test:${port}@127.0.0.1:${port}/`],
    ["a line end in the URL", () => `http://world.test:${port}/ HTTP/1.1\r\nX: y`],
    ["a backslash in the URL", () => `http://127.0.0.1:${port}\\@world.test:${port}/`],
    ["a file", () => "file:///etc/passwd"],
    ["a socket of the system", () => "http://unix:/run/docker.sock:/info"],
    ["an abstract socket", () => "http://%00gatehouse/"],
    ...[
      ["loopback", () => `http://127.0.0.1:${port}/`],
      ["a name that leads to loopback", () => `http://loopback.test:${port}/`],
      ["a host that is not granted", () => `http://other.test:${port}/`],
      ["the same without a scheme", () => `//other.test:${port}/`],
      ["the Admin API", () => `http://127.0.0.1:${gateway.ports.admin}/`],
      ["a file", () => "file:///etc/passwd"],
    ].map(
      ([what, to]) =>
        [
          `a redirect to ${what}`,
          () => `http://world.test:${port}/to/${encodeURIComponent((to as () => string)())}`,
        ] as const,
    ),
    ["redirects without end", () => `http://world.test:${port}/round`],
    ["an answer without end", () => `http://world.test:${port}/endless`],
  ];
  for (const [what, url] of attacks) {
    for (const host of ["acme.test", "operators.test"]) {
      it(`of ${host === "acme.test" ? "a tenant" : "the operator"} come to nothing: ${what}`, async (t) => {
        const from = reached.length;
        const outcome = await fetched({ url: url() }, host);
        assert.match(String(outcome.error), /^fetch: /);
        t.diagnostic(String(outcome.error));
        assert.doesNotMatch(String(outcome.error), /127\.0\.0\.1(?!:|\.)/);
        const touched = reached.slice(from);
        assert.ok(touched.every(({ address, host }) => address === WORLD && host === `world.test:${port}`));
        await assertWell(host);
      });
    }
  }

  it("a name that turns to loopback is refused from then on", async () => {
    const url = `http://rebinds.test:${port}/`;
    assert.deepEqual(await fetched({ url }), good);
    let error: string | undefined;
    while (error === undefined) {
      // A kept connection leads where it was allowed to lead; only a new one asks again.
      server.closeIdleConnections();
      ({ error } = await fetched({ url }));
    }
    assert.match(error, /policy does not allow/);
    assert.ok(reached.every(({ address }) => address === WORLD));
  });

  for (const [what, more] of [
    ["Host", { headers: [["Host", "127.0.0.1"]] }],
    ["a line end in a header", { headers: [["X-A", "b\r\nHost: 127.0.0.1"]] }],
    ["a line end in a header's name", { headers: [["X-A: b\r\nX", "c"]] }],
    ["Content-Length", { method: "POST", headers: [["Content-Length", "0"]], body: "x" }],
    ["Transfer-Encoding", { method: "POST", headers: [["Transfer-Encoding", "chunked"]], body: "x" }],
    ["Connection", { headers: [["Connection", "upgrade"]] }],
    ["a method that tunnels", { method: "CONNECT" }],
    ["a method with a line end", { method: "GET / HTTP/1.1\r\nX: y\r\n\r\nGET" }],
  ] as const) {
    it(`write no request beside their own: ${what}`, async (t) => {
      const from = reached.length;
      const { error } = await fetched({ url: `http://world.test:${port}/`, ...more });
      assert.notEqual(error, undefined);
      t.diagnostic(String(error));
      assert.deepEqual(reached.slice(from), []);
      await assertWell();
    });
  }

  it("what was refused stands in the log with its workspace and rule, and is counted", async () => {
    for (const [workspace, rule] of [
      ["acme", "loopback"],
      ["default", "metadata"],
      ["acme", "own_listener"],
      ["default", "private"],
    ]) {
      const line = await gateway.log(
        (entry) => entry.code === "egress_refused" && entry.workspace === workspace && entry.rule === rule,
      );
      assert.equal(line.asker, "plugin 'caller'");
    }
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    assert.match(
      body,
      /gatehouse_egress_refused_total\{[^}]*purpose="guest"[^}]*rule="loopback"[^}]*\} [1-9]/,
    );
  });
});
