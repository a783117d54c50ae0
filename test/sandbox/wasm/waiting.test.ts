/** Guests that wait for the host: how a call is suspended, goes on and ends, and what cannot be done with that. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import type { Engine, GuestConfig, Turn } from "../../../src/sandbox/protocol/engine.ts";
import { createWasmEngine } from "../../../src/sandbox/wasm/wasm-engine.ts";
import { assemble, configure, failureOf, hookCall, LIMITS, STORE, startNow } from "./guests.ts";

const KV: Partial<GuestConfig> = { asks: ["kv"] };
const base64 = (text: string) => Buffer.from(text).toString("base64");

const HOST = `
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
  (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
  (import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
  (import "extism:host/user" "kv_set" (func $kv_set (param i64 i64 i64) (result i64)))
  (import "extism:host/user" "kv_delete" (func $kv_delete (param i64) (result i64)))
  (import "extism:host/user" "secret_get" (func $secret_get (param i64) (result i64)))
  (import "extism:host/user" "metric_count" (func $metric_count (param i64 i64 i64 f64)))`;

/** A guest whose memory begins with "key", and whose access hook is `code`. */
function asking(code: string, declarations = "", data = "key"): string {
  const bytes = [...new TextEncoder().encode(data)];
  const text = bytes.map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
  return `(module ${HOST} (memory 1) (data (i32.const 0) "${text}") ${STORE}
    (func $text (result i64) (call $store (i32.const 0) (i32.const ${bytes.length})))
    (func $part (param i32 i32) (result i64) (call $store (local.get 0) (local.get 1)))
    (func $echo (param $block i64) (call $output_set (local.get $block) (call $length (local.get $block))))
    ${declarations} (func (export "access") (result i32) ${code}))`;
}

/** Asks for a value and answers with it. */
const GET = asking("(call $echo (call $kv_get (call $text))) (i32.const 0)");

let engine: Engine;
beforeEach(() => {
  engine = createWasmEngine();
});

async function start(call = 1, instance = 1): Promise<Turn> {
  return engine.start(call, instance, hookCall());
}

async function answer(call: number, seq: number, value: unknown): Promise<Turn> {
  return engine.resume(call, seq, { value });
}

function asked(turn: Turn): unknown[] {
  assert.equal(turn.kind, "waiting", JSON.stringify(turn));
  return turn.hostCalls.filter(({ waits }) => waits).map(({ seq, method, args }) => [seq, method, args]);
}

function verdictOf(turn: Turn): unknown {
  assert.ok(turn.kind === "verdict", JSON.stringify(turn));
  return turn.verdict;
}

describe("a guest that waits", () => {
  it("is suspended with its question, and goes on with the answer", async () => {
    await configure(engine, 1, GET, KV);
    assert.deepEqual(asked(await start()), [[0, "kvGet", ["key"]]]);
    const turn = await answer(1, 0, base64('{"vars":{"a":1}}'));
    assert.deepEqual(verdictOf(turn), { vars: { a: 1 } });
  });

  it("may wait many times, each question with a number of its own", async () => {
    const twice = "(drop (call $kv_get (call $text))) (call $echo (call $kv_get (call $text))) (i32.const 0)";
    await configure(engine, 1, asking(twice), KV);
    assert.deepEqual(asked(await start()), [[0, "kvGet", ["key"]]]);
    assert.deepEqual(asked(await answer(1, 0, null)), [[1, "kvGet", ["key"]]]);
    assert.deepEqual(verdictOf(await answer(1, 1, null)), {});
  });

  it("keeps its host memory and its own memory while other calls run", async () => {
    await configure(engine, 1, GET, KV);
    await start(1);
    await start(2);
    assert.deepEqual(verdictOf(await answer(2, 0, base64('{"vars":{"second":2}}'))), { vars: { second: 2 } });
    assert.deepEqual(verdictOf(await answer(1, 0, base64('{"vars":{"first":1}}'))), { vars: { first: 1 } });
  });

  it("is not entered by another call before it has ended", async () => {
    // It fails if it finds that somebody was here before and has not left.
    const once = `(if (global.get $inside) (then (return (i32.const 7)))) (global.set $inside (i32.const 1))
      (drop (call $kv_get (call $text))) (global.set $inside (i32.const 0)) (i32.const 0)`;
    await configure(engine, 1, asking(once, "(global $inside (mut i32) (i32.const 0))"), KV);
    for (const call of [1, 2, 3]) asked(await start(call));
    for (const call of [2, 3, 1]) verdictOf(await answer(call, 0, null));
    asked(await start(4));
    verdictOf(await answer(4, 0, null));
  });

  it("takes an instance for each call, up to a limit that is had back when calls end", async () => {
    await configure(engine, 1, GET, { ...KV, limits: { ...LIMITS, instances: 2 } });
    asked(await start(1));
    asked(await start(2));
    const third = await start(3);
    assert.ok(third.kind === "failure" && third.failure === "load");
    assert.match(third.message, /all of its 2 instances wait for the host/);
    verdictOf(await answer(1, 0, null));
    asked(await start(4));
    engine.abandon(2);
    asked(await start(5));
    assert.equal(failureOf(await start(6)), "load");
  });

  it("has its fuel for the whole call: what it used before it waited is gone", async () => {
    const burn = (n: number) =>
      `(local.set $i (i32.const 0)) (loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const ${n}))))`;
    const code = `(local $i i32) ${burn(6000)} (drop (call $kv_get (call $text))) ${burn(6000)} (i32.const 0)`;
    await configure(engine, 1, asking(code), { ...KV, limits: { ...LIMITS, fuel: 1_000_000 } });
    const whole = await start();
    const rest = await answer(1, 0, null);
    assert.equal(rest.kind, "verdict");
    assert.ok(whole.usage.fuel > 6000 && rest.usage.fuel > 6000);
    const used = whole.usage.fuel + rest.usage.fuel;
    // Each half would fit by itself.
    await configure(engine, 2, asking(code), { ...KV, limits: { ...LIMITS, fuel: used - 1000 } });
    assert.equal((await start(2, 2)).kind, "waiting");
    const short = await answer(2, 0, null);
    assert.equal(failureOf(short), "fuel");
    assert.ok(short.usage.fuel < used);
  });

  it("is not slowed down if it has no grant to wait: its turn is there when start returns", async () => {
    await configure(engine, 1, GET, { asks: [] });
    const turn = startNow(engine, 1, hookCall());
    assert.deepEqual(turn.hostCalls[0]?.args, ["warn", "kv_get: not granted"]);
    await configure(engine, 2, asking("(i32.const 0)"), { asks: ["fetch", "kv", "secret"] });
    assert.ok(engine.start(2, 2, hookCall()) instanceof Promise);
  });

  it("that is per-request meets a new instance with each call", async () => {
    const count = `(drop (call $kv_get (call $text))) (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (i32.ne (global.get $n) (i32.const 1))`;
    await configure(engine, 1, asking(count, "(global $n (mut i32) (i32.const 0))"), {
      ...KV,
      instance: "per-request",
    });
    for (let i = 0; i < 3; i++) {
      asked(await start());
      verdictOf(await answer(1, 0, null));
    }
  });

  it("logs before and after it waited, and every line is told once", async () => {
    const log = `(import "extism:host/env" "log_info" (func $log_info (param i64)))`;
    const code =
      "(call $log_info (call $text)) (drop (call $kv_get (call $text))) (call $log_info (call $text)) (i32.const 0)";
    await configure(engine, 1, asking(code).replace("(module", `(module ${log}`), KV);
    const waiting = await start();
    assert.deepEqual(
      waiting.hostCalls.map(({ seq, method }) => [seq, method]),
      [
        [0, "log"],
        [1, "kvGet"],
      ],
    );
    const ended = await answer(1, 1, null);
    assert.deepEqual(
      ended.hostCalls.map(({ seq, method }) => [seq, method]),
      [[2, "log"]],
    );
  });
});

describe("a guest that waits and misbehaves", () => {
  const ends: [what: string, failure: string, code: string][] = [
    ["traps", "trap", "(drop (call $kv_get (call $text))) (unreachable)"],
    ["loops for ever", "fuel", "(drop (call $kv_get (call $text))) (loop (br 0)) (i32.const 0)"],
    ["calls itself for ever", "trap", "(drop (call $kv_get (call $text))) (call $deep) (i32.const 0)"],
    ["returns something other than 0", "violation", "(drop (call $kv_get (call $text))) (i32.const 3)"],
    [
      "reads outside the host's memory",
      "violation",
      "(drop (call $kv_get (call $text))) (drop (call $load_u8 (i64.const -1))) (i32.const 0)",
    ],
    [
      "asks more often than it may",
      "violation",
      "(drop (call $kv_get (call $text))) (loop (drop (call $kv_get (i64.const 16))) (br 0)) (i32.const 0)",
    ],
  ];
  for (const [what, failure, code] of ends) {
    it(`and then ${what} fails with '${failure}', and the next call meets a new instance`, async () => {
      const module = asking(
        `(if (global.get $used) (then (return (i32.const 9)))) (global.set $used (i32.const 1)) ${code}`,
        "(global $used (mut i32) (i32.const 0)) (func $deep (call $deep) (drop (i32.const 1)))",
      );
      await configure(engine, 1, module, KV);
      for (const call of [1, 2]) {
        let turn = await start(call);
        for (let seq = 0; turn.kind === "waiting"; seq++) turn = await answer(call, seq, null);
        assert.equal(failureOf(turn), failure, JSON.stringify(turn));
      }
    });
  }

  it("is left waiting by an answer to something that it did not ask", async () => {
    await configure(engine, 1, GET, KV);
    asked(await start());
    for (const seq of [1, 7, 0xffff_ffff]) {
      const still = await answer(1, seq, base64("wrong"));
      assert.ok(still.kind === "waiting" && still.hostCalls.length === 0);
    }
    assert.deepEqual(verdictOf(await answer(1, 0, null)), {});
  });

  it("cannot be answered twice, nor after its end", async () => {
    await configure(engine, 1, GET, KV);
    asked(await start());
    const [first, second] = await Promise.all([answer(1, 0, null), answer(1, 0, base64("again"))]);
    verdictOf(first);
    assert.ok(second.kind === "waiting" && second.hostCalls.length === 0);
    assert.equal(failureOf(await answer(1, 0, null)), "violation");
    assert.equal(failureOf(await answer(99, 0, null)), "violation");
  });

  it("and is given up never runs again, and its instance is not used again", async () => {
    // The first word of its memory tells whether the rest of the hook has run.
    const code = `(if (i32.load (i32.const 1024)) (then (return (i32.const 5)))) (i32.store (i32.const 1024) (i32.const 1))
      (drop (call $kv_get (call $text))) (i32.store (i32.const 1024) (i32.const 0)) (i32.const 0)`;
    await configure(engine, 1, asking(code), KV);
    asked(await start(1));
    engine.abandon(1);
    engine.abandon(1);
    assert.equal(failureOf(await answer(1, 0, null)), "violation");
    asked(await start(2));
    verdictOf(await answer(2, 0, null));
  });

  it("and is given up 17,000 times leaves nothing behind", async () => {
    // Each instance holds memory with guard pages, of which a process has room for some 16,000.
    await configure(engine, 1, GET, { ...KV, instance: "per-request" });
    for (let call = 1; call <= 17_000; call++) {
      assert.equal((await start(call)).kind, "waiting");
      engine.abandon(call);
    }
  });

  it("cannot wait while its module starts", async () => {
    const module = asking(
      "(i32.const 0)",
      '(func (export "_initialize") (drop (call $kv_get (i64.const 0))))',
    );
    await configure(engine, 1, module, KV);
    const turn = await start();
    assert.ok(turn.kind === "failure" && turn.failure === "load");
    assert.match(turn.message, /waits for the host while it starts/);
  });
});

describe("host functions", () => {
  async function conversation(
    module: string,
    options: Partial<GuestConfig>,
    answers: unknown[],
  ): Promise<{ questions: unknown[]; log: unknown[]; end: Turn }> {
    await configure(engine, 1, assemble(module), options);
    const questions: unknown[] = [];
    const log: unknown[] = [];
    let turn = await start();
    for (;;) {
      for (const { method, args, waits } of turn.hostCalls) (waits ? questions : log).push([method, ...args]);
      const last = turn.hostCalls.at(-1);
      if (turn.kind !== "waiting" || last === undefined) return { questions, log, end: turn };
      const result = answers.shift() as { value: unknown } | { error: string };
      turn = await engine.resume(1, last.seq, result);
    }
  }

  const part = (from: number, length: number) => `(call $part (i32.const ${from}) (i32.const ${length}))`;

  it("kv_get tells a value that is empty from one that is not there", async () => {
    const code = `(local $v i64) (local.set $v (call $kv_get (call $text)))
      (i32.add (i64.eqz (local.get $v)) (i32.wrap_i64 (call $length (local.get $v))))`;
    assert.equal((await conversation(asking(code), KV, [{ value: "" }])).end.kind, "verdict");
    const none = await conversation(asking(code), KV, [{ value: null }]);
    assert.ok(none.end.kind === "failure" && none.end.message === "returned 1");
  });

  it("kv_set and kv_delete cross with the key, the value and the time", async () => {
    const code = `(drop (call $kv_set ${part(0, 3)} ${part(3, 5)} (i64.const 60000)))
      (drop (call $kv_set ${part(0, 3)} (i64.const 0) (i64.const 0)))
      (i32.wrap_i64 (call $kv_delete ${part(0, 3)}))`;
    const answers = [{ value: null }, { value: null }, { value: null }];
    const { questions, end } = await conversation(asking(code, "", "keyvalue"), KV, answers);
    assert.deepEqual(questions, [
      ["kvSet", "key", base64("value"), 60000],
      ["kvSet", "key", "", null],
      ["kvDelete", "key"],
    ]);
    assert.equal(end.kind, "verdict");
  });

  it("secret_get gives the text", async () => {
    const code = "(call $echo (call $secret_get (call $text))) (i32.const 0)";
    const secret = '{"vars":{"s":"ü"}}';
    const { questions, end } = await conversation(asking(code), { asks: ["secret"] }, [{ value: secret }]);
    assert.deepEqual(questions, [["secret", "key"]]);
    assert.deepEqual(verdictOf(end), { vars: { s: "ü" } });
  });

  const REQUEST = '{"url":"https://api.example/x?y=1","method":"POST","headers":{"X-A":"1","n":2}}';

  const LENGTH = JSON.stringify({ "content-type": "text/x", "x-two": "a, b" }).length;

  it("http_request crosses as Extism's JSON says, and its answer has status, headers and body", async () => {
    const code = `(local $body i64)
      (local.set $body (call $http_request ${part(0, REQUEST.length)} ${part(REQUEST.length, 4)}))
      (if (i32.ne (call $http_status_code) (i32.const 201)) (then (return (i32.const 1))))
      (if (i64.ne (call $length (call $http_headers)) (i64.const ${LENGTH})) (then (return (i32.const 2))))
      (call $echo (local.get $body)) (i32.const 0)`;
    const headers = [
      ["Content-Type", "text/x"],
      ["X-Two", "a"],
      ["x-two", "b"],
    ];
    const body = base64('{"vars":{"got":true}}');
    const { questions, end } = await conversation(asking(code, "", `${REQUEST}body`), { asks: ["fetch"] }, [
      { value: { status: 201, headers, body } },
    ]);
    assert.deepEqual(questions, [
      [
        "fetch",
        {
          url: "https://api.example/x?y=1",
          method: "POST",
          headers: [
            ["X-A", "1"],
            ["n", "2"],
          ],
          body: base64("body"),
        },
      ],
    ]);
    assert.deepEqual(verdictOf(end), { vars: { got: true } });
  });

  it("http_request that failed answers 0 with status 0, and the log says why", async () => {
    const code = `(drop (call $http_request (call $text) (i64.const 0))) (call $http_status_code)`;
    const { log, end } = await conversation(
      asking(code, "", '{"url":"https://a.example/"}'),
      { asks: ["fetch"] },
      [{ error: "no answer in time" }],
    );
    assert.deepEqual(log, [["log", "warn", "http_request: no answer in time"]]);
    assert.equal(end.kind, "verdict");
  });

  it("metric_count is told without waiting", async () => {
    const data = 'hitsHits.{"route":"a"}';
    const code = `(call $metric_count ${part(0, 4)} ${part(4, 5)} ${part(9, 13)} (f64.const 2.5))
      (call $metric_count ${part(0, 4)} ${part(4, 5)} (i64.const 0) (f64.const 1)) (i32.const 0)`;
    const { log } = await conversation(asking(code, "", data), { asks: [] }, []);
    assert.deepEqual(log, [
      ["count", "hits", "Hits.", { route: "a" }, 2.5],
      ["count", "hits", "Hits.", {}, 1],
    ]);
  });

  const long = (bytes: number) => `(call $alloc (i64.const ${bytes}))`;
  const refusals: [what: string, code: string, asks: GuestConfig["asks"], said: RegExp, data?: string][] = [
    ["a key that is empty", "(call $kv_get (call $alloc (i64.const 0)))", ["kv"], /a key is empty/],
    ["a key that is too long", `(call $kv_get ${long(257)})`, ["kv"], /a key has 257 bytes, at most 256/],
    ["a key that is not UTF-8", `(call $kv_get (call $text))`, ["kv"], /a key is not UTF-8/, "\u0000"],
    [
      "a value that is too long",
      `(call $kv_set (call $text) ${long(65537)} (i64.const 0))`,
      ["kv"],
      /a value has 65537 bytes/,
    ],
    [
      "a negative time",
      "(call $kv_set (call $text) (i64.const 0) (i64.const -1))",
      ["kv"],
      /its time is not/,
    ],
    [
      "a request that is no JSON",
      "(call $http_request (call $text) (i64.const 0))",
      ["fetch"],
      /is not JSON/,
    ],
    [
      "a request without a url",
      "(call $http_request (call $text) (i64.const 0))",
      ["fetch"],
      /needs a url/,
      "{}",
    ],
    [
      "a request that is a list",
      "(call $http_request (call $text) (i64.const 0))",
      ["fetch"],
      /no JSON object/,
      "[]",
    ],
    ["something without its grant", "(call $secret_get (call $text))", ["kv"], /secret_get: not granted/],
  ];
  for (const [what, code, asks, said, data] of refusals) {
    it(`${what} is refused without asking, and the log says why`, async () => {
      const bad = data === "\u0000" ? asking(`(drop ${code}) (i32.const 0)`).replace("\\6b", "\\ff") : null;
      const module = bad ?? asking(`(drop ${code}) (i32.const 0)`, "", data);
      const { questions, log, end } = await conversation(module, { asks }, []);
      assert.deepEqual(questions, []);
      assert.equal(end.kind, "verdict", JSON.stringify(end));
      assert.match(String((log[0] as unknown[])[2]), said);
    });
  }
});
