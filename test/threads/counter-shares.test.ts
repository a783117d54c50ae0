/** Counters of several workspaces in one table: none can push out what another counts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NativeHost } from "../../src/data-thread/native-host.ts";
import { NO_SERVICES } from "../../src/data-thread/plugin-services.ts";
import { ThreadMetrics } from "../../src/observe/thread-metrics.ts";
import { Snapshot } from "../../src/pipeline/snapshot.ts";
import { CounterTable, counterTableSpec, EXHAUSTED } from "../../src/threads/counter-table.ts";

const NOW = Date.now();
const LATER = NOW + 60_000;
const BUCKET = 10;
const DAY_MS = 86_400_000;

/** A table of a single bucket, and its workspaces' tags. */
function smallest() {
  const table = new CounterTable(counterTableSpec(1, [1, 2]));
  return { table, owner: (workspace: string) => table.owner(workspace) };
}

function heat(table: CounterTable, owner: number, key: string, limit: number, times: number): void {
  for (let i = 0; i < times; i++) table.take(key, limit, LATER, NOW, owner);
}

test("a workspace that fills a bucket with limits in force makes room for another's keys", () => {
  const { table, owner } = smallest();
  const [greedy, other] = [owner("greedy"), owner("other")];
  for (let i = 0; i < 2 * BUCKET; i++) heat(table, greedy, `flood ${i}`, 1, 1);
  assert.deepEqual(
    [0, 1, 2].map(() => table.take("k", 2, LATER, NOW, other)),
    [1, 0, EXHAUSTED],
  );
  for (let i = 0; i < 1000; i++) heat(table, greedy, `more ${i}`, 1, 1);
  assert.equal(table.take("k", 2, LATER, NOW, other), EXHAUSTED, "and they stay");
});

test("keys of another workspace are counted up to its fair part of the bucket, the coldest giving way first", () => {
  const { table, owner } = smallest();
  const [greedy, other] = [owner("greedy"), owner("other")];
  for (let i = 0; i < BUCKET; i++) heat(table, greedy, `flood ${i}`, i + 1, i + 1);
  for (let i = 0; i < BUCKET / 2; i++) heat(table, other, `key ${i}`, 1, 1);
  assert.equal(table.overflows, 0);
  for (let i = 0; i < BUCKET / 2; i++) {
    assert.equal(table.take(`key ${i}`, 1, LATER, NOW, other), EXHAUSTED);
    const hot = BUCKET / 2 + i;
    assert.equal(table.take(`flood ${hot}`, hot + 1, LATER, NOW, greedy), EXHAUSTED, `flood ${hot} is kept`);
  }
  // Half each: neither takes more from the other.
  assert.equal(table.take("one more", 1, LATER, NOW, other), 0);
  assert.equal(table.take("one more", 1, LATER, NOW, greedy), 0);
  assert.equal(table.overflows, 2);
});

test("windows far below huge limits push out nothing that another workspace counts", () => {
  const { table, owner } = smallest();
  const [greedy, other] = [owner("greedy"), owner("other")];
  heat(table, other, "k", 100, 50);
  for (let round = 0; round < 100; round++)
    for (let i = 0; i < BUCKET; i++) heat(table, greedy, `flood ${i}`, 1e9, 60);
  assert.equal(table.take("k", 100, LATER, NOW, other), 49);
});

test("where more workspaces share a bucket than it has room for, a limit in force does not give way", () => {
  const { table, owner } = smallest();
  for (let i = 0; i < BUCKET; i++) heat(table, owner(`ws ${i}`), `k ${i}`, 1, 1);
  assert.equal(table.take("late", 5, LATER, NOW, owner("late")), 4);
  assert.equal(table.overflows, 1);
});

const plugin = { id: "p", name: "limiter", ws_id: "w" };

/** What a plugin of that workspace is given to count with. */
function hostOf(table: CounterTable, workspace: string): NativeHost {
  return new NativeHost(
    { ...plugin, ws_id: workspace },
    {
      counters: table,
      metrics: new ThreadMetrics(),
      logFrom: 0,
      services: NO_SERVICES,
      snapshot: () => Snapshot.empty,
      log: () => {},
    },
  );
}

test("plugins of different workspaces count on their own parts of the table", () => {
  const { table } = smallest();
  const [greedy, other] = [hostOf(table, "greedy"), hostOf(table, "other")];
  const windows = Array.from({ length: 3 * BUCKET }, (_, i) => ({ key: `${i}`, limit: 1, endsAt: LATER }));
  for (const window of windows) greedy.takeFromWindows([window]);
  const window = { key: "k", limit: 1, endsAt: LATER };
  assert.deepEqual(other.takeFromWindows([window]), [0]);
  assert.deepEqual(other.takeFromWindows([window]), [EXHAUSTED]);
});

for (const [title, window] of [
  ["a limit of none", { key: "k", limit: 0, endsAt: LATER }],
  ["a limit that is no whole number", { key: "k", limit: 1.5, endsAt: LATER }],
  ["a window of decades", { key: "k", limit: 1, endsAt: NOW + 400 * DAY_MS }],
  ["a window that is long over", { key: "k", limit: 1, endsAt: NOW - DAY_MS }],
  ["a window without an end", { key: "k", limit: 1, endsAt: Number.NaN }],
] as const)
  test(`${title} is refused before anything is counted`, () => {
    const { table } = smallest();
    const good = { key: "good", limit: 1, endsAt: LATER };
    assert.throws(() => hostOf(table, "w").takeFromWindows([good, window]), RangeError);
    assert.deepEqual(hostOf(table, "w").takeFromWindows([good]), [0]);
  });

test("a year that has just begun, and a second that ended while the plugin was thinking, are counted", () => {
  const { table } = smallest();
  const host = hostOf(table, "w");
  assert.deepEqual(host.takeFromWindows([{ key: "y", limit: 5, endsAt: NOW + 366 * DAY_MS }]), [4]);
  assert.deepEqual(host.takeFromWindows([{ key: "s", limit: 5, endsAt: NOW - 1000 }]), [4]);
});
