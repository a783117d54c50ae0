/** A data thread that hangs is found and replaced; the others serve on; what it held is counted, nothing else is lost. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import { openRaw, type RawClient } from "../support/raw-client.ts";
import {
  bringDown,
  DOWNFALLS,
  type Downfall,
  onBothThreads,
  ready,
  scrape,
  startInspected,
  status,
  strike,
} from "./inspected.ts";
import { evaluateInThread, inspectorUrl } from "./inspector.ts";
import { descendants } from "./processes.ts";

const GET = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

function configFor(url: string, plugins: object[] = []) {
  return {
    _format_version: "3.0",
    services: [{ name: "s", url, routes: [{ name: "r", paths: ["/"] }] }],
    plugins,
  };
}

const terminated = (message: string) =>
  configFor("http://127.0.0.1:1", [{ name: "request-termination", config: { status_code: 200, message } }]);

/** Has a thread keep to itself that it has put a change in force. */
const SILENT_AT_LAST = `{
  const { parentPort } = process.getBuiltinModule("node:worker_threads");
  const post = parentPort.postMessage;
  parentPort.postMessage = (message) => message.kind === "live" || post.call(parentPort, message);
}`;

/** An upstream that answers `/slow` when it is told to. */
async function startGated() {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let waiting = 0;
  let arrived = () => {};
  const origin = await startOrigin(async (received, response) => {
    if (received.url === "/slow") {
      waiting++;
      arrived();
      await gate;
    }
    response.end("ok");
  });
  const held = async (count: number) => {
    while (waiting < count)
      await new Promise<void>((resolve) => {
        arrived = resolve;
      });
  };
  return { origin, open, held };
}

for (const how of ["loop", "throw"] as const satisfies Downfall[])
  test(`a data thread is lost (${how}): its connections and requests are counted and logged, the others' go on`, async () => {
    const { origin, open, held } = await startGated();
    await using _origin = origin;
    await using gateway = await startInspected(configFor(origin.url));
    const clients: { raw: RawClient; slow: boolean; cut: boolean }[] = [];
    let cuts = 0;
    let onCut = () => {};
    for (let i = 0; i < 32; i++) {
      const client = { raw: await openRaw(gateway.ports.proxy), slow: i % 2 === 1, cut: false };
      clients.push(client);
      client.raw.write(GET("/"));
      assert.equal((await client.raw.read()).status, 200);
      if (client.slow) client.raw.write(GET("/slow"));
      client.raw.socket.once("close", () => {
        client.cut = true;
        cuts++;
        onCut();
      });
      client.raw.socket.once("end", () => client.raw.end());
    }
    await held(16);
    const notice = await bringDown(gateway, 0, how);
    assert.equal(notice.reason, DOWNFALLS[how].reason);
    assert.ok((notice.lost_connections as number) > 0);
    while (cuts < (notice.lost_connections as number))
      await new Promise<void>((resolve) => {
        onCut = resolve;
      });
    open();
    for (const { raw, slow, cut } of clients) {
      if (cut) continue;
      if (slow) assert.equal((await raw.read()).body.toString(), "ok");
      raw.write(GET("/"));
      assert.equal((await raw.read()).status, 200);
    }
    const cut = clients.filter((client) => client.cut);
    assert.equal(cut.length, notice.lost_connections);
    assert.equal(cut.filter(({ slow }) => slow).length, notice.lost_requests);
    await ready(gateway);
    for (const answer of await onBothThreads(gateway)) assert.equal(answer.status, 200);
    const lost = (await status(gateway)).lost_data_threads;
    assert.deepEqual(lost, {
      crashed: how === "throw" ? 1 : 0,
      hung: how === "loop" ? 1 : 0,
      connections: notice.lost_connections,
      requests: notice.lost_requests,
    });
    const metrics = await scrape(gateway);
    const { reason } = DOWNFALLS[how];
    const { node_id } = (await send(`${gateway.adminUrl}/`)).json() as { node_id: string };
    const node = `node_id="${node_id}"`;
    assert.equal(metrics.get(`gatehouse_data_thread_replacements_total{${node},reason="${reason}"}`), 1);
    assert.equal(
      metrics.get(`gatehouse_data_thread_lost_connections_total{${node}}`),
      notice.lost_connections,
    );
    assert.equal(metrics.get(`gatehouse_data_thread_lost_requests_total{${node}}`), notice.lost_requests);
    for (const { raw } of clients) await raw[Symbol.asyncDispose]();
  });

test("totals and plugins' metrics do not go backwards when data threads are lost, and rate limits stay", async () => {
  await using origin = await startOrigin();
  const plugins = [
    { name: "prometheus", config: { status_code_metrics: true } },
    { name: "rate-limiting", config: { year: 40, policy: "local" } },
  ];
  await using gateway = await startInspected(configFor(origin.url, plugins));
  const statuses: number[] = [];
  let accepted = 0;
  let seen = new Map<string, number>();
  for (const [thread, how] of [
    [0, "exit"],
    [1, "loop"],
    [0, "loop"],
  ] as const) {
    for (const answer of await onBothThreads(gateway)) statuses.push(answer.status);
    const before = await status(gateway);
    assert.equal(before.server.total_requests, statuses.length);
    accepted = before.server.connections_accepted;
    seen = await scrape(gateway);
    await bringDown(gateway, thread, how);
    const after = await status(gateway);
    assert.equal(after.server.total_requests, statuses.length);
    assert.ok(after.server.connections_accepted >= accepted);
    const now = await scrape(gateway);
    for (const [sample, value] of seen) {
      if (!/_(?:total|bucket|count|sum)\b/.test(sample) || /state="/.test(sample)) continue;
      assert.ok((now.get(sample) as number) >= value, `${sample}: ${value}, then ${now.get(sample)}`);
    }
    await ready(gateway);
  }
  assert.ok([...seen.keys()].some((sample) => sample.startsWith("kong_http_requests_total")));
  assert.equal(statuses.filter((code) => code === 200).length, 40);
  assert.equal(statuses.filter((code) => code === 429).length, statuses.length - 40);
});

test("a configuration and a scrape that meet a thread that hangs are answered without it", async () => {
  await using gateway = await startInspected(terminated("one"));
  await strike(gateway, 0, "loop");
  const scraped = scrape(gateway);
  await gateway.reload(terminated("two"));
  assert.ok((await scraped).size > 0);
  await ready(gateway);
  for (const answer of await onBothThreads(gateway)) assert.deepEqual(answer.json(), { message: "two" });
  assert.equal((await status(gateway)).lost_data_threads.hung, 1);
});

test("a gateway that is told to end does not wait for a thread that hangs", async () => {
  await using gateway = await startInspected(terminated("one"));
  await strike(gateway, 0, "loop");
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null });
  assert.doesNotMatch(gateway.output(), /draining took too long/);
});

/** The processes that hold up the threads that were blocked. */
function sleepers(gateway: Gateway): number[] {
  const isSleep = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith("sleep\0");
  return descendants(gateway.pid)
    .map(({ pid }) => pid)
    .filter(isSleep);
}

test("a thread that hangs where it cannot be ended is replaced, told of, and not taken for ready", async () => {
  await using gateway = await startInspected(terminated("one"));
  const notice = await bringDown(gateway, 0, "block");
  assert.equal(notice.reason, "hang");
  await gateway.log((line) => /has taken the place/.test(String(line.msg)));
  await gateway.log((line) => /cannot be ended.*restart/.test(String(line.msg)));
  const answer = await send(`${gateway.statusUrl}/status/ready`);
  assert.equal(answer.status, 503);
  assert.match(answer.body, /restart the gateway/);
  for (const pid of sleepers(gateway)) process.kill(pid);
  await ready(gateway);
  for (const { status: code } of await onBothThreads(gateway)) assert.equal(code, 200);
});

test("a gateway with a thread that cannot be ended ends all the same when it is told to", async () => {
  await using gateway = await startInspected(terminated("one"));
  await bringDown(gateway, 0, "block");
  const left = sleepers(gateway);
  assert.equal(left.length, 1);
  try {
    assert.deepEqual(await gateway.stop(), { code: null, signal: "SIGKILL" });
  } finally {
    for (const pid of left) process.kill(pid);
  }
});

test("a gateway that was suspended goes on with the threads and connections that it had", async () => {
  await using gateway = await startInspected(terminated("one"));
  await using client = await openRaw(gateway.ports.proxy);
  for (let round = 0; round < 2; round++) {
    process.kill(gateway.pid, "SIGSTOP");
    // Nothing happens meanwhile that could be awaited: that time passes is what is tried.
    await pause(1500);
    process.kill(gateway.pid, "SIGCONT");
    client.write(GET("/"));
    assert.equal((await client.read()).status, 200);
    await pause(1000);
  }
  assert.equal((await status(gateway)).lost_data_threads.hung, 0);
});

test("a thread that compiles a large configuration is not taken for one that hangs", async () => {
  const routes = Array.from({ length: 20_000 }, (_, i) => ({
    name: `r${i}`,
    hosts: [`h${i}.test`],
    paths: [`/p${i}`, `~/x${i}/[0-9]+$`],
  }));
  const services = [{ name: "s", url: "http://127.0.0.1:1", routes }];
  await using gateway = await startInspected({ _format_version: "3.0" }, { thread_hang_ms: "200" });
  await gateway.reload({ _format_version: "3.0", services });
  await bringDown(gateway, 0, "exit");
  await ready(gateway);
  const { crashed, hung } = (await status(gateway)).lost_data_threads;
  assert.deepEqual({ crashed, hung }, { crashed: 1, hung: 0 });
});

test("with thread_hang_ms 0 nobody watches: a thread that stands still comes back to what it held", async () => {
  await using gateway = await startInspected(terminated("one"), { thread_hang_ms: "0", data_threads: "1" });
  await using client = await openRaw(gateway.ports.proxy);
  client.write(GET("/"));
  assert.equal((await client.read()).status, 200);
  await strike(gateway, 0, "block");
  let children: number[] = [];
  while (children.length === 0) children = sleepers(gateway);
  client.write(GET("/"));
  await pause(1500);
  for (const pid of children) process.kill(pid);
  assert.equal((await client.read()).status, 200);
});

test("a thread that serves and does not take up a change is replaced; the change is in force on all", async () => {
  await using gateway = await startInspected(terminated("one"), { deploy_timeout_ms: "300" });
  await strike(gateway, 0, "deafen");
  await gateway.reload(terminated("two"));
  const notice = await gateway.log(({ reason }) => reason === "hang");
  assert.match(String(notice.manner), /does not answer/);
  await ready(gateway);
  for (const answer of await onBothThreads(gateway)) assert.deepEqual(answer.json(), { message: "two" });
  await gateway.reload(terminated("three"));
  for (const answer of await onBothThreads(gateway)) assert.deepEqual(answer.json(), { message: "three" });
  assert.equal((await status(gateway)).lost_data_threads.hung, 1);
});

test("with thread_hang_ms 0, a change that a thread does not take up is refused, and no thread serves it", async () => {
  await using gateway = await startInspected(terminated("one"), {
    deploy_timeout_ms: "300",
    thread_hang_ms: "0",
    drain_timeout_ms: "1",
  });
  await strike(gateway, 0, "deafen");
  await assert.rejects(gateway.reload(terminated("two")), /has not answered for/);
  for (const answer of await onBothThreads(gateway)) assert.deepEqual(answer.json(), { message: "one" });
  assert.equal((await status(gateway)).lost_data_threads.hung, 0);
});

test("a thread that prepares a change and does not say that it serves it is replaced by one that does", async () => {
  await using gateway = await startInspected(terminated("one"), { deploy_timeout_ms: "300" });
  await evaluateInThread(inspectorUrl(gateway.output()), "data-0", SILENT_AT_LAST);
  await gateway.reload(terminated("two"));
  await gateway.log(({ reason }) => reason === "hang");
  await ready(gateway);
  for (const answer of await onBothThreads(gateway)) assert.deepEqual(answer.json(), { message: "two" });
});
