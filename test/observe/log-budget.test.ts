/** Lines that somebody may cause without end are bounded, and what is left out is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LogBudget } from "../../src/observe/log-budget.ts";

/** Tokens that come back too slowly for a test to see. */
const SLOW = 1e-6;

test("a key has its burst, and the rest is one line with their number", async () => {
  const { promise, resolve } = Promise.withResolvers<[number, object]>();
  const budget = new LogBudget({ perSecond: SLOW, burst: 5, intervalMs: 20 }, (suppressed, fields) =>
    resolve([suppressed, fields]),
  );
  const keepAlive = setInterval(() => {}, 1000);
  const admitted = Array.from({ length: 100 }, () => budget.admits("acme", { workspace: "acme" }));
  assert.deepEqual(
    admitted.flatMap((yes, i) => (yes ? [i] : [])),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(await promise, [95, { workspace: "acme" }]);
  assert.equal(budget.admits("acme", {}), false, "its tokens are still spent");
  clearInterval(keepAlive);
});

test("a key may have a rate of its own, and its burst goes with it", () => {
  const budget = new LogBudget({ perSecond: SLOW, burst: 2, intervalMs: 1000 }, () => {});
  const admitted = (key: string, perSecond: number) =>
    Array.from({ length: 10 }, () => budget.admits(key, {}, perSecond)).filter(Boolean).length;
  assert.deepEqual([admitted("a", SLOW * 3), admitted("b", SLOW / 100), admitted("c", SLOW)], [6, 1, 2]);
});

test("keys do not share their tokens", () => {
  const budget = new LogBudget({ perSecond: SLOW, burst: 1, intervalMs: 1000 }, () => {});
  assert.deepEqual(
    ["a", "a", "b", "b"].map((key) => budget.admits(key, {})),
    [true, false, true, false],
  );
});

test("tokens come back with time, at most a burst of them", async () => {
  const budget = new LogBudget({ perSecond: 1e6, burst: 2, intervalMs: 1000 }, () => {});
  budget.admits("a", {});
  budget.admits("a", {});
  const spent = performance.now();
  while (performance.now() < spent + 1);
  assert.equal(budget.admits("a", {}), true);
});
