/** Jobs that would be in each other's way: so many at once, and whoever came first goes first. */
export class InTurn {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(atOnce = 1) {
    this.#free = atOnce;
  }

  /** Does a job when it is its turn; that it fails is nobody else's affair. Never begins before this has returned. */
  async run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#free > 0) {
      this.#free--;
      await undefined;
    } else {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    try {
      return await job();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
