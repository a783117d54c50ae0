/**
 * How often somebody may be wrong about a token: so often from one address, and so often in all, in a minute. An address
 * that was right a while ago is not held up by what others do.
 */
import { networkOf } from "../threads/address-key.ts";

export const MAX_FAILURES = 10;
export const MAX_FAILURES_IN_ALL = 300;
const WINDOW_MS = 60_000;
/** Addresses whose failures are counted; beyond them the oldest count goes, the count of all stays. */
export const MAX_ADDRESSES = 4096;
/** How long an address that was right is not held up by others. */
const TRUSTED_MS = 3_600_000;

interface Count {
  failures: number;
  readonly until: number;
}

export class Attempts {
  readonly #now: () => number;
  readonly #counts = new Map<string, Count>();
  readonly #trusted = new Map<string, number>();
  #all: Count = { failures: 0, until: 0 };

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** How many addresses it keeps a count of. */
  get size(): number {
    return this.#counts.size;
  }

  /**
   * An attempt begins, and counts as a failure until it is taken back: many at once are many.
   * @returns 0, or the seconds to wait before there may be another one.
   */
  begin(address: string): number {
    const now = this.#now();
    const name = networkOf(address);
    if (this.#all.until <= now) this.#all = { failures: 0, until: now + WINDOW_MS };
    let own = this.#counts.get(name);
    if (own === undefined || own.until <= now) {
      this.#counts.delete(name);
      own = { failures: 0, until: now + WINDOW_MS };
    }
    const seconds = (until: number) => Math.ceil((until - now) / 1000);
    if (own.failures >= MAX_FAILURES) return seconds(own.until);
    const isTrusted = (this.#trusted.get(name) ?? 0) > now;
    if (this.#all.failures >= MAX_FAILURES_IN_ALL && !isTrusted) return seconds(this.#all.until);
    own.failures++;
    this.#all.failures++;
    bounded(this.#counts, name, own);
    return 0;
  }

  /** The attempt was right, or came to nothing. */
  takeBack(address: string, { right }: { readonly right: boolean }): void {
    const name = networkOf(address);
    const own = this.#counts.get(name);
    if (own !== undefined && own.failures > 0) own.failures--;
    if (own?.failures === 0) this.#counts.delete(name);
    if (this.#all.failures > 0) this.#all.failures--;
    if (!right) return;
    this.#trusted.delete(name);
    bounded(this.#trusted, name, this.#now() + TRUSTED_MS);
  }

  /** Failures of an address that count now. */
  failures(address: string): number {
    return this.#counts.get(networkOf(address))?.failures ?? 0;
  }
}

function bounded<V>(map: Map<string, V>, key: string, value: V): void {
  if (!map.has(key) && map.size >= MAX_ADDRESSES) {
    const [oldest] = map.keys();
    if (oldest !== undefined) map.delete(oldest);
  }
  map.set(key, value);
}
