/** Uploads that are worked on one after the other: who waits, who is told to come again, and who goes first. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OneAtATime } from "../../src/tenancy/owners-turns.ts";

/** Asks for a job of each owner while the first one hangs, lets it go, and tells what happened in which order. */
async function orderOf(length: number, owners: readonly string[]): Promise<string[]> {
  const tries = new OneAtATime(length);
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const runs = owners.map((owner) => {
    const run = tries.run(owner, async () => {
      await gate.promise;
      order.push(owner);
    });
    if (run === null) order.push(`${owner} busy`);
    return run;
  });
  gate.resolve();
  await Promise.all(runs);
  return order;
}

for (const [title, length, owners, order] of [
  [
    "a workspace that fills the queue is told to come again, and does not keep others from waiting",
    2,
    ["greedy", "greedy", "greedy", "greedy", "other", "other"],
    ["greedy busy", "other busy", "greedy", "other", "greedy", "greedy"],
  ],
  [
    "workspaces take turns, each with its uploads in their order",
    4,
    ["a", "a", "a", "b", "c"],
    ["a", "b", "a", "c", "a"],
  ],
] as const) {
  test(title, async () => assert.deepEqual(await orderOf(length, owners), order));
}

test("one that fails fails alone", async () => {
  const tries = new OneAtATime(1);
  const failing = tries.run("a", () => Promise.reject(new Error("no process")));
  const next = tries.run("a", () => Promise.resolve("tried"));
  await assert.rejects(failing as Promise<never>, /no process/);
  assert.equal(await next, "tried");
  assert.equal(await tries.run("a", () => Promise.resolve("again")), "again");
});

test("after a job there is a rest, which is told how long the job took and holds up the next one, not the answer", async () => {
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const jobs = new OneAtATime(4, async (tookMs) => {
    order.push(`rest ${tookMs >= 0}`);
    await gate.promise;
  });
  const job = (name: string) => jobs.run(name, async () => void order.push(name));
  const [first, second] = [job("a"), job("b")];
  await first;
  order.push("a answered");
  setImmediate(() => gate.resolve());
  await second;
  assert.deepEqual(order.slice(0, 4), ["a", "a answered", "rest true", "b"]);
});
