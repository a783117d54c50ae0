/** Who is kept apart, beside what the deaths of real cordons show (cordon-life.test.ts). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_APART, STRIKES_APART, Suspensions } from "../../../src/sandbox/supervisor/suspension.ts";

test("a workspace whose plugins all crash gets so many cordons for them and no more, whatever others have", () => {
  const suspensions = new Suspensions(1000);
  const apart = (workspace: string, plugin: string, now: number) => {
    for (let strike = 1; strike < STRIKES_APART; strike++)
      suspensions.strike({ workspace, plugin }, true, now);
    return suspensions.strike({ workspace, plugin }, true, now)?.apart === true;
  };
  const hostile = Array.from({ length: MAX_APART + 3 }, (_, i) => apart("hostile", `plugin-${i}`, 0));
  assert.deepEqual(hostile, [...Array(MAX_APART).fill(true), false, false, false]);
  assert.equal(apart("other", "plugin-0", 0), true);
  assert.equal(suspensions.forgive(1000).length, MAX_APART + 1);
  assert.equal(apart("hostile", "late", 1001), true);
});
