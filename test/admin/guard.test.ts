/** What a web page in the operator's browser may not do to the Admin API, and bounds on what anybody may send. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { startAdmin, YAML } from "./gateway.ts";

const HOSTS: [host: string, status: number][] = [
  ["localhost", 200],
  ["LOCALHOST:8001", 200],
  ["127.0.0.1:8001", 200],
  ["[::1]:8001", 200],
  ["127.0.0.2", 200],
  ["10.0.0.1", 403],
  ["[::2]", 403],
  ["console.example.com", 200],
  ["evil.example", 403],
  ["127.0.0.1.evil.example:8001", 403],
  ["localhost.evil.example", 403],
  ["evil.example#localhost", 403],
  ["localhost@evil.example", 403],
];

for (const [host, status] of HOSTS) {
  test(`a request for Host '${host}' is answered with ${status}`, async () => {
    const { call } = await startAdmin({ allowedHosts: ["console.example.com"] });
    const reply = await call("GET", "/", { headers: { host } });
    assert.equal(reply.status, status);
    if (status === 403) assert.match(reply.json.message ?? "", /admin_allowed_hosts/);
  });
}

test("a page of a foreign origin can neither read nor write, whatever it claims", async () => {
  const { call, config, port } = await startAdmin();
  const body = '_format_version: "3.0"\nservices:\n- {name: a, url: "http://a.example"}\n';
  for (const origin of [
    "https://evil.example",
    "null",
    `http://127.0.0.1:${port + 1}`,
    `https://127.0.0.1:${port}`,
  ]) {
    const write = await call("POST", "/config", { headers: { ...YAML, origin }, body });
    assert.equal(write.status, 403, origin);
    assert.match(write.json.message ?? "", /admin_allowed_origins/);
    const read = await call("GET", "/services", { headers: { origin } });
    assert.equal(read.status, 403, origin);
    const preflight = await call("OPTIONS", "/config", {
      headers: { origin, "access-control-request-method": "POST" },
    });
    assert.equal(preflight.status, 403, origin);
    for (const { headers } of [write, read, preflight])
      assert.equal(headers["access-control-allow-origin"], undefined);
  }
  assert.equal(config().services.length, 0);
});

test("a page of an allowed origin may read, write and ask first", async () => {
  const origin = "https://console.example.com";
  const { call } = await startAdmin({ allowedOrigins: [origin] });
  const reply = await call("GET", "/services", { headers: { origin } });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers["access-control-allow-origin"], origin);
  assert.equal(reply.headers.vary, "Origin");
  const preflight = await call("OPTIONS", "/config", {
    headers: { origin, "access-control-request-method": "POST" },
  });
  assert.equal(preflight.status, 204);
  assert.match(String(preflight.headers["access-control-allow-methods"]), /POST/);
});

test("the Admin API's own origin is not foreign", async () => {
  const { call, port } = await startAdmin();
  const host = `127.0.0.1:${port}`;
  const reply = await call("GET", "/services", { headers: { host, origin: `http://${host}` } });
  assert.equal(reply.status, 200);
});

/** What the server answers to these bytes, until it closes. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let answer = "";
  socket.setEncoding("latin1").on("data", (chunk) => {
    answer += chunk;
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write(bytes);
  await closed;
  return answer;
}

test("a request without a Host is refused, in either version of HTTP", async () => {
  const { port } = await startAdmin();
  assert.match(await exchange(port, "GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 403 /);
  assert.match(
    await exchange(port, "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"),
    /^HTTP\/1\.1 403 /,
  );
  assert.match(await exchange(port, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"), /^HTTP\/1\.1 400 /);
});

test("an error of the gateway's own is 500 without a trace of its insides, and is logged", async () => {
  const { call, logged } = await startAdmin({
    forge: async () => {
      throw new Error("secret detail at /var/lib/gatehouse");
    },
  });
  const { packageOf } = await import("../registry/packages.ts");
  const reply = await call("POST", "/plugin-packages", {
    headers: { "content-type": "application/gzip" },
    body: await packageOf(),
  });
  assert.deepEqual([reply.status, reply.json], [500, { message: "An unexpected error occurred" }]);
  assert.match(JSON.stringify(logged), /secret detail/);
  assert.equal((await call("GET", "/")).status, 200);
});

test("bytes that are no request end that connection and nobody else's", async () => {
  const { call, port } = await startAdmin();
  assert.match(await exchange(port, "nonsense\r\n\r\n"), /^HTTP\/1\.1 400 /);
  assert.equal((await call("GET", "/")).status, 200);
});

test("a head longer than 32 KiB is refused", async () => {
  const { call } = await startAdmin();
  assert.equal((await call("GET", "/", { headers: { "x-long": "a".repeat(40_000) } })).status, 431);
});

for (const path of ["/services/%zz", "/services/%ff", "/%c0%af", `/services/${"a".repeat(5000)}`])
  test(`a path that cannot be read is refused, and nothing is told of what reads it: ${path.slice(0, 20)}`, async () => {
    const { call } = await startAdmin();
    const { status, json, headers } = await call("GET", path);
    assert.ok([400, 414].includes(status), String(status));
    assert.deepEqual(Object.keys(json), ["message"]);
    assert.equal(headers["x-content-type-options"], "nosniff");
  });
