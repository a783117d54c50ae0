/** What a well-behaved isolate guest can rely on. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Reply } from "@gatehouse/sdk";
import { MemoryContext } from "./context.ts";
import {
  accessPlugin,
  bundleSource,
  type GuestParts,
  PATIENT,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "./sandbox.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox({ warm: ["isolate"] });
});
after(() => sandbox.close());

async function guest(body: string, parts: GuestParts = {}, host = new RecordingHost()) {
  const artifact = await bundleSource(accessPlugin(body));
  return sandbox.client.hooks(
    settings(artifact, { ...parts, limits: { ...PATIENT, ...parts.limits } }),
    host,
  );
}

test("edits of an access hook reach the request, in order", async () => {
  const hooks = await guest(
    `ctx.request.headers.set("X-One", ctx.request.headers.get("user-agent"));
     ctx.request.headers.add("X-One", "2");
     ctx.request.headers.remove("accept");
     ctx.request.method = "PUT"; ctx.request.upstreamPath = "/new%20path"; ctx.request.query = "a=1&b=%20";
     ctx.request.setBody(new TextEncoder().encode("grüße"));
     ctx.response.headers.set("X-Later", "yes");`,
    { grants: { requestHeaders: ["*"] } },
  );
  const ctx = new MemoryContext({
    headers: [
      ["Host", "a"],
      ["User-Agent", "caf\u00e9"],
      ["Accept", "*/*"],
    ],
  });
  assert.equal(await hooks.access?.(ctx), undefined);
  assert.deepEqual(ctx.request.headers.entries(), [
    ["Host", "a"],
    ["User-Agent", "caf\u00e9"],
    ["X-One", "caf\u00e9"],
    ["X-One", "2"],
  ]);
  assert.equal(ctx.request.method, "PUT");
  assert.equal(ctx.request.upstreamPath, "/new%20path");
  assert.equal(ctx.request.query, "a=1&b=%20");
  assert.equal(Buffer.from(ctx.request.newBody as Uint8Array).toString(), "grüße");
  assert.equal(ctx.response.headers.get("x-later"), "yes");
});

test("a reply of a guest is handed on with its bytes", async () => {
  const hooks = await guest(`return reply(418, { short: "stöut" }, { "X-Pot": "tea" });`);
  const reply = (await hooks.access?.(new MemoryContext())) as Reply;
  assert.equal(reply.status, 418);
  assert.deepEqual(reply.headers, [
    ["Content-Type", "application/json; charset=utf-8"],
    ["X-Pot", "tea"],
  ]);
  assert.equal(Buffer.from(reply.body as Uint8Array).toString(), '{"short":"stöut"}');
});

test("only granted headers cross, and secrets only by name", async () => {
  const echo = `return reply(200, ctx.request.headers.entries());`;
  const headers: [string, string][] = [
    ["Host", "a"],
    ["Authorization", "Bearer s3cret"],
    ["Cookie", "c=1"],
    ["X-Plain", "1"],
  ];
  const cases: [string[], string[]][] = [
    [[], []],
    [["x-plain"], ["X-Plain"]],
    [["*"], ["Host", "X-Plain"]],
    [
      ["*", "Authorization"],
      ["Host", "Authorization", "X-Plain"],
    ],
  ];
  for (const [requestHeaders, seen] of cases) {
    const hooks = await guest(echo, { grants: { requestHeaders } });
    const reply = (await hooks.access?.(new MemoryContext({ headers }))) as Reply;
    const names = JSON.parse(Buffer.from(reply.body as Uint8Array).toString()).map(
      ([name]: [string]) => name,
    );
    assert.deepEqual(names, seen);
  }
});

test("the request body crosses up to the grant, and fails the call beyond it", async () => {
  const hooks = await guest(`return reply(200, ctx.request.readBody() ?? "none");`, {
    grants: { requestBodyBytes: 300_000 },
  });
  const body = Buffer.alloc(300_000, "\u00ff\u0000a\n", "latin1");
  const reply = (await hooks.access?.(new MemoryContext({ body }))) as Reply;
  assert.ok(Buffer.from(reply.body as Uint8Array).equals(body));
  await assert.rejects(async () => hooks.access?.(new MemoryContext({ body: Buffer.alloc(300_001) })), {
    failure: "violation",
  });
});

test("host calls that wait are answered, and a consumer found by one can be made known", async () => {
  const host = new RecordingHost();
  const hooks = await guest(
    `const found = await host.findCredential("key-auth", "right");
     const none = await host.findCredential("key-auth", "wrong");
     const again = await host.findConsumer(found.consumer.id);
     const left = await host.takeFromWindows([{ key: "k", limit: 5, endsAt: host.now() + 1000 }]);
     ctx.authenticate(found.consumer, found);
     host.log("info", "hello " + again.username + " " + none + " " + left[0] + " " + ctx.consumer.id);
     host.count("seen_total", "Seen.", { a: "b" }, 2);`,
    { grants: { consumer: true, log: true, metrics: true, kvBytes: 1 } },
    host,
  );
  const ctx = new MemoryContext();
  await hooks.access?.(ctx);
  assert.deepEqual(ctx.consumer, host.consumer);
  assert.deepEqual(ctx.credential, { id: "k-1" });
  assert.deepEqual(host.calls.at(-2), ["log", "info", "hello ünal null 4 c-1"]);
  assert.deepEqual(host.calls.at(-1), ["count", "seen_total", { a: "b" }, 2]);
});

test("a guest keeps values, fetches and reads secrets, as its grants allow", async () => {
  const host = new RecordingHost();
  const hooks = await guest(
    `const before = await host.kv.get("ü");
     await host.kv.set("ü", new Uint8Array([0, 255, 10]));
     await host.kv.set("text", "wörd", { ttlMs: 5000 });
     const [bytes, text] = await Promise.all([host.kv.get("ü"), host.kv.get("text")]);
     await host.kv.delete("text");
     const gone = await host.kv.get("text");
     const answer = await host.fetch({ url: "https://api.test/x", method: "POST", headers: [["X-A", "1"]], body: "pöst" });
     const plain = await host.fetch({ url: "https://api.test/y" });
     const secrets = await Promise.all([host.secret("TOKEN"), host.secret("NONE")]);
     return reply(200, { before, bytes: [...bytes], text: new TextDecoder().decode(text), gone,
       status: answer.status, headers: answer.headers, body: new TextDecoder().decode(answer.body),
       empty: plain.body.length, secrets });`,
    { grants: { kvBytes: 1000, httpHosts: ["api.test"], secrets: ["TOKEN", "NONE"] } },
    host,
  );
  const reply = (await hooks.access?.(new MemoryContext())) as Reply;
  assert.deepEqual(JSON.parse(Buffer.from(reply.body as Uint8Array).toString()), {
    before: null,
    bytes: [0, 255, 10],
    text: "wörd",
    gone: null,
    status: 201,
    headers: [["X-Url", "https://api.test/x"]],
    body: "pöst",
    empty: 0,
    secrets: ["s3cret", null],
  });
  assert.deepEqual(host.calls.slice(1, 3), [
    ["kv.set", "ü", 3, undefined],
    ["kv.set", "text", 5, 5000],
  ]);
});

test("random bytes differ from call to call, and a guest gets 4096 in one", async () => {
  const hooks = await guest(`return reply(200, [...host.random(4096)]);`);
  const seen = new Set<string>();
  for (let i = 0; i < 3; i++) {
    const reply = (await hooks.access?.(new MemoryContext())) as Reply;
    const bytes = JSON.parse(Buffer.from(reply.body as Uint8Array).toString());
    assert.equal(bytes.length, 4096);
    seen
      .add(Buffer.from(bytes.slice(0, 16)).toString("hex"))
      .add(Buffer.from(bytes.slice(-16)).toString("hex"));
  }
  assert.equal(seen.size, 6);
  const greedy = await guest(`host.uuid(); return reply(200, [...host.random(4081)]);`);
  await assert.rejects(async () => greedy.access?.(new MemoryContext()), { failure: "violation" });
});

test("a guest that writes more log lines than it may in one call loses the rest, and nothing else", async () => {
  const host = new RecordingHost();
  const hooks = await guest(
    `for (let i = 0; i < 40; i++) host.log("info", "line " + i); return reply(200);`,
    { grants: { log: true } },
    host,
  );
  await hooks.access?.(new MemoryContext());
  assert.deepEqual(
    host.calls.map(([, , line]) => line),
    [...Array.from({ length: 20 }, (_, i) => `line ${i}`), "20 more log lines were dropped"],
  );
});

test("host calls without their grant are violations, log lines without it go nowhere", async () => {
  const host = new RecordingHost();
  for (const call of [
    `await host.findConsumer("c-1")`,
    `await host.findCredential("key-auth", "right")`,
    `await host.takeFromWindows([])`,
    `await host.kv.get("k")`,
    `await host.kv.set("k", "v")`,
    `await host.kv.delete("k")`,
    `await host.fetch({ url: "https://api.test/" })`,
    `await host.secret("TOKEN")`,
    `ctx.authenticate({ id: "c-1" }, null)`,
  ]) {
    const hooks = await guest(`${call};`, {}, host);
    await assert.rejects(async () => hooks.access?.(new MemoryContext()), { failure: "violation" });
  }
  const hooks = await guest(`host.log("info", "x"); host.count("n_total", "N.", {}, 1);`, {}, host);
  await hooks.access?.(new MemoryContext());
  assert.deepEqual(host.calls, []);
});

test("responses, chunks, shared vars and measures cross in their phases", async () => {
  const source = `import { definePlugin, record } from "@gatehouse/sdk";
export default definePlugin({ name: "phases", version: "1.0.0", priority: 1, schema: record({}),
  create(config, host) { return {
    rewrite(ctx) { ctx.vars.seen = [config.word, ctx.route.name]; delete ctx.vars.old; },
    headerFilter(ctx) { ctx.response.status = 201; ctx.response.headers.set("X-Was", String(ctx.response.status)); },
    bodyFilter(ctx, chunk, last) { return last ? new TextEncoder().encode("end") : chunk.map((byte) => byte + 1); },
    log(ctx) { host.log("info", JSON.stringify(ctx.measures)); },
  }; } });`;
  const host = new RecordingHost();
  const hooks = sandbox.client.hooks(
    settings(await bundleSource(source), {
      config: { word: "wörd" },
      limits: PATIENT,
      grants: { responseHeaders: ["*"], responseBodyBytes: 65536, log: true },
    }),
    host,
  );
  const ctx = new MemoryContext({ vars: { old: 1, kept: { a: 1 } }, response: { status: 200, headers: [] } });
  await hooks.rewrite?.(ctx);
  assert.deepEqual(ctx.vars, { kept: { a: 1 }, seen: ["wörd", "route-ü"] });
  await hooks.headerFilter?.(ctx);
  assert.equal(ctx.response.status, 201);
  assert.equal(ctx.response.headers.get("x-was"), "201");
  assert.deepEqual(await hooks.bodyFilter?.(ctx, Uint8Array.of(1, 2, 254), false), Uint8Array.of(2, 3, 255));
  assert.equal(Buffer.from((await hooks.bodyFilter?.(ctx, new Uint8Array(0), true)) ?? []).toString(), "end");
  await hooks.log?.(ctx);
  const whole = { ...ctx.measures, totalMs: 2, upstreamMs: 1, gatewayMs: 1 };
  assert.deepEqual(JSON.parse(String(host.calls[0]?.[2])), whole);
});

test("a resident guest keeps its state, a per-request guest starts anew", async () => {
  const body = `globalThis.count = (globalThis.count ?? 0) + 1; return reply(200, String(globalThis.count));`;
  for (const [instance, expected] of [
    ["resident", ["1", "2", "3"]],
    ["per-request", ["1", "1", "1"]],
  ] as const) {
    const hooks = await guest(body, { instance });
    const seen = [];
    for (let i = 0; i < 3; i++) {
      const reply = (await hooks.access?.(new MemoryContext())) as Reply;
      seen.push(Buffer.from(reply.body as Uint8Array).toString());
    }
    assert.deepEqual(seen, expected);
  }
});

test("ordinary code finds its language intact behind the frozen intrinsics", async () => {
  const hooks = await guest(
    `class Failure extends Error { constructor(m) { super(m); this.name = "Failure"; } }
     const failure = new Failure("m");
     function Old() {} Old.prototype.toString = function () { return "old"; };
     Old.prototype = { constructor: Old, toString: Old.prototype.toString };
     const object = {}; object.toString = () => "own"; object.constructor = 1; object.valueOf = () => 2;
     class Seven extends Map { get() { return 7; } }
     const decoded = new TextDecoder().decode(new Uint8Array([0xc3, 0xbc, 0xff]));
     return reply(200, [String(failure), String(new Old()), String(object), new Seven().get(), decoded,
       atob(btoa("ÿ\\u0000x")).length, new Date().getTime() === Date.now(), new Date(5) instanceof Date,
       typeof Date(), new Uint8Array(new ArrayBuffer(8)).length, [..."ab"].map((c) => c + c).join(""),
       JSON.stringify({ d: new Date(0) }), /^[0-9a-f-]{36}$/.test(host.uuid()) && host.uuid() !== host.uuid()]);`,
  );
  const reply = (await hooks.access?.(new MemoryContext())) as Reply;
  assert.deepEqual(JSON.parse(Buffer.from(reply.body as Uint8Array).toString()), [
    "Failure: m",
    "old",
    "own",
    7,
    "ü\ufffd",
    3,
    true,
    true,
    "string",
    8,
    "aabb",
    '{"d":"1970-01-01T00:00:00.000Z"}',
    true,
  ]);
});

test("fail: open passes over a failure and counts it; fail: closed names plugin, phase and kind", async () => {
  const open = await guest(`throw new Error("no luck");`, { fail: "open", name: "open-one" });
  assert.equal(await open.access?.(new MemoryContext()), undefined);
  const row = sandbox.client.ledger().find((one) => one.plugin === "open-one");
  assert.equal(row?.failures.throw, 1);
  const closed = await guest(`throw new Error("no luck");`);
  await assert.rejects(async () => closed.access?.(new MemoryContext()), {
    name: "GuestFailure",
    failure: "throw",
    phase: "access",
    plugin: "under-test",
    message: "plugin under-test in access: throw: Error: no luck",
  });
});

test("an artifact whose bytes are not those of its digest is not run", async () => {
  const artifact = await bundleSource(accessPlugin("return reply(200);"));
  const good = settings(artifact);
  const swapped = { ...good, digest: good.digest.replace(/.$/, (c) => (c === "0" ? "1" : "0")) };
  const hooks = sandbox.client.hooks(swapped, new RecordingHost());
  await assert.rejects(async () => hooks.access?.(new MemoryContext()), { failure: "load" });
});

test("UUIDs do not run out over many calls, nor repeat", async () => {
  const hooks = await guest(`return reply(200, [host.uuid(), host.uuid(), host.uuid()]);`);
  const seen = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const reply = (await hooks.access?.(new MemoryContext())) as Reply;
    for (const uuid of JSON.parse(Buffer.from(reply.body as Uint8Array).toString())) seen.add(uuid);
  }
  assert.equal(seen.size, 600);
});

test("a released guest is forgotten and comes back when it is used again", async () => {
  const hooks = await guest(`return reply(200);`);
  await hooks.access?.(new MemoryContext());
  sandbox.client.release(hooks);
  const reply = (await hooks.access?.(new MemoryContext())) as Reply | undefined;
  assert.equal(reply?.status, 200);
});

const UNLOADABLE: [string, string][] = [
  ["a syntax error", "export default {"],
  ["an import", 'import fs from "node:fs"; export default { create: () => ({}) };'],
  ["no default export", "export const x = 1;"],
  ["a create that throws", "export default { create() { throw new Error('no'); } };"],
  ["a top-level throw", "throw new Error('no'); export default {};"],
  ["a top level that never settles", "await new Promise(() => {}); export default { create: () => ({}) };"],
  ["create without hooks", "export default { create() {} };"],
];
for (const [what, source] of UNLOADABLE)
  test(`a guest with ${what} fails its calls with 'load'`, async () => {
    const hooks = sandbox.client.hooks(settings(new TextEncoder().encode(source)), new RecordingHost());
    await assert.rejects(async () => hooks.access?.(new MemoryContext()), { failure: "load" });
  });
