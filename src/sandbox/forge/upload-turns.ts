/**
 * Uploads that wait while one is worked on, by who uploads: a short queue that nobody fills for the others, and
 * in which whoever was served last lets the others go first.
 */
interface Waiting<T> {
  readonly owner: string;
  readonly item: T;
}

export class UploadTurns<T> {
  readonly #length: number;
  #waiting: Waiting<T>[] = [];
  #served = "";

  /** `length` is how many wait; the next one is told that the queue is full. */
  constructor(length: number) {
    this.#length = length;
  }

  /** False if the queue is full: a full one still takes what comes from who has less than an equal part of it. */
  add(owner: string, item: T): boolean {
    if (this.#waiting.length >= this.#length) {
      const owners = new Set([owner, ...this.#waiting.map((each) => each.owner)]).size;
      const own = this.#waiting.filter((each) => each.owner === owner).length;
      if (own + 1 > this.#length / owners) return false;
    }
    this.#waiting.push({ owner, item });
    return true;
  }

  /** Takes out the oldest of those who were not served last, or else the oldest. */
  next(): T | undefined {
    const at = this.#waiting.findIndex(({ owner }) => owner !== this.#served);
    const [next] = this.#waiting.splice(Math.max(at, 0), 1);
    if (next === undefined) return undefined;
    this.#served = next.owner;
    return next.item;
  }

  /** Takes out all that wait. */
  drain(): T[] {
    return this.#waiting.splice(0).map(({ item }) => item);
  }
}

/** Runs jobs one after the other, with those that wait taking turns by owner. */
export class OneAtATime {
  readonly #turns: UploadTurns<() => Promise<void>>;
  #running = false;

  constructor(queueLength: number) {
    this.#turns = new UploadTurns(queueLength);
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
    for (let next = this.#turns.next(); next !== undefined; next = this.#turns.next()) await next();
    this.#running = false;
  }
}
