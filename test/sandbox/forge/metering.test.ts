/** What fuel metering promises: every way to run code twice is paid for, and the price is always the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import binaryen from "binaryen";
import fc from "fast-check";
import { assemble, forged } from "../wasm/guests.ts";

interface Metered {
  run(fuel: number): "ended" | "out of fuel" | "trapped";
  left(): number;
  exports: Record<string, unknown>;
}

async function metered(module: string): Promise<Metered> {
  const { emitted } = await forged(module);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(emitted), {});
  const fuel = instance.exports["gatehouse:fuel"] as WebAssembly.Global<bigint>;
  return {
    exports: instance.exports,
    left: () => Number(fuel.value),
    run(units) {
      fuel.value = BigInt(units);
      try {
        (instance.exports.access as () => number)();
        // The last stretch of code pays without looking what is left; the engine looks when the call has ended.
        return fuel.value < 0n ? "out of fuel" : "ended";
      } catch {
        return fuel.value < 0n ? "out of fuel" : "trapped";
      }
    },
  };
}

/** Random code that ends: loops run a fixed number of times, functions call only those before them. */
const TICK = "(global.set $ticks (i64.add (global.get $ticks) (i64.const 1)))";
const CALL = "(call $inner)";
const CALL_INDIRECT = "(call_indirect (type $plain) (i32.const 0))";
const code = fc.letrec<{ statement: string; body: string }>((tie) => ({
  body: fc.array(tie("statement"), { maxLength: 3 }).map((list) => list.join("\n")),
  statement: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant("(drop (i32.add (local.get $i) (i32.const 1)))"),
    fc.constant(CALL),
    fc.constant(CALL_INDIRECT),
    fc.constant("(memory.fill (i32.const 0) (i32.const 1) (i32.const 64))"),
    tie("body").map((body) => `(block ${body} (br_if 0 (i32.const 1)) (unreachable))`),
    fc.tuple(tie("body"), tie("body")).map(([a, b]) => `(if (local.get $i) (then ${a}) (else ${b}))`),
    fc.tuple(tie("body"), fc.integer({ min: 1, max: 4 })).map(
      ([body, times]) => `(block (local.set $i (i32.const ${times})) (loop ${TICK} ${body}
        (br_if 0 (i32.gt_s (local.tee $i (i32.sub (local.get $i) (i32.const 1))) (i32.const 0)))))`,
    ),
  ),
}));

function program(inner: string, outer: string): string {
  return `(module (memory 1) (type $plain (func)) (table 1 funcref) (elem (i32.const 0) $inner)
    (global $ticks (export "ticks") (mut i64) (i64.const 0))
    (func $inner (local $i i32) ${TICK} ${inner.replaceAll(CALL, "(nop)").replaceAll(CALL_INDIRECT, "(nop)")})
    (func (export "access") (result i32) (local $i i32) ${TICK} ${outer} (i32.const 0)))`;
}

describe("fuel", () => {
  it("is charged at every function entry and every loop header of an emitted module", async () => {
    await fc.assert(
      fc.asyncProperty(code.body, code.body, async (inner, outer) => {
        const { emitted } = await forged(program(inner, outer));
        const reader = binaryen as unknown as { readBinary(bytes: Uint8Array): binaryen.Module };
        const module = reader.readBinary(emitted);
        const lines = module.emitText().split("\n");
        module.dispose();
        const fuel = /\(export "gatehouse:fuel" \(global (\S+)\)\)/.exec(lines.join("\n"))?.[1];
        assert.ok(fuel);
        lines.forEach((line, i) => {
          if (!/^\s*\((func|loop)\b/.test(line)) return;
          const next = lines.slice(i + 1).find((text) => !/^\s*\(local \$\S+ \w+\)$/.test(text)) ?? "";
          assert.equal(next.trim(), `(global.set ${fuel}`, `after ${line.trim()}`);
        });
      }),
      { numRuns: 60, seed: 20260101 },
    );
  });

  it("covers at least one unit for each loop iteration and function call that happens", async () => {
    await fc.assert(
      fc.asyncProperty(code.body, code.body, async (inner, outer) => {
        const guest = await metered(program(inner, outer));
        const plenty = 10_000_000;
        if (guest.run(plenty) !== "ended") return;
        const ticks = Number((guest.exports.ticks as WebAssembly.Global<bigint>).value);
        assert.ok(plenty - guest.left() >= ticks, `${ticks} steps for ${plenty - guest.left()} units`);
      }),
      { numRuns: 60, seed: 20260102 },
    );
  });

  it("ends every program when there is too little of it", async () => {
    await fc.assert(
      fc.asyncProperty(code.body, code.body, async (inner, outer) => {
        const guest = await metered(program(inner, outer));
        assert.equal(guest.run(0), "out of fuel");
      }),
      { numRuns: 20, seed: 20260103 },
    );
  });

  it("used is the same on every run, and exactly enough suffices", async () => {
    const guest = await metered(
      program("", "(loop (call $inner) (memory.fill (i32.const 0) (i32.const 0) (i32.const 99)))"),
    );
    assert.equal(guest.run(1_000_000), "ended");
    const used = 1_000_000 - guest.left();
    assert.equal(guest.run(1_000_000), "ended");
    assert.equal(1_000_000 - guest.left(), used);
    assert.equal(guest.run(used), "ended");
    assert.equal(guest.run(used - 1), "out of fuel");
  });

  const endless: [what: string, code: string, declarations?: string][] = [
    ["an endless loop", "(loop (br 0)) (i32.const 0)"],
    ["an endless loop in unreachable-typed code", "(loop (result i32) (br 0))"],
    [
      "endless recursion with plenty of stack",
      "(call $f) (i32.const 0)",
      "(func $f (block (br 0)) (call $g)) (func $g)",
    ],
    [
      "a tree of 2^40 calls without a loop",
      "(call $f0) (i32.const 0)",
      Array.from(
        { length: 41 },
        (_, i) => `(func $f${i} ${i < 40 ? `(call $f${i + 1}) (call $f${i + 1})` : ""})`,
      ).join(" "),
    ],
    [
      "memory.fill of the whole memory in a loop",
      "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 16777216)) (br 0)) (i32.const 0)",
      "(memory 256)",
    ],
    [
      "memory.copy in a loop",
      "(loop (memory.copy (i32.const 0) (i32.const 8) (i32.const 16000000)) (br 0)) (i32.const 0)",
      "(memory 256)",
    ],
    ["memory.grow in a loop", "(loop (drop (memory.grow (i32.const 0))) (br 0)) (i32.const 0)", "(memory 1)"],
    [
      "table.grow in a loop",
      "(loop (drop (table.grow (ref.null func) (i32.const 0))) (br 0)) (i32.const 0)",
      "(table 1 funcref)",
    ],
    [
      "table.fill in a loop",
      "(loop (table.fill $t (i32.const 0) (ref.null func) (i32.const 9000)) (br 0)) (i32.const 0)",
      "(table $t 9000 funcref)",
    ],
    [
      "table.copy in a loop",
      "(loop (table.copy $t $t (i32.const 0) (i32.const 1) (i32.const 8999)) (br 0)) (i32.const 0)",
      "(table $t 9000 funcref)",
    ],
    [
      "table.init in a loop",
      "(loop (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2)) (br 0)) (i32.const 0)",
      "(table $t 9 funcref) (func $f) (elem $e func $f $f)",
    ],
    [
      "memory.init in a loop",
      "(loop (memory.init $d (i32.const 0) (i32.const 0) (i32.const 5)) (br 0)) (i32.const 0)",
      '(memory 1) (data $d "bytes")',
    ],
  ];
  for (const [what, body, declarations = ""] of endless) {
    it(`ends ${what}`, async () => {
      const guest = await metered(`(module ${declarations} (func (export "access") (result i32) ${body}))`);
      const budget = what.startsWith("endless recursion") ? 1 : 5_000_000;
      assert.equal(guest.run(budget), "out of fuel");
    });
  }

  const lengths: [what: string, operation: (length: number) => string, units: number][] = [
    ["memory.fill", (n) => `(memory.fill (i32.const 0) (i32.const 0) (i32.const ${n}))`, 1000],
    ["memory.copy", (n) => `(memory.copy (i32.const 0) (i32.const 1) (i32.const ${n}))`, 1000],
    ["memory.init", (n) => `(memory.init $d (i32.const 0) (i32.const 0) (i32.const ${n}))`, 1000],
    ["table.fill", (n) => `(table.fill $t (i32.const 0) (ref.null func) (i32.const ${n}))`, 128_000],
    ["table.copy", (n) => `(table.copy $t $t (i32.const 0) (i32.const 1) (i32.const ${n}))`, 128_000],
    ["table.init", (n) => `(table.init $t $e (i32.const 0) (i32.const 0) (i32.const ${n}))`, 128_000],
    ["table.grow", (n) => `(drop (table.grow $t (ref.null func) (i32.const ${n})))`, 128_000],
  ];
  for (const [what, operation, units] of lengths) {
    it(`is charged by the length of ${what}`, async () => {
      const used = async (length: number): Promise<number> => {
        const guest = await metered(`(module (memory 1) (table $t 9000 funcref) (func $f)
          (data $d "${"x".repeat(8000)}") (elem $e func ${"$f ".repeat(8000)})
          (func (export "access") (result i32) ${operation(length)} (i32.const 0)))`);
        assert.equal(guest.run(1_000_000), "ended");
        return 1_000_000 - guest.left();
      };
      assert.equal((await used(8000)) - (await used(0)), units);
    });
  }

  it("is charged by a length that counts as negative, before anything is done", async () => {
    const guest = await metered(`(module (memory 1) (func (export "access") (result i32)
      (memory.fill (i32.const 0) (i32.const 1) (i32.const -1)) (i32.const 0)))`);
    assert.equal(guest.run(1_000_000), "out of fuel");
  });

  it("is charged for the locals that a call has to zero", async () => {
    const used = async (locals: string): Promise<number> => {
      const guest = await metered(
        `(module (func $f ${locals}) (func (export "access") (result i32) (call $f) (i32.const 0)))`,
      );
      guest.run(1_000_000);
      return 1_000_000 - guest.left();
    };
    assert.equal((await used(`(local ${"i64 ".repeat(400)})`)) - (await used("")), 100);
  });

  it("of the start function is bounded when the module is instantiated", async () => {
    const looping =
      '(module (func $s (loop (br 0))) (start $s) (func (export "access") (result i32) (i32.const 0)))';
    const { emitted } = await forged(looping);
    const module = new WebAssembly.Module(emitted);
    assert.throws(() => new WebAssembly.Instance(module, {}), WebAssembly.RuntimeError);
  });

  it("cannot be reached by an index that the guest makes up", () => {
    const module = assemble(
      '(module (global $g (mut i64) (i64.const 0)) (func (export "access") (result i32) (global.set $g (i64.const 9)) (i32.const 0)))',
    );
    // The global's index, 0, becomes 1: the one that the fuel counter will have.
    const at = Buffer.from(module).indexOf(Uint8Array.of(0x42, 9, 0x24, 0)) + 3;
    module[at] = 1;
    assert.equal(WebAssembly.validate(module), false);
  });

  it("is not changed by a guest that has an i64 global of its own", async () => {
    const guest =
      await metered(`(module (global $g (mut i64) (i64.const 7)) (func (export "access") (result i32)
      (global.set $g (i64.const 9223372036854775807)) (i32.const 0)))`);
    assert.equal(guest.run(1000), "ended");
    assert.ok(guest.left() < 1000);
  });
});
