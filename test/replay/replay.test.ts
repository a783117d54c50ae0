/** What a replay of recorded requests finds, in real cordons behind the fence that tests have. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { RecordedResponse } from "@gatehouse/sdk";
import { checkManifest, type Manifest } from "../../src/registry/manifest.ts";
import type { KeptRecording } from "../../src/replay/recording.ts";
import { type ReplayJob, type ReplayVersion, replay } from "../../src/replay/replay.ts";
import { NO_CREDENTIALS } from "../../src/sandbox/calls/credential-names.ts";
import { DetachedGuests } from "../../src/sandbox/detached.ts";
import { DEFAULT_LIMITS, MOST_LIMITS } from "../../src/sandbox/limits.ts";
import { bundleSource, place } from "../sandbox/sandbox.ts";
import { forged, guest } from "../sandbox/wasm/guests.ts";

const LIMITS = { ...DEFAULT_LIMITS, wallMs: 10_000, cpuMs: 5000, cpuMsPerSecond: 0 };

function manifest(version: string, given: object): Manifest {
  const checked = checkManifest(
    {
      manifest: 1,
      name: "under-test",
      version,
      runtime: "isolate",
      entry: "plugin.js",
      phases: ["access"],
      ...given,
    },
    MOST_LIMITS,
  );
  assert.ok(checked.manifest, JSON.stringify(checked.violations));
  return checked.manifest;
}

/** A version of a plugin with these hooks. */
async function version(number: string, hooks: string, given: object = {}): Promise<ReplayVersion> {
  const code = await bundleSource(`import { definePlugin, record, reply } from "@gatehouse/sdk";
export default definePlugin({ name: "under-test", version: "${number}", priority: 1, schema: record({}),
  create(config, host) { let calls = 0; return { ${hooks} }; } });`);
  const digest = `sha256:${createHash("sha256").update(code).digest("hex")}`;
  return { manifest: manifest(number, given), digest, code };
}

let count = 0;

function recording(path: string, response: Partial<RecordedResponse> | null = {}): KeptRecording {
  return {
    id: `01890000-0000-7000-8000-${String(++count).padStart(12, "0")}`,
    at: 1_700_000_000_000 + count,
    route: { id: "6f2f6c2e-0000-4000-8000-000000000001", name: "a-route" },
    service: null,
    consumer: { id: "6f2f6c2e-0000-4000-8000-000000000003", username: "ann", custom_id: null },
    request: {
      method: "POST",
      scheme: "http",
      host: "example.test",
      port: 8000,
      path,
      query: "",
      clientIp: "192.0.2.1",
      headers: [["X-Kind", path.slice(1)]],
      body: { bytes: Buffer.from("sent"), length: 4 },
    },
    response: response && {
      status: 200,
      headers: [["Content-Type", "text/plain"]],
      body: { bytes: Buffer.from("an answer"), length: 9 },
      ...response,
    },
  };
}

async function run(job: Partial<ReplayJob> & Pick<ReplayJob, "from" | "to" | "recordings">) {
  const { room, fence } = await place(["isolate", "wasm"]);
  return replay(
    { workspace: "acme", limits: LIMITS, config: { from: {}, to: {} }, credentials: NO_CREDENTIALS, ...job },
    (options) => DetachedGuests.open({ ...options, room, fence, log: () => {} }),
    AbortSignal.timeout(60_000),
  );
}

const HEADERS = { grants: { request_headers: ["*"], response_headers: ["*"] } };

test("what differs of status, headers, body and what goes upstream is told by request", async () => {
  const from = await version("1.0.0", `access(ctx) { ctx.request.headers.set("X-Seen", "1"); }`, HEADERS);
  const to = await version(
    "1.1.0",
    `access(ctx) {
       if (ctx.request.path === "/refused") return reply(403, { no: true });
       ctx.request.headers.set("X-Seen", "1");
       if (ctx.request.path === "/moved") ctx.request.upstreamPath = "/elsewhere";
     }`,
    HEADERS,
  );
  const report = await run({
    from,
    to,
    recordings: ["/plain", "/refused", "/moved"].map((path) => recording(path)),
  });
  assert.deepEqual([report.replayed, report.different, report.late], [3, 2, 0]);
  const [refused, moved] = report.requests;
  assert.equal(refused?.recording.request.path, "/refused");
  assert.deepEqual(
    refused?.differences.map(({ what, name, from, to }) => [what, name, from, to]).slice(0, 3),
    [
      ["answered_by", undefined, "service", "exit"],
      ["response.status", undefined, 200, 403],
      ["response.headers", "content-type", "text/plain", "application/json; charset=utf-8"],
    ],
  );
  assert.match(
    JSON.stringify(refused?.differences.at(-1)),
    /"excerpt":"an answer".*"excerpt":"\{\\"no\\":true\}"/,
  );
  assert.deepEqual(moved?.differences, [{ what: "request.path", from: "/moved", to: "/elsewhere" }]);
});

test("filters get the response that was recorded, and a reply of the plugin in its place", async () => {
  const phases = { phases: ["access", "header_filter", "body_filter"] };
  const grants = { grants: { ...HEADERS.grants, response_body_bytes: 1000 } };
  const filters = (mark: string) => `
    access(ctx) { if (ctx.request.path === "/own") return reply(202, "own"); },
    headerFilter(ctx) { ctx.response.headers.set("X-By", ctx.response.source + ctx.response.status); },
    bodyFilter(ctx, chunk, last) { return last ? new TextEncoder().encode("${mark}") : undefined; }`;
  const from = await version("1.0.0", filters("."), { ...phases, ...grants });
  const to = await version("1.0.1", filters("!"), { ...phases, ...grants });
  const report = await run({ from, to, recordings: [recording("/theirs"), recording("/own")] });
  assert.equal(report.different, 2);
  const excerpts = report.requests.map(({ differences }) =>
    differences.map(({ what, from, to }) => [
      what,
      (from as { excerpt: string }).excerpt,
      (to as { excerpt: string }).excerpt,
    ]),
  );
  assert.deepEqual(excerpts, [
    [["response.body", "an answer.", "an answer!"]],
    [["response.body", "own.", "own!"]],
  ]);
});

test("a plugin of the response phase sees the recorded response whole", async () => {
  const given = { phases: ["response"], grants: { response_body_bytes: 1000 } };
  const hook = (text: string) =>
    `response(ctx) { ctx.response.status = 203; ctx.response.setBody(new TextEncoder().encode(${text})); }`;
  const from = await version("1.0.0", hook(`new TextDecoder().decode(ctx.response.body)`), given);
  const to = await version("1.0.1", hook(`"[" + new TextDecoder().decode(ctx.response.body) + "]"`), given);
  const { requests } = await run({ from, to, recordings: [recording("/")] });
  assert.deepEqual(
    requests[0]?.differences.map(({ what, to }) => [what, (to as { excerpt: string }).excerpt]),
    [["response.body", "[an answer]"]],
  );
});

test("a request whose service was not asked goes through the phases of the request alone", async () => {
  const phases = { phases: ["access", "header_filter"] };
  const from = await version("1.0.0", `access() {}, headerFilter() {}`, phases);
  const to = await version("1.0.1", `access() {}, headerFilter() { throw new Error("never"); }`, phases);
  const report = await run({ from, to, recordings: [recording("/", null)] });
  assert.deepEqual([report.replayed, report.different, report.withoutResponse], [1, 0, 1]);
});

test("a failure is told with its phase and kind, and the status that a client would get", async () => {
  const from = await version("1.0.0", `access() {}`);
  const to = await version("2.0.0", `access() { throw new Error("no such field"); }`);
  const report = await run({ from, to, recordings: [recording("/")] });
  assert.deepEqual(
    report.requests[0]?.differences.map(({ what, from, to }) => [what, from, to]).slice(0, 3),
    [
      ["failures", null, "throw in access: Error: no such field"],
      ["answered_by", "service", "error"],
      ["response.status", 200, 500],
    ],
  );
  assert.deepEqual([report.from.failures, report.to.failures], [{}, { throw: 1 }]);
});

test("a failure that a plugin's fail: open passes over is told too", async () => {
  const from = await version("1.0.0", `access() {}`, { fail: "open" });
  const to = await version("2.0.0", `access() { throw new Error("no such field"); }`, { fail: "open" });
  const report = await run({ from, to, recordings: [recording("/")] });
  assert.deepEqual(
    report.requests[0]?.differences.map(({ what }) => what),
    ["failures"],
  );
});

test("a version that loops is cut at each request, and the other one is not held up by it", async () => {
  const from = await version(
    "1.0.0",
    `access(ctx) { ctx.request.headers.set("X-Calls", String(++calls)); }`,
    HEADERS,
  );
  const to = await version(
    "2.0.0",
    `access(ctx) { if (ctx.request.path === "/loop") for (;;); ctx.request.headers.set("X-Calls", String(++calls)); }`,
    HEADERS,
  );
  const limits = { ...LIMITS, cpuMs: 50 };
  const recordings = ["/a", "/loop", "/b"].map((path) => recording(path));
  const report = await run({ from, to, recordings, limits });
  assert.equal(report.replayed, 3);
  assert.deepEqual(
    report.requests.map(({ recording, differences }) => [recording.request.path, differences[0]?.what]),
    [
      ["/loop", "failures"],
      ["/b", "request.headers"], // the instance that looped is gone with what it had counted
    ],
  );
  assert.equal(report.to.failures.timeout, 1);
  assert.deepEqual(report.from.failures, {});
});

test("nothing outside is asked: it is told what a plugin did without", async () => {
  const grants = {
    grants: {
      ...HEADERS.grants,
      kv_bytes: 1000,
      http_hosts: ["example.test"],
      secrets: ["key"],
      consumer: true,
    },
  };
  const hooks = `async access(ctx) {
    const failed = [];
    for (const ask of [() => host.fetch({ url: "https://example.test/" }), () => host.secret("key")])
      try { await ask(); } catch (error) { failed.push(error.message); }
    await host.kv.set("a", "1");
    const kept = await host.kv.get("a");
    const [left] = await host.takeFromWindows([{ key: "k", limit: 5, endsAt: Date.now() + 1000 }]);
    const consumer = await host.findConsumer("ann");
    return reply(200, { failed, kept, left, consumer: consumer?.id });
  }`;
  const from = await version("1.0.0", hooks, grants);
  const to = await version("1.0.1", hooks.replace("200", "201"), grants);
  const report = await run({ from, to, recordings: [recording("/")] });
  const asked = { fetch: 1, secret: 1, kv: 2, windows: 1, consumers: 1 };
  assert.deepEqual([report.from.asked, report.to.asked], [asked, asked]);
  assert.deepEqual(
    report.requests[0]?.differences.map(({ what }) => what),
    ["response.status"],
  );
});

test("both versions see the same time, and the consumer who was known when it was recorded", async () => {
  const grants = { grants: { ...HEADERS.grants, consumer: true } };
  const hooks = `access(ctx) { return reply(200, { at: Date.now(), who: ctx.consumer.username }); }`;
  const report = await run({
    from: await version("1.0.0", hooks, grants),
    to: await version("1.0.1", hooks.replace("200", "201"), grants),
    recordings: [recording("/")],
  });
  assert.deepEqual(
    report.requests[0]?.differences.map(({ what }) => what),
    ["response.status"],
  );
});

test("a request whose body was cut is left out for versions that may see it, and no other", async () => {
  const cut = recording("/");
  const recordings = [
    { ...cut, request: { ...cut.request, body: { bytes: Buffer.from("se"), length: null } } },
  ];
  const seeing = { grants: { request_body_bytes: 10 } };
  const blind = await run({
    from: await version("1.0.0", `access() {}`),
    to: await version("1.0.1", `access() { 1; }`),
    recordings,
  });
  const sees = await run({
    from: await version("1.0.0", `access() {}`),
    to: await version("1.0.1", `access() { 1; }`, seeing),
    recordings,
  });
  assert.deepEqual([blind.replayed, blind.cutBodies, sees.replayed, sees.cutBodies], [1, 0, 0, 1]);
});

test("when the time is up, the rest is left out and said to be", async () => {
  const { room, fence } = await place(["isolate", "wasm"]);
  const end = new AbortController();
  const one = await version("1.0.0", `access() {}`);
  end.abort();
  const report = await replay(
    {
      workspace: "acme",
      limits: LIMITS,
      config: { from: {}, to: {} },
      credentials: NO_CREDENTIALS,
      from: one,
      to: one,
      recordings: [recording("/"), recording("/")],
    },
    (options) => DetachedGuests.open({ ...options, room, fence, log: () => {} }),
    end.signal,
  );
  assert.deepEqual([report.replayed, report.late], [0, 2]);
});

test("fuel of two WebAssembly versions is told to the unit, and is no difference by itself", async () => {
  const wasm = async (number: string, code: string): Promise<ReplayVersion> => {
    const { emitted, digest } = await forged(guest(code));
    return { manifest: manifest(number, { runtime: "extism", entry: "plugin.wasm" }), digest, code: emitted };
  };
  const from = await wasm("1.0.0", "(i32.const 0)");
  const to = await wasm("1.0.1", "(drop (i32.add (i32.const 1) (i32.const 2))) (i32.const 0)");
  const report = await run({ from, to, recordings: [recording("/"), recording("/")] });
  assert.deepEqual([report.replayed, report.different], [2, 0]);
  assert.ok(report.from.medianFuel > 0);
  assert.equal(report.to.fuel - report.from.fuel, 2 * (report.to.medianFuel - report.from.medianFuel));
  assert.ok(report.to.medianFuel > report.from.medianFuel);
});

test("a version that takes its cordon along each time is held back, and no process is left of the replay", async () => {
  const from = await version("1.0.0", `access() {}`);
  // Beyond the isolate's memory in one step, at every request.
  const to = await version("2.0.0", `access() { "x".padEnd(2 ** 29 - 30).split(""); }`);
  const recordings = Array.from({ length: 12 }, () => recording("/"));
  const before = cordons();
  const report = await run({ from, to, recordings });
  assert.deepEqual([report.replayed, report.different, report.late], [12, 12, 0]);
  assert.deepEqual(report.from.failures, {});
  const { suspended = 0, ...died } = report.to.failures;
  assert.equal(suspended + Object.values(died).reduce((sum, count) => sum + count, 0), 12);
  assert.ok(suspended > 0, JSON.stringify(report.to.failures));
  assert.deepEqual(cordons(), before);
});

/** Processes of this one's that are no threads of it. */
function cordons(): string {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
}

test("a version that uses up its workspace's CPU time waits for more, and fails nothing by it", async () => {
  const busy = `access() { for (let i = 0; i < 2e7; i++); }`;
  const limits = { ...LIMITS, cpuMsPerSecond: 300, cpuBurstMs: 300 };
  const one = await version("1.0.0", busy);
  const report = await run({
    from: one,
    to: one,
    limits,
    recordings: Array.from({ length: 6 }, () => recording("/")),
  });
  assert.deepEqual([report.replayed, report.from.failures, report.to.failures], [6, {}, {}]);
});

test("replays one after the other have cordons of their own: nothing of one is left in the next", async () => {
  const one = await version("1.0.0", `access() { return reply(200, String(++calls)); }`);
  for (let i = 0; i < 3; i++) {
    const other = await version("1.0.1", `access() { return reply(200, "1"); }`);
    const report = await run({ from: one, to: other, recordings: [recording("/")] });
    assert.equal(report.different, 0);
  }
});
