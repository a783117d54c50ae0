/**
 * What the main thread and the data threads share of a roll-out, in memory that all see: which part of the requests gets
 * the canary, which moves without a new configuration, and what has become of requests by either version. Counts outlive
 * a thread that dies.
 */

/** Requests that were served by one version. */
export interface Served {
  readonly requests: number;
  /** Those of them that were answered with a status of 500 or more. */
  readonly failed: number;
}

const MILLION = 1_000_000;
/** Weight in millionths, then requests and failures of the running version and of the canary; modulo 2 to the 32nd. */
const CELLS = 5;

export class Tally {
  readonly shared: SharedArrayBuffer;
  readonly #cells: Uint32Array;

  constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.#cells = new Uint32Array(shared);
  }

  static empty(): Tally {
    return new Tally(new SharedArrayBuffer(CELLS * Uint32Array.BYTES_PER_ELEMENT));
  }

  /** Part of the requests that gets the canary, from 0 to 1. */
  get weight(): number {
    return Atomics.load(this.#cells, 0) / MILLION;
  }

  set weight(part: number) {
    Atomics.store(this.#cells, 0, Math.round(part * MILLION));
  }

  count(canary: boolean, failed: boolean): void {
    const at = canary ? 3 : 1;
    Atomics.add(this.#cells, at, 1);
    if (failed) Atomics.add(this.#cells, at + 1, 1);
  }

  served(canary: boolean): Served {
    const at = canary ? 3 : 1;
    return { requests: Atomics.load(this.#cells, at), failed: Atomics.load(this.#cells, at + 1) };
  }
}
