/**
 * Counts what must not happen often. Who has done it so many times within a minute is suspended for a second, after the
 * next time for two, then four, up to a minute.
 */
const WINDOW_MS = 60_000;
const FIRST_MS = 1000;
export const LONGEST_MS = 60_000;

export class Strikes {
  readonly #most: number;
  #at: number[] = [];
  #suspensions = 0;
  /** Milliseconds since the epoch, as everything here. */
  untilMs = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts one more. Returns how many there were within the window. */
  add(now: number): number {
    this.#at = this.#at.filter((at) => now - at <= WINDOW_MS);
    return this.#at.push(now);
  }

  /** Suspends who has had the last one. Returns until when; null if there were fewer. */
  suspend(now: number): number | null {
    if (this.#at.length < this.#most) return null;
    this.#at.shift(); // one more after the suspension suspends it again
    this.untilMs = now + Math.min(FIRST_MS * 2 ** this.#suspensions, LONGEST_MS);
    this.#suspensions++;
    return this.untilMs;
  }
}
