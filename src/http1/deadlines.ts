/**
 * One clock for all connections of a thread. A timer for each would cost more than the requests that it guards;
 * instead every connection carries a deadline, and one sweep looks at them all. Resolution: SWEEP_MS.
 */
import { performance } from "node:perf_hooks";
import { contain, type Destroyable } from "./fault.ts";

export interface Guarded extends Destroyable {
  /** Milliseconds of `performance.now()` after which `onDeadline` is due; Infinity for never. */
  deadline: number;
  onDeadline(): void;
}

const SWEEP_MS = 50;

export class Deadlines {
  readonly #guarded = new Set<Guarded>();
  #timer: NodeJS.Timeout | null = null;

  get size(): number {
    return this.#guarded.size;
  }

  add(guarded: Guarded): void {
    this.#guarded.add(guarded);
    this.#timer ??= setInterval(() => this.#sweep(), SWEEP_MS);
  }

  delete(guarded: Guarded): void {
    this.#guarded.delete(guarded);
    if (this.#guarded.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  #sweep(): void {
    const now = performance.now();
    for (const guarded of this.#guarded) {
      if (guarded.deadline > now) continue;
      guarded.deadline = Number.POSITIVE_INFINITY;
      try {
        guarded.onDeadline();
      } catch (error) {
        this.delete(guarded);
        contain(error, guarded);
      }
    }
  }
}
