/** The last look at emitted bytes: whatever runs unpaid in them is seen. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readShape } from "../../../src/sandbox/forge/module-shape.ts";
import { unmeteredPlaces } from "../../../src/sandbox/forge/proof.ts";
import { assemble, forged } from "../wasm/guests.ts";

const PAY = "(global.set $f (i64.sub (global.get $f) (i64.const 1)))";
const STOP = "(if (i64.lt_s (global.get $f) (i64.const 0)) (then (unreachable)))";
const FUEL = '(global $f (export "gatehouse:fuel") (mut i64) (i64.const 9))';

function places(code: string): number {
  const bytes = assemble(`(module (memory 1) (table $t 1 funcref) ${FUEL}
    (func (export "access") (result i32) ${code} (i32.const 0)))`);
  return unmeteredPlaces(bytes, readShape(bytes));
}

describe("the proof of metering", () => {
  const cases: [what: string, code: string, unmetered: number][] = [
    ["a function that pays", `${PAY} ${STOP}`, 0],
    ["a function that does not pay", "(nop)", 1],
    ["one that pays and does not stop", PAY, 1],
    ["one that stops and does not pay", STOP, 1],
    ["a loop that does not pay", `${PAY} ${STOP} (loop (br 0))`, 1],
    [
      "loops that pay, one in another",
      `${PAY} ${STOP} (loop ${PAY} ${STOP} (loop ${PAY} ${STOP} (br 1)))`,
      0,
    ],
    ["an inner loop that does not pay", `${PAY} ${STOP} (loop ${PAY} ${STOP} (loop (br 1)))`, 1],
    [
      "a bulk instruction without a charge",
      `${PAY} ${STOP} (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))`,
      1,
    ],
    [
      "a bulk instruction of tables without a charge",
      `${PAY} ${STOP} (table.fill $t (i32.const 0) (ref.null func) (i32.const 1))`,
      1,
    ],
    ["code that pays on its way", `${PAY} ${STOP} (if (i32.const 1) (then ${PAY}))`, 0],
    ["code that pays less than nothing", `${PAY} ${STOP} ${PAY.replace("const 1", "const -1")}`, 1],
    ["code that sets the counter", `${PAY} ${STOP} (global.set $f (i64.const 99))`, 1],
    ["code that reads the counter for itself", `${PAY} ${STOP} (drop (global.get $f))`, 1],
  ];
  for (const [what, code, unmetered] of cases)
    it(`${unmetered === 0 ? "passes" : "sees"} ${what}`, () => {
      assert.equal(places(code) === 0, unmetered === 0, `${places(code)} places`);
    });

  it("sees a module without a counter", () => {
    const bytes = assemble('(module (func (export "access") (result i32) (i32.const 0)))');
    assert.ok(unmeteredPlaces(bytes, readShape(bytes)) > 0);
  });

  it("passes what the forge emits, and not if one payment is taken out", async () => {
    const { emitted } = await forged(`(module (memory 1) (func (export "access") (result i32)
      (loop (memory.fill (i32.const 0) (i32.const 0) (i32.const 9)) (br 0)) (i32.const 0)))`);
    assert.equal(unmeteredPlaces(emitted, readShape(emitted)), 0);
    // `i64.sub, global.set 0` becomes `drop, drop, nop`: as long, and still valid code.
    let taken = 0;
    for (let at = 0; at + 3 <= emitted.length; at++) {
      if (emitted[at] !== 0x7d || emitted[at + 1] !== 0x24 || emitted[at + 2] !== 0) continue;
      const changed = Uint8Array.from(emitted);
      changed.set([0x1a, 0x1a, 0x01], at);
      assert.ok(WebAssembly.validate(changed));
      assert.ok(unmeteredPlaces(changed, readShape(changed)) > 0, `payment at ${at}`);
      taken++;
    }
    assert.equal(taken, 3, "the function, the loop and the charge of the length");
  });
});
