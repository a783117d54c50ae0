/** Turns of the store: whose operations are done next, and how many at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FairQueue } from "../../src/guest-store/fair-queue.ts";
import type { Operation } from "../../src/guest-store/key-value-store.ts";

const of = (workspace: string) => ({ workspace, owner: workspace, plugin: "p" });
const get = (workspace: string): Operation => ({ op: "get", scope: of(workspace), key: "k" });
const set = (workspace: string, bytes: number): Operation => ({
  op: "set",
  scope: of(workspace),
  key: "k",
  value: new Uint8Array(bytes),
  ttlMs: null,
  quota: { bytes: 1, keys: 1, workspaceBytes: 1 },
});

function drain(queue: FairQueue<string>): string[][] {
  const turns: string[][] = [];
  while (!queue.isEmpty) turns.push(queue.next().map(({ answer }) => answer));
  return turns;
}

test("operations of one workspace keep their order, those of several take turns", () => {
  const queue = new FairQueue<string>();
  for (const name of ["a1", "a2", "a3"]) queue.add(get("a"), name);
  for (const name of ["b1", "b2"]) queue.add(get("b"), name);
  queue.add(get("c"), "c1");
  assert.deepEqual(drain(queue), [["a1", "b1", "c1", "a2", "b2", "a3"]]);
});

test("who comes late is in the next turn, before the rest of a flood", () => {
  const queue = new FairQueue<string>();
  for (let i = 0; i < 1000; i++) queue.add(set("flood", 65_536), "flood");
  const first = queue.next();
  assert.ok(first.length < 10, `${first.length} large values at once`);
  queue.add(get("late"), "late");
  assert.ok(
    queue
      .next()
      .map(({ answer }) => answer)
      .includes("late"),
  );
});

test("a turn takes many small operations, and one at least", () => {
  const queue = new FairQueue<string>();
  for (let i = 0; i < 200; i++) queue.add(get("a"), "a");
  assert.deepEqual(
    drain(queue).map(({ length }) => length),
    [64, 64, 64, 8],
  );
  queue.add(set("a", 10_000_000), "large");
  assert.deepEqual(drain(queue), [["large"]]);
});

test("what a deleted plugin kept is forgotten in its publisher's turn", () => {
  const queue = new FairQueue<string>();
  queue.add(get("a"), "a");
  queue.add({ op: "forget", owner: "b", plugin: "p" }, "forget");
  assert.deepEqual(drain(queue), [["a", "forget"]]);
});
