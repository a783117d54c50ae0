/** The Status API: readiness before, while and after serving, status, and metrics as text. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createStatusApi } from "../../src/admin/status-api.ts";
import { call } from "./gateway.ts";

async function start() {
  const state = { notReady: "no configuration available (empty configuration present)" as string | null };
  const api = createStatusApi({
    status: async () => ({ server: { total_requests: 7 } }),
    notReady: () => state.notReady,
    metrics: async () => "# TYPE kong_requests counter\nkong_requests 7\n",
    version: "0.1.0",
    log: () => undefined,
  });
  after(() => api.close());
  const bound = await api.listen([
    { host: "127.0.0.1", port: 0, backlog: 16 },
    { host: "127.0.0.1", port: 0, backlog: 16 },
  ]);
  return { state, api, ports: bound.map(({ port }) => port), port: bound[0]?.port ?? 0 };
}

test("readiness is 503 with the reason until the gateway serves, then 200, then 503 while it drains", async () => {
  const { state, port } = await start();
  const ready = async () => {
    const { status, json } = await call(port, "GET", "/status/ready");
    return [status, json.message];
  };
  assert.deepEqual(await ready(), [503, "no configuration available (empty configuration present)"]);
  state.notReady = null;
  assert.deepEqual(await ready(), [200, "ready"]);
  state.notReady = "draining";
  assert.deepEqual(await ready(), [503, "draining"]);
});

test("status is JSON and metrics are Prometheus text, on every address", async () => {
  const { ports } = await start();
  assert.equal(new Set(ports).size, 2);
  for (const port of ports) {
    assert.deepEqual((await call(port, "GET", "/status")).json, { server: { total_requests: 7 } });
    const metrics = await call(port, "GET", "/metrics");
    assert.equal(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert.match(metrics.text, /^kong_requests 7$/m);
  }
});

test("nothing can be changed and nothing else is shown", async () => {
  const { port } = await start();
  assert.equal((await call(port, "POST", "/status", { body: "x" })).status, 405);
  assert.equal((await call(port, "GET", "/services")).status, 404);
});

test("an address that is taken is an error at start", async () => {
  const { port } = await start();
  const other = createStatusApi({
    status: async () => ({}),
    notReady: () => null,
    metrics: async () => "",
    version: "0.1.0",
    log: () => undefined,
  });
  await assert.rejects(other.listen([{ host: "127.0.0.1", port, backlog: 16 }]), { code: "EADDRINUSE" });
  await other.close();
});
