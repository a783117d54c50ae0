/** The ledger: what is counted stays counted, however many plugins and versions come and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { charge, chargeFailure, Ledger, type LedgerRow, OTHER, sumRows } from "../../src/sandbox/ledger.ts";

const sumOf = (rows: readonly LedgerRow[], of: (row: LedgerRow) => number) =>
  rows.reduce((sum, row) => sum + of(row), 0);

test("a plugin's versions have rows of their own, and so have workspaces", () => {
  const ledger = new Ledger();
  ledger.enter("acme", "hello", "1.0.0").calls = 1;
  ledger.enter("acme", "hello", "2.0.0").calls = 2;
  ledger.enter("globex", "hello", "1.0.0").calls = 4;
  assert.deepEqual(
    ledger.rows().map(({ workspace, version, calls }) => [workspace, version, calls]),
    [
      ["acme", "1.0.0", 1],
      ["acme", "2.0.0", 2],
      ["globex", "1.0.0", 4],
    ],
  );
});

test("rows of several threads are summed, memory at its highest", () => {
  const rows = [1, 2].map((times) => {
    const row = new Ledger().enter("acme", "hello", "1.0.0");
    for (let i = 0; i < times; i++) {
      row.calls++;
      charge(row, { cpuMicros: 10, fuel: 100, memoryBytes: 1000 * times }, 3);
      chargeFailure(row, "trap");
    }
    Object.assign(row, { wallMs: 5 * times, bytesIn: 7 * times, bytesOut: 11 * times });
    return row;
  });
  assert.deepEqual(sumRows(rows), [
    {
      workspace: "acme",
      plugin: "hello",
      version: "1.0.0",
      calls: 3,
      cpuMicros: 30,
      fuel: 300,
      hostCalls: 9,
      wallMs: 15,
      memoryBytes: 2000,
      bytesIn: 21,
      bytesOut: 33,
      failures: { trap: 3 },
    },
  ]);
});

test("the rows of a workspace are bounded: what was not used for longest is summed up, what runs keeps its row", () => {
  const ledger = new Ledger(3);
  const running = ledger.enter("acme", "runs", "1.0.0");
  for (let i = 0; i < 100; i++) {
    const row = ledger.enter("acme", "swapped", `${i}.0.0`);
    row.calls = 1;
    row.failures.throw = 1;
    ledger.leave(row);
    running.calls++;
  }
  const rows = ledger.rows();
  assert.deepEqual(
    rows.map(({ plugin, version, calls }) => [plugin, version, calls]).sort(),
    [
      [OTHER, OTHER, 98],
      ["runs", "1.0.0", 100],
      ["swapped", "98.0.0", 1],
      ["swapped", "99.0.0", 1],
    ].sort(),
  );
  assert.equal(
    sumOf(rows, ({ failures }) => failures.throw ?? 0),
    100,
  );
});

test("where all rows are in use, newcomers share the row of the others, and another workspace has its own room", () => {
  const ledger = new Ledger(2);
  for (const plugin of ["a", "b", "c", "d"]) ledger.enter("acme", plugin, "1.0.0").calls++;
  ledger.enter("globex", "a", "1.0.0").calls++;
  assert.deepEqual(
    ledger.rows().map(({ workspace, plugin, calls }) => [workspace, plugin, calls]),
    [
      ["acme", "a", 1],
      ["acme", "b", 1],
      ["acme", OTHER, 2],
      ["globex", "a", 1],
    ],
  );
});

test("a row that two guests write to is not given up before both are gone", () => {
  const ledger = new Ledger(1);
  const row = ledger.enter("acme", "a", "1.0.0");
  assert.equal(ledger.enter("acme", "a", "1.0.0"), row);
  ledger.leave(row);
  assert.equal(ledger.enter("acme", "b", "1.0.0").plugin, OTHER);
  ledger.leave(row);
  assert.equal(ledger.enter("acme", "b", "1.0.0").plugin, "b");
});
