/**
 * Holds back plugins that keep killing their cordon: five times within a minute, and calls are answered
 * `suspended` for a second, then two, then four, up to a minute. A plugin that behaves for five minutes
 * starts anew.
 */
import type { Blame } from "./messages.ts";

const STRIKES = 5;
const WINDOW_MS = 60_000;
const FIRST_MS = 1000;
const LONGEST_MS = 60_000;
const FORGIVEN_AFTER_MS = 300_000;

interface Record {
  strikes: number[];
  suspensions: number;
  untilMs: number;
}

export class Suspensions {
  readonly #records = new Map<string, Record>();

  /** Counts one dead cordon. Returns until when the plugin is suspended (ms since the epoch), or null. */
  strike(blame: Blame, now: number): number | null {
    const key = `${blame.workspace}\n${blame.plugin}`;
    let record = this.#records.get(key);
    const last = record?.strikes.at(-1) ?? 0;
    if (record === undefined || now - last > FORGIVEN_AFTER_MS) {
      record = { strikes: [], suspensions: 0, untilMs: 0 };
      this.#records.set(key, record);
    }
    if (now < record.untilMs) return null; // a call that was under way when the suspension began
    record.strikes = record.strikes.filter((at) => now - at <= WINDOW_MS);
    record.strikes.push(now);
    if (record.strikes.length < STRIKES) return null;
    record.strikes.shift(); // one more after the suspension suspends it again
    const length = Math.min(FIRST_MS * 2 ** record.suspensions, LONGEST_MS);
    record.suspensions++;
    record.untilMs = now + length;
    return record.untilMs;
  }
}
