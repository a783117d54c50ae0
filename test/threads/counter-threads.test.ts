/** Counters that many threads share: exact while they contend, whatever becomes of a thread, and within bounds. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  CounterTable,
  type CounterTableSpec,
  counterTableSpec,
  EXHAUSTED,
  halfSipHash,
  releaseCounters,
} from "../../src/threads/counter-table.ts";
import type { Hammer } from "./counter-thread.ts";

const KEY = [0x03020100, 0x07060504] as const;
const NOW = Date.now();
const LATER = NOW + 3_600_000;
const MILLION = 1_000_000;

function startThreads(count: number, options: Omit<Hammer, "gate" | "threads">): Worker[] {
  const workerData: Hammer = { ...options, gate: new SharedArrayBuffer(4), threads: count };
  return Array.from(
    { length: count },
    () => new Worker(new URL("./counter-thread.ts", import.meta.url), { workerData }),
  );
}

async function takenBy(workers: readonly Worker[]): Promise<number[]> {
  const messages = await Promise.all(workers.map((worker) => once(worker, "message")));
  const sums: number[] = [];
  for (const [{ taken }] of messages as [{ taken: number[] }][])
    for (const [i, count] of taken.entries()) sums[i] = (sums[i] ?? 0) + count;
  return sums;
}

/** One thread of its own takes from these windows once each: it would wait for ever where a lock is held. */
async function takeElsewhere(spec: CounterTableSpec, keys: readonly string[]): Promise<number[]> {
  const attempts = keys.length;
  return takenBy(startThreads(1, { spec, keys, limit: MILLION, endsAt: LATER, attempts, giveBackEvery: 0 }));
}

const keysOf = (count: number) => Array.from({ length: count }, (_, i) => `key ${i}`);

for (const [title, windows, keys, threads] of [
  ["one key", 1, 1, 4],
  ["ten keys of one bucket", 1, 10, 4],
  ["300 keys over many buckets", 4000, 300, 4],
  ["300 keys over many buckets", 4000, 300, 7],
] as const)
  test(`${threads} threads on ${title}: each window is given exactly as often as its limit says`, async () => {
    const spec = counterTableSpec(windows, KEY);
    const limit = Math.ceil(30_000 / keys);
    const workers = startThreads(threads, {
      spec,
      keys: keysOf(keys),
      limit,
      endsAt: LATER,
      // Any of them alone could take it all.
      attempts: limit * keys * 2,
      giveBackEvery: 5,
    });
    assert.deepEqual(
      await takenBy(workers),
      Array.from({ length: keys }, () => limit),
    );
    assert.equal(new CounterTable(spec).overflows, 0);
  });

test("of less than the limit, threads together count every single take", async () => {
  const spec = counterTableSpec(1000, KEY);
  const [threads, attempts] = [4, 10_000];
  const keys = keysOf(10);
  const options = { spec, keys, limit: MILLION, endsAt: LATER, attempts, giveBackEvery: 0 };
  await takenBy(startThreads(threads, options));
  const table = new CounterTable(spec);
  for (const key of keys)
    assert.equal(table.take(key, MILLION, LATER, NOW), MILLION - (threads * attempts) / keys.length - 1);
});

test("what a thread held that ended in the middle of a count is released, and it has counted nothing", async () => {
  const spec = counterTableSpec(1, KEY);
  const holder = new Worker(new URL("./counter-holder.ts", import.meta.url), { workerData: spec });
  const { threadId } = holder;
  await once(holder, "exit");
  // Another thread's end releases nothing of it.
  releaseCounters(spec, threadId + 1);
  const waiting = takeElsewhere(spec, ["k"]);
  releaseCounters(spec, threadId);
  assert.deepEqual(await waiting, [1]);
  const table = new CounterTable(spec);
  for (const key of keysOf(9)) table.take(key, 1, LATER, NOW);
  assert.equal(table.overflows, 0, "the half-made window is free");
});

test("threads that are ended while they count leave a table that counts on", async () => {
  const spec = counterTableSpec(1, KEY);
  // Twenty keys in a bucket of ten: windows give way all the time.
  const keys = keysOf(20);
  for (let round = 0; round < 6; round++) {
    const endless = { spec, keys, limit: MILLION, endsAt: LATER, attempts: 1e9, giveBackEvery: 0 };
    const workers = startThreads(3, endless);
    const table = new CounterTable(spec);
    while (table.take("seen", MILLION, LATER, NOW) > MILLION - 50);
    for (const worker of workers) {
      const { threadId } = worker;
      await worker.terminate();
      releaseCounters(spec, threadId);
    }
    assert.deepEqual(await takeElsewhere(spec, ["mine"]), [1]);
  }
});

test("a count that is cut short at the end of the stack leaves no window locked", async () => {
  const spec = counterTableSpec(1, KEY);
  const table = new CounterTable(spec);
  let taken = 0;
  const descend = (): void => {
    try {
      descend();
    } finally {
      if (taken < 10_000) {
        table.take("deep", MILLION, LATER, NOW);
        taken++;
      }
    }
  };
  assert.throws(descend, RangeError);
  assert.ok(taken > 0);
  assert.deepEqual(await takeElsewhere(spec, ["mine", "deep"]), [1, 1]);
});

test("a flood of distinct keys takes no memory, lifts no limit in force, and what goes uncounted is told", () => {
  const windows = 1000;
  const spec = counterTableSpec(windows, KEY);
  const bytes = spec.memory.byteLength;
  assert.ok(bytes <= 64 * windows, `${bytes} bytes`);
  const table = new CounterTable(spec);
  const inForce = keysOf(50);
  for (const key of inForce) while (table.take(key, 3, LATER, NOW) !== EXHAUSTED);
  for (let i = 0; i < 200_000; i++) table.take(`flood ${i}`, 3, LATER, NOW);
  assert.equal(table.overflows, 0, "there was always one below its limit that gave way");
  // Now every one of the flood reaches its limit: soon nothing may give way.
  for (let i = 0; i < 20_000; i++) table.take(`full ${i}`, 1, LATER, NOW);
  assert.ok(table.overflows > 10_000);
  for (const key of inForce) assert.equal(table.take(key, 3, LATER, NOW), EXHAUSTED);
  assert.equal(spec.memory.byteLength, bytes);
  // When their windows have ended, all of them make room.
  const before = table.overflows;
  const soon = LATER + 1000;
  for (const key of inForce)
    assert.deepEqual(
      [0, 1, 2, 3].map(() => table.take(key, 3, soon + 60_000, soon)),
      [2, 1, 0, EXHAUSTED],
    );
  assert.equal(table.overflows, before);
});

test("windows are counted, and end, after the day in 2038 on which seconds outgrow 31 bits", () => {
  const table = new CounterTable(counterTableSpec(1, KEY));
  const now = Date.UTC(2040, 0, 1);
  for (let i = 0; i < 10; i++) table.take(`old ${i}`, 1, now + 1000, now);
  assert.equal(table.take("new", 1, now + 60_000, now), 0);
  assert.equal(table.overflows, 1, "they are in force");
  assert.equal(table.take("new", 1, now + 60_000, now + 2000), 0);
  assert.equal(table.take("new", 1, now + 60_000, now + 2000), EXHAUSTED, "they have made room");
  assert.equal(table.overflows, 1);
});

test("keys that are aimed at one bucket need the secret: under another they spread", () => {
  const windows = 1000;
  const buckets = 128;
  const out = new Uint32Array(2);
  const aimed: string[] = [];
  for (let i = 0; aimed.length < 20; i++) {
    halfSipHash(`aimed ${i}`, Math.ceil(LATER / 1000), KEY, out);
    if ((out[0] as number) % buckets === 0) aimed.push(`aimed ${i}`);
  }
  const uncounted = (secret: readonly [number, number]) => {
    const table = new CounterTable(counterTableSpec(windows, secret));
    for (const key of aimed) table.take(key, 1, LATER, NOW);
    return table.overflows;
  };
  assert.equal(uncounted(KEY), 10, "a bucket holds ten");
  assert.equal(uncounted([KEY[0] ^ 1, KEY[1]]), 0);
  assert.equal(uncounted([KEY[0], KEY[1] ^ 1]), 0);
});
