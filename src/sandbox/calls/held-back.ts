/** What a data thread was told of plugins that keep killing their cordons. */
import { type Blame, blameKey } from "../protocol/messages.ts";

export class HeldBackPlugins {
  /** Until when (milliseconds since the epoch), by `blameKey`. */
  readonly #suspended = new Map<string, number>();
  /** Plugins with a cordon of their own, by `blameKey`. */
  readonly #apart = new Set<string>();

  /** How many are remembered as suspended. */
  get suspended(): number {
    return this.#suspended.size;
  }

  /** `untilMs` (0: no longer) and `now` are milliseconds since the epoch. Suspensions that are over are forgotten. */
  suspend(blame: Blame, untilMs: number, now: number): void {
    for (const [key, until] of this.#suspended) if (until <= now) this.#suspended.delete(key);
    if (untilMs > now) this.#suspended.set(blameKey(blame), untilMs);
    else this.#suspended.delete(blameKey(blame));
  }

  isSuspended(blame: Blame, now: number): boolean {
    const key = blameKey(blame);
    const until = this.#suspended.get(key);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#suspended.delete(key);
    return false;
  }

  isApart(blame: Blame): boolean {
    return this.#apart.size > 0 && this.#apart.has(blameKey(blame));
  }

  /** Returns whether that is new. */
  setApart(blame: Blame, apart: boolean): boolean {
    const key = blameKey(blame);
    if (apart === this.#apart.has(key)) return false;
    if (apart) this.#apart.add(key);
    else this.#apart.delete(key);
    return true;
  }
}
