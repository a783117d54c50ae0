/** CPU budgets as accounts: what fills them, what empties them, and who shares what there is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BudgetGate,
  type CpuAllowance,
  CpuBudgets,
  fairShare,
  MAX_DEBT_MS,
  sharedNow,
  UNBOUNDED,
} from "../../../src/sandbox/supervisor/budget.ts";

interface Books {
  readonly budgets: CpuBudgets;
  readonly gate: BudgetGate;
  readonly slots: Map<string, number>;
  readonly exhausted: string[];
  /** When the books were opened. */
  readonly start: number;
  waitMs(workspace: string): number;
}

function open(
  workspaces: Readonly<Record<string, CpuAllowance>>,
  totalMsPerSecond = Number.POSITIVE_INFINITY,
): Books {
  const slots = new Map<string, number>();
  const exhausted: string[] = [];
  const budgets = new CpuBudgets({
    allowanceOf: (workspace) => workspaces[workspace] ?? UNBOUNDED,
    totalMsPerSecond,
    onOpened: (workspace, slot) => slots.set(workspace, slot),
    onExhausted: (workspace) => exhausted.push(workspace),
  });
  for (const workspace of Object.keys(workspaces)) budgets.open(workspace);
  const gate = new BudgetGate(budgets.buffer);
  const waitMs = (workspace: string) => gate.waitMs(slots.get(workspace) as number);
  return { budgets, gate, slots, exhausted, start: sharedNow(), waitMs };
}

const HALF = { msPerSecond: 500, burstMs: 1000 };
const leftOf = ({ budgets }: Books, workspace: string, now: number) =>
  budgets.accounts(now).find((account) => account.workspace === workspace)?.leftMs as number;

test("a budget is open until its reserve is used, and says for how long it is closed then", () => {
  const books = open({ acme: HALF });
  assert.equal(books.waitMs("acme"), 0);
  books.budgets.charge("acme", 999, books.start);
  assert.equal(books.waitMs("acme"), 0);
  books.budgets.charge("acme", 101, books.start);
  // 100 ms are owed, at 500 a second.
  const wait = books.waitMs("acme");
  assert.ok(wait > 150 && wait <= 201, `${wait} ms`);
  assert.deepEqual(books.exhausted, ["acme"]);
});

test("it fills up at its rate, up to its reserve and no further", () => {
  const books = open({ acme: HALF });
  books.budgets.charge("acme", 1000, books.start);
  for (const [afterMs, leftMs] of [
    [100, 50],
    [1000, 500],
    [2000, 1000],
    [60_000, 1000],
  ] as const)
    assert.ok(Math.abs(leftOf(books, "acme", books.start + afterMs) - leftMs) <= 5, `after ${afterMs} ms`);
});

test("being exhausted is counted once until it is over", () => {
  const books = open({ acme: HALF });
  for (let i = 0; i < 5; i++) books.budgets.charge("acme", 300, books.start);
  assert.equal(books.exhausted.length, 1);
  books.budgets.charge("acme", 0, books.start + 10_000);
  books.budgets.charge("acme", 1500, books.start + 10_000);
  assert.equal(books.exhausted.length, 2);
  const [account] = books.budgets.accounts();
  assert.deepEqual([account?.usedMs, account?.exhausted], [3000, 2]);
});

test("what runs is to be stopped from a debt on", () => {
  const books = open({ acme: HALF });
  assert.equal(books.budgets.charge("acme", 1000 + MAX_DEBT_MS - 10, books.start), false);
  assert.equal(books.budgets.charge("acme", 20, books.start), true);
});

test("one workspace's account is not another's", () => {
  const books = open({ acme: HALF, globex: HALF });
  books.budgets.charge("acme", 5000, books.start);
  assert.ok(books.waitMs("acme") > 0);
  assert.equal(books.waitMs("globex"), 0);
});

test("without a bound nothing is ever refused, and everything is counted", () => {
  const books = open({ default: UNBOUNDED });
  assert.equal(books.budgets.charge("default", 1e9, books.start), false);
  assert.equal(books.waitMs("default"), 0);
  assert.equal(books.budgets.accounts()[0]?.usedMs, 1e9);
});

test("a bound that is set later holds from then on, and one that is taken away opens the gate", () => {
  const allowances: Record<string, CpuAllowance> = { acme: UNBOUNDED };
  const books = open(allowances);
  books.budgets.charge("acme", 1e6, books.start);
  allowances.acme = { msPerSecond: 100, burstMs: 200 };
  books.budgets.charge("acme", 250, books.start + 1);
  assert.ok(books.waitMs("acme") > 0);
  allowances.acme = UNBOUNDED;
  books.budgets.refresh(books.start + 2);
  assert.equal(books.waitMs("acme"), 0);
});

test("nobody has to wait for longer than half a minute", () => {
  const books = open({ acme: { msPerSecond: 1, burstMs: 1 } });
  books.budgets.charge("acme", 1e6, books.start);
  const wait = books.waitMs("acme");
  assert.ok(wait > 29_000 && wait <= 30_001, `${wait} ms`);
  assert.ok(leftOf(books, "acme", books.start + 31_000) >= 0);
});

for (const [wants, total, share] of [
  [[], 100, Number.POSITIVE_INFINITY],
  [[50, 50], 100, Number.POSITIVE_INFINITY],
  [[60, 60], 100, 50],
  [[10, 500, 500], 1000, 495],
  [[500, 10, 500, 0], 210, 100],
  [[300], 100, 100],
] as const)
  test(`of ${total} those who want ${JSON.stringify(wants)} get at most ${share} each`, () => {
    assert.equal(fairShare(wants, total), share);
  });

test("where all want more than there is, the greedy are cut down together and the modest do not notice", () => {
  const greedy = Array.from({ length: 16 }, (_, i) => `greedy-${i}`);
  const books = open(Object.fromEntries([...greedy, "modest"].map((name) => [name, HALF])), 1000);
  let refused = 0;
  const used = new Map<string, number>();
  // Ten seconds in steps of 20 ms: each of the greedy takes its part of two cores while it may.
  for (let at = 0; at < 10_000; at += 20) {
    const now = books.start + at;
    const free = greedy.filter((name) => leftOf(books, name, now) >= 0);
    for (const name of greedy) {
      const part = free.includes(name) ? 40 / free.length : 0;
      used.set(name, (used.get(name) ?? 0) + part);
      books.budgets.charge(name, part, now);
    }
    books.budgets.charge("modest", 0.6, now);
    if (leftOf(books, "modest", now) < 0) refused++;
  }
  assert.equal(refused, 0);
  const total = [...used.values()].reduce((sum, ms) => sum + ms, 0);
  // A second or two until the demand is known, and then the total.
  assert.ok(total < 2000 + 4000 + 10 * 1000, `${total} ms of CPU time`);
  assert.ok(total > 6000, `${total} ms of CPU time`);
});
