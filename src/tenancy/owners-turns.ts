/**
 * What waits while something is worked on, by who asked for it: a queue that nobody fills for the others, and in which
 * whoever was served last lets the others go first.
 */
import { Shares } from "./shares.ts";

interface Waiting<T> {
  readonly owner: string;
  readonly item: T;
}

export class OwnersTurns<T> {
  readonly #places: Shares;
  readonly #waiting: Waiting<T>[] = [];
  #served = "";

  /** `length` is how many wait; the next one is told that the queue is full. */
  constructor(length: number) {
    this.#places = new Shares(length, length);
  }

  /** False if the queue is full: a full one still takes what comes from who has less than an equal part of it. */
  add(owner: string, item: T): boolean {
    if (!this.#places.take(owner, 1)) return false;
    this.#waiting.push({ owner, item });
    return true;
  }

  /** Takes out the oldest of those who were not served last, or else the oldest. */
  next(): T | undefined {
    const at = this.#waiting.findIndex(({ owner }) => owner !== this.#served);
    const [next] = this.#waiting.splice(Math.max(at, 0), 1);
    if (next === undefined) return undefined;
    this.#served = next.owner;
    return this.#leave(next);
  }

  /** Takes out all that wait. */
  drain(): T[] {
    return this.#waiting.splice(0).map((each) => this.#leave(each));
  }

  #leave({ owner, item }: Waiting<T>): T {
    this.#places.give(owner, 1);
    return item;
  }
}

/** Runs jobs one after the other, with those that wait taking turns by owner. */
export class OneAtATime {
  readonly #turns: OwnersTurns<() => Promise<void>>;
  readonly #rest: (tookMs: number) => Promise<void>;
  #running = false;

  /** @param rest what the next job waits for beside the end of the one before, which took so long. */
  constructor(queueLength: number, rest: (tookMs: number) => Promise<void> = async () => {}) {
    this.#turns = new OwnersTurns(queueLength);
    this.#rest = rest;
  }

  /** What the job comes to; null at once if too much waits. */
  run<R>(owner: string, job: () => Promise<R>): Promise<R> | null {
    const { promise, resolve, reject } = Promise.withResolvers<R>();
    if (!this.#turns.add(owner, () => job().then(resolve, reject))) return null;
    void this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#turns.next(); next !== undefined; next = this.#turns.next()) {
      const began = performance.now();
      await next();
      await this.#rest(performance.now() - began);
    }
    this.#running = false;
  }
}
