/** The WebAssembly engine: what a guest gets, and how every way of misbehaving ends. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { HOST_CALL_LIMITS } from "../../../src/sandbox/calls/host-call-limits.ts";
import type { Engine, GuestConfig, Turn } from "../../../src/sandbox/protocol/engine.ts";
import { createWasmEngine } from "../../../src/sandbox/wasm/wasm-engine.ts";
import {
  answering,
  assemble,
  configure,
  failureOf,
  forged,
  guest,
  hookCall,
  LIMITS,
  STORE,
  startNow,
} from "./guests.ts";

describe("a guest", () => {
  let engine: Engine;
  beforeEach(() => {
    engine = createWasmEngine();
  });

  const run = (instance = 1): Turn => startNow(engine, instance, hookCall());

  it("that sets no output changes nothing", async () => {
    await configure(engine, 1, guest("(i32.const 0)"));
    const turn = run();
    assert.ok(turn.kind === "verdict");
    assert.deepEqual(turn.verdict, {});
    assert.deepEqual(turn.hostCalls, []);
  });

  it("is told how much fuel it used, the same for the same input", async () => {
    await configure(engine, 1, answering('{"vars":{"a":1}}'));
    const first = run();
    const second = run();
    assert.ok(first.usage.fuel > 0);
    assert.equal(second.usage.fuel, first.usage.fuel);
    assert.ok(first.usage.memoryBytes >= 65536);
  });

  const failures: [what: string, failure: string, code: string, declarations?: string][] = [
    ["loops for ever", "fuel", "(loop (br 0)) (i32.const 0)"],
    [
      "fills its memory in a loop",
      "fuel",
      "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 16777216)) (br 0)) (i32.const 0)",
      "(memory 256)",
    ],
    [
      "calls a tree of functions",
      "fuel",
      "(call $f0) (i32.const 0)",
      Array.from(
        { length: 31 },
        (_, i) => `(func $f${i} ${i < 30 ? `(call $f${i + 1}) (call $f${i + 1})` : ""})`,
      ).join(" "),
    ],
    ["calls itself for ever", "trap", "(call $f) (i32.const 0)", "(func $f (call $f) (drop (i32.const 1)))"],
    [
      "recurses through a host function",
      "trap",
      "(call $f) (i32.const 0)",
      "(func $f (drop (call $alloc (i64.const 0))) (call $f) (call $free (i64.const 0)))",
    ],
    ["runs into unreachable", "trap", "(unreachable)"],
    ["divides by zero", "trap", "(i32.div_s (i32.const 1) (i32.const 0))"],
    ["reads outside its memory", "trap", "(i32.load (i32.const 65536))", "(memory 1)"],
    ["calls an empty table entry", "trap", "(call_indirect (result i32) (i32.const 0))", "(table 1 funcref)"],
    ["returns something other than 0", "violation", "(i32.const 1)"],
    [
      "allocates 200,000 single bytes",
      "memory",
      "(local $i i32) (loop (drop (call $alloc (i64.const 1))) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $i) (i32.const 200000)))) (i32.const 0)",
    ],
    ["allocates 1 GiB", "memory", "(drop (call $alloc (i64.const 1073741824))) (i32.const 0)"],
    [
      "allocates the largest number of bytes",
      "memory",
      "(drop (call $alloc (i64.const 9223372036854775807))) (i32.const 0)",
    ],
    ["allocates a negative number of bytes", "memory", "(drop (call $alloc (i64.const -1))) (i32.const 0)"],
    ["loads from address 0", "violation", "(call $load_u8 (i64.const 0))"],
    [
      "loads behind the last block",
      "violation",
      "(call $load_u8 (i64.add (call $alloc (i64.const 8)) (i64.const 8)))",
    ],
    ["loads from a negative address", "violation", "(call $load_u8 (i64.const -8))"],
    [
      "loads eight bytes across the end",
      "violation",
      "(i32.wrap_i64 (call $load_u64 (i64.add (call $alloc (i64.const 8)) (i64.const 1))))",
    ],
    [
      "stores far outside",
      "violation",
      "(call $store_u64 (i64.const 9223372036854775807) (i64.const 1)) (i32.const 0)",
    ],
    [
      "stores at 2^53",
      "violation",
      "(call $store_u8 (i64.const 9007199254740993) (i32.const 1)) (i32.const 0)",
    ],
    [
      "sets an output whose length overflows",
      "violation",
      "(drop (call $alloc (i64.const 64))) (call $output_set (i64.const 0xFFFFFFF0) (i64.const 0x20)) (i32.const 0)",
    ],
    [
      "sets an output whose 64-bit length overflows",
      "violation",
      "(call $output_set (call $alloc (i64.const 64)) (i64.const -16)) (i32.const 0)",
    ],
    ["loads input behind its end", "violation", "(i32.wrap_i64 (call $input_load_u64 (i64.const 100000)))"],
    ["loads input at a negative offset", "violation", "(i32.wrap_i64 (call $input_load_u64 (i64.const -8)))"],
    ["sets an error that is no block", "violation", "(call $error_set (i64.const 12345)) (i32.const 1)"],
    [
      "frees the error that it set",
      "violation",
      "(local $b i64) (call $error_set (local.tee $b (call $alloc (i64.const 8)))) (call $free (local.get $b)) (i32.const 1)",
    ],
    [
      "asks for config under an address that is no block",
      "violation",
      "(drop (call $config_get (i64.const 77))) (i32.const 0)",
    ],
    [
      "asks for config without end",
      "violation",
      "(local $b i64) (local.set $b (call $alloc (i64.const 8))) (loop (drop (call $config_get (local.get $b))) (br 0)) (i32.const 0)",
    ],
    [
      "keeps more variables than it may",
      "memory",
      "(local $i i32) (local $b i64) (local.set $b (call $alloc (i64.const 8))) (loop (call $store_u64 (local.get $b) (i64.extend_i32_u (local.get $i))) (call $var_set (local.get $b) (local.get $b)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br 0)) (i32.const 0)",
    ],
    [
      "keeps a variable that is too large",
      "memory",
      "(local $b i64) (local.set $b (call $alloc (i64.const 1000000))) (call $var_set (call $alloc (i64.const 8)) (local.get $b)) (i32.const 0)",
    ],
    [
      "aborts",
      "trap",
      "(call $abort (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 0)",
      '(import "env" "abort" (func $abort (param i32 i32 i32 i32)))',
    ],
  ];
  for (const [what, failure, code, declarations] of failures) {
    it(`that ${what} fails with '${failure}', and the next call meets a new instance`, async () => {
      await configure(engine, 1, guest(code, declarations));
      await configure(engine, 2, guest("(i32.const 0)"));
      const turn = run();
      assert.equal(failureOf(turn), failure, JSON.stringify(turn));
      assert.equal(failureOf(run()), failure);
      assert.equal(run(2).kind, "verdict");
    });
  }

  it("that grows its memory without end is stopped at the quota by its own module", async () => {
    const grow =
      "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (i32.const 0)";
    await configure(engine, 1, guest(grow, "(memory 1)"));
    const turn = run();
    assert.equal(turn.kind, "verdict");
    assert.ok(turn.usage.memoryBytes <= 33 * 1024 * 1024);
  });

  it("that holds more memory than its limit fails with 'memory', even if it hides its memory", async () => {
    const grow = "(drop (memory.grow (i32.const 20))) (i32.const 0)";
    await configure(engine, 1, guest(grow, "(memory 1)"), {
      limits: { ...LIMITS, memoryBytes: 1024 * 1024 },
    });
    assert.equal(failureOf(run()), "memory");
  });

  it("that runs out of fuel in its last stretch of code has failed, whatever it answers", async () => {
    const stretch = `(if (i32.const 1) (then ${"(drop (i32.const 1))".repeat(200)})) (i32.const 0)`;
    await configure(engine, 1, guest(stretch), { limits: { ...LIMITS, fuel: 100 } });
    assert.equal(failureOf(run()), "fuel");
    await configure(engine, 1, guest(stretch), { limits: { ...LIMITS, fuel: 1000 } });
    assert.equal(run().kind, "verdict");
  });

  it("that grows a table without end is stopped", async () => {
    const grow =
      "(loop $more (br_if $more (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1)))) (table.size)";
    await configure(engine, 1, guest(grow, "(table 1 funcref)"));
    const turn = run();
    assert.ok(turn.kind === "failure" && /returned 32001/.test(turn.message), JSON.stringify(turn));
  });

  it("is named in its own words when it sets an error", async () => {
    const code = `(call $error_set (call $store (i32.const 0) (i32.const 5))) (i32.const 7)`;
    await configure(engine, 1, guest(code, `(memory 1) (data (i32.const 0) "sorry") ${STORE}`));
    const turn = run();
    assert.ok(turn.kind === "failure");
    assert.equal(turn.message, "returned 7: sorry");
  });

  it("that logs a million lines gets a few of them and a count of the rest", async () => {
    const code = `(local $i i32) (local $b i64) (local.set $b (call $alloc (i64.const 8)))
      (loop (call $log_info (local.get $b)) (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $i) (i32.const 200000)))) (i32.const 0)`;
    await configure(engine, 1, guest(code));
    const { hostCalls } = run();
    assert.equal(hostCalls.length, HOST_CALL_LIMITS.logLines + 1);
    assert.deepEqual(
      hostCalls.map(({ seq }) => seq),
      Array.from(hostCalls.keys()),
    );
    assert.ok(hostCalls.every(({ method, waits }) => method === "log" && !waits));
    assert.deepEqual(hostCalls.at(-1)?.args, [
      "warn",
      `${200_000 - HOST_CALL_LIMITS.logLines} more log lines were dropped`,
    ]);
  });

  it("that logs a long line has it cut", async () => {
    await configure(engine, 1, guest("(call $log_info (call $alloc (i64.const 1000000))) (i32.const 0)"));
    assert.equal(String(run().hostCalls[0]?.args[1]).length, HOST_CALL_LIMITS.logCharacters);
  });

  it("gets no outbound HTTP, and its log says why", async () => {
    await configure(engine, 1, guest("(i32.wrap_i64 (call $http_request (i64.const 0) (i64.const 0)))"));
    const turn = run();
    assert.equal(turn.kind, "verdict");
    assert.deepEqual(turn.hostCalls[0]?.args, ["warn", "http_request: not granted"]);
  });

  const counter = "(global $n (mut i32) (i32.const 0))";
  const countUp = "(global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)";

  it("that is resident keeps its memory between calls", async () => {
    // It returns its count, so each call is a violation that names it, unless the instance was discarded.
    const quiet = `(global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.eq (global.get $n) (i32.const 3))`;
    await configure(engine, 1, guest(quiet, counter));
    assert.deepEqual([run().kind, run().kind, run().kind], ["verdict", "verdict", "failure"]);
  });

  it("that is per-request starts anew with each call", async () => {
    await configure(engine, 1, guest(countUp, counter), { instance: "per-request" });
    for (let i = 0; i < 3; i++) {
      const turn = run();
      assert.ok(turn.kind === "failure" && turn.message === "returned 1");
    }
  });

  it("starts anew after a failure", async () => {
    await configure(engine, 1, guest(countUp, counter));
    for (let i = 0; i < 3; i++) {
      const turn = run();
      assert.ok(turn.kind === "failure" && turn.message === "returned 1");
    }
  });

  it("that is per-request can be called 20,000 times in one process", async () => {
    await configure(engine, 1, guest("(i32.const 0)", "(memory 1)"), { instance: "per-request" });
    for (let i = 0; i < 20_000; i++) assert.equal(run().kind, "verdict");
  });

  it("sees nothing of another guest's call in the host's memory", async () => {
    const write = "(call $store_u64 (call $alloc (i64.const 8)) (i64.const 0x5ec7e7)) (i32.const 0)";
    const read = "(i64.ne (call $load_u64 (call $alloc (i64.const 8))) (i64.const 0))";
    await configure(engine, 1, guest(write));
    await configure(engine, 2, guest(read));
    assert.equal(run(1).kind, "verdict");
    assert.equal(run(2).kind, "verdict");
  });

  it("keeps its variables from call to call, and nobody else's", async () => {
    const code = `(local $k i64) (local.set $k (call $alloc (i64.const 1)))
      (if (i64.ne (call $var_get (local.get $k)) (i64.const 0)) (then (return (i32.const 2))))
      (call $var_set (local.get $k) (local.get $k)) (i32.const 0)`;
    await configure(engine, 1, guest(code));
    await configure(engine, 2, guest(code));
    assert.equal(run(1).kind, "verdict");
    assert.equal(run(2).kind, "verdict");
    const again = run(1);
    assert.ok(again.kind === "failure" && again.message === "returned 2");
  });
});

describe("loading", () => {
  const access = '(func (export "access") (result i32) (i32.const 0))';

  const configOf = (digest: string, phases: GuestConfig["phases"] = ["access"]): GuestConfig => ({
    digest,
    runtime: "extism",
    phases,
    instance: "resident",
    pluginId: "p",
    config: null,
    asks: [],
    limits: LIMITS,
  });

  async function loaded(
    module: string,
    prepare: (engine: Engine, digest: string, bytes: Uint8Array) => void,
  ) {
    const engine = createWasmEngine();
    const { digest, emitted } = await forged(module);
    prepare(engine, digest, emitted);
    engine.configure(1, configOf(digest, ["access", "log"]));
    return engine;
  }

  it("fails each call if the artifact was changed after the forge", async () => {
    const engine = await loaded(`(module ${access})`, (e, digest, bytes) => {
      const changed = bytes.slice();
      changed[changed.length - 3] = (changed.at(-3) as number) ^ 1;
      e.load(digest, changed);
    });
    const turn = startNow(engine, 1, hookCall());
    assert.ok(turn.kind === "failure" && turn.failure === "load" && /has other bytes/.test(turn.message));
  });

  it("fails each call if the artifact is not the forge's work", async () => {
    const { createHash } = await import("node:crypto");
    const engine = createWasmEngine();
    const bytes = assemble(`(module ${access})`);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    engine.load(digest, bytes);
    engine.configure(1, configOf(digest));
    const turn = startNow(engine, 1, hookCall());
    assert.ok(turn.kind === "failure" && turn.failure === "load" && /is not metered/.test(turn.message));
  });

  it("is forgotten when it was unloaded as often as it was loaded", async () => {
    const engine = await loaded(`(module ${access})`, (e, digest, bytes) => {
      e.load(digest, bytes);
      e.load(digest, bytes);
      e.unload(digest);
    });
    const { digest } = await forged(`(module ${access})`);
    assert.equal(startNow(engine, 1, hookCall()).kind, "verdict");
    engine.unload(digest);
    engine.configure(2, configOf(digest));
    const turn = startNow(engine, 2, hookCall());
    assert.ok(turn.kind === "failure" && /is not in this cordon/.test(turn.message));
  });

  const starts: [what: string, module: string, message: RegExp][] = [
    ["loops", `(module (func $s (loop (br 0))) (start $s) ${access})`, /start-up fuel/],
    ["traps", `(module (func $s (unreachable)) (start $s) ${access})`, /could not be started/],
    [
      "loops in _initialize",
      `(module (func (export "_initialize") (loop (br 0))) ${access})`,
      /start-up fuel/,
    ],
    [
      "allocates without end while it starts",
      `(module (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (func $s (loop (drop (call $alloc (i64.const 100000))) (br 0))) (start $s) ${access})`,
      /start function failed: alloc/,
    ],
  ];
  for (const [what, module, message] of starts) {
    it(`fails each call of a module that ${what} when it starts`, async () => {
      const engine = await loaded(module, (e, digest, bytes) => e.load(digest, bytes));
      for (let i = 0; i < 2; i++) {
        const turn = startNow(engine, 1, hookCall());
        assert.ok(turn.kind === "failure" && turn.failure === "load");
        assert.match(turn.message, message);
      }
    });
  }

  it("fails a call for a phase, an instance or an artifact that is not there", async () => {
    const engine = await loaded(`(module ${access})`, (e, digest, bytes) => e.load(digest, bytes));
    assert.equal(failureOf(startNow(engine, 1, hookCall("log"))), "load");
    assert.equal(failureOf(startNow(engine, 99, hookCall())), "load");
    engine.release(1);
    assert.equal(failureOf(startNow(engine, 1, hookCall())), "load");
    const empty = await loaded(`(module ${access})`, () => {});
    assert.equal(failureOf(startNow(empty, 1, hookCall())), "load");
  });

  it("fails a call that is resumed although it does not wait", () => {
    const turn = createWasmEngine().resume(1, 0, { value: null });
    assert.ok(!(turn instanceof Promise) && turn.kind === "failure" && turn.failure === "violation");
  });
});
