/**
 * Latencies counted in buckets of constant relative width, so that a run of any length needs the same few
 * kilobytes and adding one costs a few instructions: the client that measures must not collect garbage.
 */

/** Buckets for each doubling; a value is known to 1/64, 1.6 %. */
const STEPS = 64;
const STEP_BITS = 6;
/** Up to 2^27 µs, about two minutes. */
const DOUBLINGS = 27;

export interface HistogramData {
  count: number;
  max: number;
  counts: Uint32Array;
}

export class Histogram {
  readonly #counts = new Uint32Array((DOUBLINGS - STEP_BITS + 2) * STEPS);
  count = 0;
  max = 0;

  /** @param us microseconds; fractions are cut, what is below 0 counts as 0. */
  add(us: number): void {
    const value = us > 0 ? us | 0 : 0;
    this.count++;
    if (value > this.max) this.max = value;
    this.#counts[bucketOf(value)]!++;
  }

  /** Adds what another one counted; it comes as plain data from another thread. */
  merge(other: HistogramData): void {
    this.count += other.count;
    this.max = Math.max(this.max, other.max);
    for (let bucket = 0; bucket < this.#counts.length; bucket++)
      this.#counts[bucket]! += other.counts[bucket]!;
  }

  data(): HistogramData {
    return { count: this.count, max: this.max, counts: this.#counts };
  }

  /** The value that this share of all values does not exceed, in µs, rounded up within its bucket. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(this.count * share));
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen >= wanted) return Math.min(highestOf(bucket), this.max);
    }
    return this.max;
  }
}

function bucketOf(value: number): number {
  if (value < STEPS) return value;
  const doubling = Math.min(31 - Math.clz32(value), DOUBLINGS) - STEP_BITS;
  return (doubling + 1) * STEPS + Math.min((value >>> doubling) - STEPS, STEPS - 1);
}

function highestOf(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const doubling = Math.floor(bucket / STEPS) - 1;
  return ((STEPS + (bucket % STEPS) + 1) << doubling) - 1;
}
