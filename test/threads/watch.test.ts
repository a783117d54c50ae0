/** When a data thread is taken to hang: only for time that it had and did not use to give a sign. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { Vitals } from "../../src/threads/vitals.ts";
import { LOOK_MS, ownTime, taskState, Watch } from "../../src/threads/watch.ts";

for (const [title, cpuBeforeMs, now, own] of [
  ["runs all the time: all of it is its own", 40, { state: "R", cpuMs: 140 }, 100],
  ["has more CPU time than the step is long: no more than the step", 40, { state: "R", cpuMs: 340 }, 100],
  ["shares its CPU with others: what it got", 40, { state: "R", cpuMs: 70 }, 30],
  ["is ready to run and gets no CPU: none", 40, { state: "R", cpuMs: 40 }, 0],
  ["is counted in ticks that lag behind its own clock: none", 44.7, { state: "R", cpuMs: 40 }, 0],
  ["sleeps: all, for its timer would have woken it", 40, { state: "S", cpuMs: 40 }, 100],
  ["waits for a disk or for memory: none", 40, { state: "D", cpuMs: 40 }, 0],
  ["is stopped: none", 40, { state: "T", cpuMs: 40 }, 0],
  ["is looked at by a debugger: none", 40, { state: "t", cpuMs: 40 }, 0],
  ["cannot be seen: all", 0, null, 100],
] as const)
  test(`of a step without a beat, a thread that ${title}`, () => {
    assert.equal(ownTime(100, cpuBeforeMs, now), own);
  });

/** A thread that beats until it is told to stand still, for good. */
const THREAD = `
  const { parentPort, workerData } = require("node:worker_threads");
  import(workerData.module).then(({ Vitals }) => {
    new Vitals(workerData.memory).begin();
    parentPort.once("message", () => {
      parentPort.postMessage("still");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });
    parentPort.postMessage("begun");
  });`;

async function startThread() {
  const memory = Vitals.memory();
  const module = new URL("../../src/threads/vitals.ts", import.meta.url).href;
  const worker = new Worker(THREAD, { eval: true, workerData: { memory, module } });
  await once(worker, "message");
  return {
    worker,
    vitals: new Vitals(memory),
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  };
}

async function beatOf(vitals: Vitals): Promise<void> {
  const { beats } = vitals;
  while (vitals.beats === beats) await new Promise((resolve) => setTimeout(resolve, 10));
}

test("a thread that beats has lost no time, however late somebody looks", async () => {
  await using thread = await startThread();
  const watch = new Watch(thread.vitals);
  for (let i = 0; i < 5; i++) {
    await beatOf(thread.vitals);
    assert.equal(watch.look(60_000), 0);
  }
});

test("silence adds up look by look; a look that comes late counts as one; a sign of life ends it", async () => {
  await using thread = await startThread();
  await beatOf(thread.vitals);
  const still = once(thread.worker, "message");
  thread.worker.postMessage("stand still");
  await still;
  while (taskState(thread.vitals.task)?.state !== "S")
    await new Promise((resolve) => setTimeout(resolve, 10));
  const watch = new Watch(thread.vitals);
  assert.equal(watch.look(LOOK_MS), 0, "one look between two beats is nothing");
  assert.equal(watch.look(LOOK_MS), 2 * LOOK_MS);
  const after = watch.look(60_000);
  assert.ok(after < 4 * LOOK_MS, `${after} ms after a minute in which nobody looked`);
  assert.match(watch.manner, /waits/);
  watch.reset();
  assert.equal(watch.look(LOOK_MS), 0);
});

test("what a thread holds is read from its memory, whatever became of it", () => {
  const memory = Vitals.memory();
  const [thread, main] = [new Vitals(memory), new Vitals(memory)];
  for (let i = 0; i < 3; i++) thread.onAccepted();
  thread.open = 2;
  for (let i = 0; i < 5; i++) thread.onBegun();
  for (let i = 0; i < 4; i++) thread.onFinished();
  const { accepted, open, finished, inProgress } = main;
  assert.deepEqual(
    { accepted, open, finished, inProgress },
    { accepted: 3, open: 2, finished: 4, inProgress: 1 },
  );
});
