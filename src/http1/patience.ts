/**
 * How long a connection waits for its client: for a head, for the next request or for the goodbye until a moment,
 * for a body and for a reader as long as they move (pace.ts). One deadline at a time stands for all of them.
 */
import { performance } from "node:perf_hooks";
import type { Guarded } from "./deadlines.ts";
import { Pace } from "./pace.ts";
import type { Wire } from "./wire.ts";

export interface PatienceLimits {
  /** Longest pause in a body. */
  readonly bodyTimeoutMs: number;
  /** Bytes per second of a body in the long run; 0 for no bound. */
  readonly bodyMinRate: number;
  /** Longest pause of a client in taking what was written. */
  readonly writeTimeoutMs: number;
  /** Bytes per second that a client takes in the long run, while something waits for it; 0 for no bound. */
  readonly writeMinRate: number;
}

/** Hears when the client's time is over. */
export interface Waiter {
  /** What was due by now (`expect`) has not come. */
  onLate(): void;
  onBodyTooSlow(): void;
  onReaderTooSlow(): void;
}

/** What a client has of its time at least when it is read again after a pause of the gateway's. */
const RESUMED_MS = 5000;

export class Patience implements Guarded {
  deadline: number;
  readonly #wire: Wire;
  readonly #limits: PatienceLimits;
  readonly #waiter: Waiter;
  /** When a head, the next request or the client's goodbye must have come. */
  #until: number;
  /** How the client sends its body; null before the first one. */
  #sending: Pace | null = null;
  /** How the client takes what was written; null until it once did not take all at once. */
  #taking: Pace | null = null;
  /** Bytes that the client had taken when that was last looked at, and when it is looked at again. */
  #taken = 0;
  #lookAt = 0;

  constructor(wire: Wire, limits: PatienceLimits, waiter: Waiter, firstMs: number) {
    this.#wire = wire;
    this.#limits = limits;
    this.#waiter = waiter;
    this.#until = performance.now() + firstMs;
    this.deadline = this.#until;
  }

  destroy(): void {
    this.#wire.destroy();
  }

  onDeadline(): void {
    const now = performance.now();
    if (this.#taking?.waiting) {
      this.#look(this.#taking, now);
      if (this.#taking.until <= now) return this.#waiter.onReaderTooSlow();
    }
    if (this.#sending !== null && this.#sending.until <= now) {
      this.#sending.refill();
      this.#schedule();
      return this.#waiter.onBodyTooSlow();
    }
    if (this.#until > now) return this.#schedule();
    this.#waiter.onLate();
  }

  /** A whole request is there, and nothing waits to be taken: nothing is waited for. Hot. */
  rest(): void {
    this.#sending?.refill();
    this.#until = Number.POSITIVE_INFINITY;
    this.deadline = Number.POSITIVE_INFINITY;
  }

  /** Nothing is due at a moment; bodies and readers still have to move. */
  expectNothing(): void {
    this.#until = Number.POSITIVE_INFINITY;
    this.#schedule();
  }

  /** Waits that long for what is due next, once the client has taken what waits for it. */
  expect(ms: number): void {
    const { blocked } = this.#wire;
    this.#until = blocked ? Number.POSITIVE_INFINITY : performance.now() + ms;
    if (blocked) this.awaitReader();
    this.#schedule();
  }

  /** The client is waited for with its body. */
  awaitBody(): void {
    this.#sender(performance.now());
    this.#schedule();
  }

  bodyMoved(bytes: number): void {
    const now = performance.now();
    this.#sender(now).moved(bytes, now);
    this.#schedule();
  }

  /** The gateway takes no more of the body for now: that time is not the client's. */
  bodyPaused(): void {
    this.#sending?.stop(performance.now());
    this.#schedule();
  }

  /** The body is over, or not waited for any more. */
  bodyEnded(): void {
    if (this.#sending === null) return;
    this.#sending.refill();
    this.#schedule();
  }

  /** Something that was written waits for the client. */
  awaitReader(): void {
    if (this.#taking?.waiting === true) return;
    const now = performance.now();
    this.#taking ??= new Pace(this.#limits.writeTimeoutMs, this.#limits.writeMinRate);
    this.#look(this.#taking, now);
    this.#taking.start(now);
    this.#schedule();
  }

  /** The client has taken everything. */
  readerCaughtUp(): void {
    if (this.#taking === null) return;
    const now = performance.now();
    this.#look(this.#taking, now);
    this.#taking.stop(now);
    this.#schedule();
  }

  /** Sees how much the client has taken since the last look: no event tells of a part of what waits. */
  #look(taking: Pace, now: number): void {
    const { takenBytes } = this.#wire;
    taking.moved(takenBytes - this.#taken, now);
    this.#taken = takenBytes;
    this.#lookAt = now + this.#limits.writeTimeoutMs / 8;
  }

  #sender(now: number): Pace {
    this.#sending ??= new Pace(this.#limits.bodyTimeoutMs, this.#limits.bodyMinRate);
    this.#sending.start(now, RESUMED_MS);
    return this.#sending;
  }

  #schedule(): void {
    let due = this.#until;
    if (this.#sending !== null) due = Math.min(due, this.#sending.until);
    if (this.#taking?.waiting) due = Math.min(due, this.#taking.until, this.#lookAt);
    this.deadline = due;
  }
}
