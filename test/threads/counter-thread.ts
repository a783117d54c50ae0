/** Takes from one window of a shared table as fast as it can, and tells how often it was given one. */
import { parentPort, workerData } from "node:worker_threads";
import { CounterTable, type CounterTableSpec, EXHAUSTED } from "../../src/threads/counter-table.ts";

export interface Hammer {
  readonly spec: CounterTableSpec;
  readonly keys: readonly string[];
  readonly limit: number;
  readonly endsAt: number;
  readonly attempts: number;
  /** Every that many takes that succeeded, one is given back; 0 for never. */
  readonly giveBackEvery: number;
  /** Int32 that counts the threads that are ready: they start together. */
  readonly gate: SharedArrayBuffer;
  readonly threads: number;
}

const { spec, keys, limit, endsAt, attempts, giveBackEvery, gate, threads } = workerData as Hammer;
const table = new CounterTable(spec);
const ready = new Int32Array(gate);
if (Atomics.add(ready, 0, 1) + 1 === threads) Atomics.notify(ready, 0);
for (let there = Atomics.load(ready, 0); there < threads; there = Atomics.load(ready, 0))
  Atomics.wait(ready, 0, there, 1000);

const taken = keys.map(() => 0);
const remainders: number[] = [];
let successes = 0;
for (let i = 0; i < attempts; i++) {
  const at = i % keys.length;
  const key = keys[at] as string;
  const left = table.take(key, limit, endsAt, Date.now());
  if (left === EXHAUSTED) continue;
  if (giveBackEvery > 0 && ++successes % giveBackEvery === 0) {
    table.giveBack(key, endsAt);
    continue;
  }
  (taken[at] as number)++;
  remainders.push(left);
}
parentPort?.postMessage({ taken, remainders });
