/**
 * How many lines of one kind a data thread may log. Whoever causes lines may cause them without end, so each
 * key (a workspace, or an error on a route) has a bucket of tokens; what goes beyond is counted, and told in
 * one line for each interval.
 */

export interface LogAllowance {
  /** Lines of one key in a second, in the long run. */
  readonly perSecond: number;
  /** Lines of one key at once. */
  readonly burst: number;
  readonly intervalMs: number;
}

type Fields = Readonly<Record<string, unknown>>;

interface Bucket {
  tokens: number;
  /** When the tokens were counted, by `performance.now()`. */
  at: number;
  perSecond: number;
  suppressed: number;
  readonly fields: Fields;
}

export class LogBudget {
  readonly #allowance: LogAllowance;
  readonly #report: (suppressed: number, fields: Fields) => void;
  /** Keys with a line in the last interval or so. */
  readonly #buckets = new Map<string, Bucket>();
  #timer: NodeJS.Timeout | null = null;

  /** `report` writes how many lines of a key were suppressed, with the fields that go with the key. */
  constructor(allowance: LogAllowance, report: (suppressed: number, fields: Fields) => void) {
    this.#allowance = allowance;
    this.#report = report;
  }

  /**
   * Whether a line of that key may be written; if not, it is counted.
   * @param perSecond the key's own rate, in place of the common one; its burst goes with it.
   */
  admits(key: string, fields: Fields, perSecond = this.#allowance.perSecond): boolean {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: this.#burst(perSecond), at: performance.now(), perSecond, suppressed: 0, fields };
      this.#buckets.set(key, bucket);
      this.#timer ??= setInterval(() => this.#tell(), this.#allowance.intervalMs).unref();
    }
    bucket.perSecond = perSecond;
    this.#fill(bucket);
    if (bucket.tokens < 1) {
      bucket.suppressed++;
      return false;
    }
    bucket.tokens--;
    return true;
  }

  #fill(bucket: Bucket): void {
    const { perSecond } = bucket;
    const now = performance.now();
    bucket.tokens = Math.min(this.#burst(perSecond), bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
  }

  #burst(perSecond: number): number {
    return Math.max(1, (this.#allowance.burst * perSecond) / this.#allowance.perSecond);
  }

  #tell(): void {
    for (const [key, bucket] of this.#buckets) {
      if (bucket.suppressed > 0) this.#report(bucket.suppressed, bucket.fields);
      bucket.suppressed = 0;
      this.#fill(bucket);
      if (bucket.tokens >= this.#burst(bucket.perSecond)) this.#buckets.delete(key);
    }
    if (this.#buckets.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
