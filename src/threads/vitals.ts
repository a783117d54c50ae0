/**
 * What a data thread shows of itself in shared memory: that its event loop turns, and what it holds. The main
 * thread reads it without asking, so it is there of a thread that hangs or has died, exact to the last request.
 * One thread writes, each number is one aligned word, and no request pays for more than a store.
 */
import { readlinkSync } from "node:fs";

/** How often a data thread beats. */
export const BEAT_MS = 100;

// Ints.
const BEATS = 0;
const TASK = 1;
const LEAVING = 2;
// Sums, as doubles: they count beyond 2^32.
const SUMS_AT = 16;
const ACCEPTED = 0;
const OPEN = 1;
const BEGUN = 2;
const FINISHED = 3;
const CPU_MS = 4;
const SUMS = 5;

export class Vitals {
  readonly #ints: Int32Array;
  readonly #sums: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.#ints = new Int32Array(memory, 0, 3);
    this.#sums = new Float64Array(memory, SUMS_AT, SUMS);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(SUMS_AT + SUMS * Float64Array.BYTES_PER_ELEMENT);
  }

  /** Beats from now on, whenever the event loop of the calling thread comes round. */
  begin(): void {
    const task = /\d+$/.exec(readlinkSync("/proc/thread-self"));
    Atomics.store(this.#ints, TASK, Number(task?.[0] ?? 0));
    this.#beat();
    setInterval(() => this.#beat(), BEAT_MS).unref();
    process.once("exit", () => Atomics.store(this.#ints, LEAVING, 1));
  }

  #beat(): void {
    const { user, system } = process.threadCpuUsage();
    this.#sums[CPU_MS] = (user + system) / 1000;
    Atomics.add(this.#ints, BEATS, 1);
  }

  get beats(): number {
    return Atomics.load(this.#ints, BEATS);
  }

  /** Whether the thread has come to its end. To take down what it held takes a moment in which it does not beat. */
  get leaving(): boolean {
    return Atomics.load(this.#ints, LEAVING) === 1;
  }

  /** CPU time that the thread had used at its last beat. */
  get cpuMs(): number {
    return this.#sums[CPU_MS] as number;
  }

  /** The kernel's number of the thread; 0 until it begins. */
  get task(): number {
    return Atomics.load(this.#ints, TASK);
  }

  onAccepted(): void {
    (this.#sums[ACCEPTED] as number)++;
  }

  /** Hot: once for each request, as `onFinished`. */
  onBegun(): void {
    (this.#sums[BEGUN] as number)++;
  }

  onFinished(): void {
    (this.#sums[FINISHED] as number)++;
  }

  /** Connections accepted since the thread started. */
  get accepted(): number {
    return this.#sums[ACCEPTED] as number;
  }

  /** Connections of clients that are open. */
  get open(): number {
    return this.#sums[OPEN] as number;
  }

  set open(connections: number) {
    this.#sums[OPEN] = connections;
  }

  /** Requests that are over, since the thread started. */
  get finished(): number {
    return this.#sums[FINISHED] as number;
  }

  /** Requests whose head has arrived and that are not over. */
  get inProgress(): number {
    return (this.#sums[BEGUN] as number) - this.finished;
  }
}
