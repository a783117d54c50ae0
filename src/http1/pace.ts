/**
 * How slowly the other side may move bytes. It has a reserve of time; waiting uses it up, and each byte gives a
 * part of it back: so a pause is no longer than the reserve, and in the long run bytes move at the least rate. One
 * byte a minute keeps nobody waiting for ever, and no single pause cuts a client off that was quick before.
 */
export class Pace {
  /** When patience ends, by `performance.now()`; Infinity while nothing is waited for. */
  until = Number.POSITIVE_INFINITY;
  readonly #reserveMs: number;
  readonly #msPerByte: number;
  #leftMs: number;

  /** `bytesPerSecond` 0: any byte gives the whole reserve back. */
  constructor(reserveMs: number, bytesPerSecond: number) {
    this.#reserveMs = reserveMs;
    this.#leftMs = reserveMs;
    this.#msPerByte = bytesPerSecond > 0 ? 1000 / bytesPerSecond : Number.POSITIVE_INFINITY;
  }

  get waiting(): boolean {
    return this.until !== Number.POSITIVE_INFINITY;
  }

  /** The reserve is whole again. */
  refill(): void {
    this.#leftMs = this.#reserveMs;
    if (this.waiting) this.until = Number.POSITIVE_INFINITY;
  }

  /** From now on the other side is waited for, and gets `leastMs` of the reserve in any case. */
  start(now: number, leastMs = 0): void {
    if (!this.waiting) this.until = now + Math.min(this.#reserveMs, Math.max(this.#leftMs, leastMs));
  }

  /** The other side is not waited for: what happens from now on is not its fault. */
  stop(now: number): void {
    if (!this.waiting) return;
    this.#leftMs = Math.max(this.until - now, 0);
    this.until = Number.POSITIVE_INFINITY;
  }

  moved(bytes: number, now: number): void {
    if (bytes <= 0) return;
    const gainedMs = bytes * this.#msPerByte;
    if (this.waiting) this.until = Math.min(now + this.#reserveMs, this.until + gainedMs);
    else this.#leftMs = Math.min(this.#reserveMs, this.#leftMs + gainedMs);
  }
}
