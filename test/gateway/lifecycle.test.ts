/** How the gateway starts, says where it listens, drains, and refuses to start. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { send } from "../support/client.ts";
import { Gateway, type GatewayOptions, startGateway, startRefused } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";

const configFor = (url: string) => ({
  _format_version: "3.0",
  services: [{ name: "s", url, routes: [{ name: "r", paths: ["/"] }] }],
});
const NOWHERE = configFor("http://127.0.0.1:1");

async function isRefused(port: number): Promise<boolean> {
  try {
    await using _client = await openRaw(port);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  }
}

describe("start", () => {
  it("port 0 is any port, shared by all data threads, written to ports.json", async () => {
    await using origin = await startOrigin((_received, response) => void response.end("ok"));
    await using gateway = await startGateway({
      config: configFor(origin.url),
      settings: { data_threads: "2" },
    });
    const ports = JSON.parse(await readFile(join(gateway.prefix, "ports.json"), "utf8"));
    assert.deepEqual(ports, gateway.ports);
    assert.equal((await send(`http://127.0.0.1:${ports.proxy}`)).body, "ok");
    assert.equal((await send(`http://127.0.0.1:${ports.status}/status/ready`)).status, 200);
  });

  it("a configuration with faults starts nothing and names them all", async () => {
    const { code, output } = await startRefused({
      config: `_format_version: "3.0"
services:
  - name: s
    url: http://a.test
    routes:
      - name: r
        paths: [no-slash]
  - name: s
    url: http://b.test
    retires: 3
`,
    });
    assert.equal(code, 1);
    assert.match(output, /kong\.yaml:7:\d+/);
    assert.match(output, /kong\.yaml:10:\d+.*retires/);
    assert.match(output, /kong\.yaml:8:\d+/);
    assert.doesNotMatch(output, /"ready"/);
    assert.doesNotMatch(output, /\n {4}at /, "a stack trace says nothing to an operator");
  });

  for (const [title, settings, words] of [
    ["an unknown setting", { data_treads: "2" }, /DATA_TREADS.*data_threads/i],
    ["an address that is none", { proxy_listen: "x" }, /PROXY_LISTEN.*ip:port/],
    ["a value that cannot be read", { data_threads: "many" }, /DATA_THREADS/],
    ["an Admin API that others could reach", { admin_listen: "0.0.0.0:0" }, /admin_listen/],
  ] as const) {
    it(`${title} is refused with exit code 2`, async () => {
      const { code, output } = await startRefused({ config: NOWHERE, settings });
      assert.equal(code, 2);
      assert.match(output, words);
    });
  }

  it("a second gateway on the port of a running one is refused and takes none of its requests", async () => {
    await using first = await startGateway({ config: { _format_version: "3.0" } });
    const refused = await startRefused({
      config: { _format_version: "3.0" },
      settings: { proxy_listen: `127.0.0.1:${first.ports.proxy}` },
    });
    assert.equal(refused.code, 1);
    assert.match(refused.output, /proxy_listen: .*EADDRINUSE/);
  });

  it("a port that is taken is named, in one sentence, with exit code 1", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    try {
      for (const setting of ["proxy_listen", "admin_listen", "status_listen"]) {
        const { code, output } = await startRefused({
          config: NOWHERE,
          settings: { [setting]: `127.0.0.1:${port}` },
        });
        assert.equal(code, 1);
        assert.match(output, new RegExp(`${setting}.*${port}`));
        assert.doesNotMatch(output, /\n {4}at /, "a stack trace says nothing to an operator");
      }
    } finally {
      taken.close();
    }
  });
});

describe("stop", () => {
  /** A gateway before an upstream that answers when it is told to. */
  async function startSlow(settings: GatewayOptions["settings"] = {}) {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const origin = await startOrigin(async (received, response) => {
      if (received.url === "/slow") {
        ask();
        await gate;
      }
      response.end("ok");
    });
    const gateway = await startGateway({
      config: configFor(origin.url),
      settings: { data_threads: "2", ...settings },
    });
    return { origin, gateway, asked, open };
  }

  it("SIGTERM: what is in flight finishes, new connections are refused, the exit code is 0", async () => {
    const { origin, gateway, asked, open } = await startSlow();
    await using _origin = origin;
    await using _gateway = gateway;
    await using idle = await openRaw(gateway.ports.proxy);
    idle.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await idle.read()).status, 200);
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    await asked;
    const stopped = gateway.stop();
    await idle.closed();
    await gateway.log((line) => line.msg === "draining");
    while (!(await isRefused(gateway.ports.proxy))) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal((await send(`${gateway.statusUrl}/status/ready`)).status, 503);
    open();
    const answer = await client.read();
    assert.equal(answer.body.toString(), "ok");
    assert.equal(new Map(answer.headers).get("Connection"), "close");
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });

  it("a second SIGTERM changes nothing: what is in flight still finishes", async () => {
    const { origin, gateway, asked, open } = await startSlow();
    await using _origin = origin;
    await using _gateway = gateway;
    const pending = send(`${gateway.url}/slow`);
    await asked;
    const stopped = gateway.stop();
    await gateway.log((line) => line.msg === "draining");
    process.kill(gateway.pid, "SIGTERM");
    while (!(await isRefused(gateway.ports.proxy))) await new Promise((resolve) => setTimeout(resolve, 10));
    open();
    assert.equal((await pending).body, "ok");
    assert.equal((await stopped).code, 0);
  });

  it("what does not finish within drain_timeout_ms is cut off, and the log says so", async () => {
    const { origin, gateway, asked } = await startSlow({ drain_timeout_ms: "300" });
    await using _origin = origin;
    await using _gateway = gateway;
    const pending = assert.rejects(send(`${gateway.url}/slow`));
    await asked;
    assert.equal((await gateway.stop()).code, 0);
    await pending;
    assert.match(gateway.output(), /cut off/);
  });

  it("SIGTERM while it starts ends it without a crash", async () => {
    for (const delayMs of [150, 300, 450, 600]) {
      await using gateway = await Gateway.spawn({ config: NOWHERE });
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      const { code, signal } = await gateway.stop();
      assert.ok(code === 0 || signal === "SIGTERM", `${code} ${signal} ${gateway.output()}`);
      assert.doesNotMatch(gateway.output(), /Error/);
    }
  });
});

describe("access log", () => {
  it("one line of JSON for each request, complete when the gateway has ended, without query strings", async () => {
    await using origin = await startOrigin((_received, response) => void response.end("hello"));
    await using gateway = await startGateway({
      config: {
        _format_version: "3.0",
        consumers: [{ username: "alice", keyauth_credentials: [{ key: "s3cret-key" }] }],
        services: [
          {
            name: "shop",
            url: origin.url,
            routes: [
              { name: "open", paths: ["/open"] },
              { name: "locked", paths: ["/locked"], plugins: [{ name: "key-auth" }] },
            ],
          },
        ],
      },
      settings: { data_threads: "2" },
    });
    const paths = [
      "/open/a?apikey=s3cret-key",
      "/locked?apikey=s3cret-key",
      "/locked?x=y",
      "/none?token=s3cret-key",
    ];
    for (let i = 0; i < 5; i++)
      for (const path of paths) await send(gateway.url + path, { method: "POST", body: "abc" });
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /open?key=s3cret-key HTTP/9.9\r\n\r\n");
    await client.read();
    const last = await send(`${gateway.url}/open/last`);
    await gateway.stop();
    const text = await readFile(join(gateway.prefix, "logs", "access.log"), "utf8");
    assert.doesNotMatch(text, /s3cret|\?/);
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(lines.length, 22);
    const found = (path: string, status: number) =>
      lines.filter((line) => line.path === path && line.status === status);
    assert.equal(found("/open/a", 200).length, 5);
    assert.equal(found("/locked", 200).length, 5);
    assert.equal(found("/locked", 401).length, 5);
    assert.equal(found("/none", 404).length, 5);
    const { time, request_id, total_ms, upstream_ms, request_bytes, response_bytes, ...rest } = found(
      "/locked",
      200,
    )[0];
    assert.ok(request_bytes > 60 && response_bytes > 60, "heads count as the bytes that they are");
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000);
    assert.match(request_id, /^[0-9a-f]{32}$/);
    assert.ok(total_ms >= upstream_ms && upstream_ms >= 0);
    assert.deepEqual(rest, {
      client_ip: "127.0.0.1",
      method: "POST",
      path: "/locked",
      status: 200,
      workspace: "default",
      route: "locked",
      service: "shop",
      consumer: "alice",
      source: "service",
    });
    assert.equal(found("/open/last", 200)[0].request_id, last.header("x-kong-request-id"));
  });
});
