/**
 * Holds back plugins that keep killing their cordon. After two deaths within a minute such a plugin is kept
 * apart: it gets a cordon of its own, and its neighbours lose no more calls by it. After five its calls are
 * answered `suspended` for a second, then two, then four, up to a minute. A plugin that behaves for five
 * minutes starts anew, in the common cordon.
 *
 * Where nobody knows whose call it was, several plugins may be suspected of one death. Suspicion alone keeps a
 * plugin apart, where it turns out; only a death that is certainly its own suspends it.
 */
import { type Blame, blameKey } from "../protocol/messages.ts";
import { Strikes } from "./strikes.ts";

export const STRIKES_APART = 2;
export const STRIKES = 5;
/**
 * Plugins of one workspace that are kept apart at a time. Each has a cordon, and cordons are for all workspaces: a
 * hundred plugins that crash must not take a hundred. Those beyond it stay with their workspace's others.
 */
export const MAX_APART = 8;
export const FORGIVEN_AFTER_MS = 300_000;

interface Record {
  readonly blame: Blame;
  readonly strikes: Strikes;
  /** When its last cordon died, milliseconds since the epoch. */
  lastAt: number;
  apart: boolean;
}

/** What follows from a death; null if nothing does. */
export interface Sentence {
  /** It is kept apart from now on. */
  readonly apart: boolean;
  /** It is suspended until then (milliseconds since the epoch). */
  readonly untilMs: number | null;
}

/** A plugin that is held back. */
export interface HeldBack {
  readonly blame: Blame;
  /** Whether its calls run in a cordon of its own. */
  readonly apart: boolean;
  /** Until when its calls are not run, milliseconds since the epoch; null if they are. */
  readonly untilMs: number | null;
}

export class Suspensions {
  readonly #forgivenAfterMs: number;
  readonly #records = new Map<string, Record>();

  constructor(forgivenAfterMs = FORGIVEN_AFTER_MS) {
    this.#forgivenAfterMs = forgivenAfterMs;
  }

  /** Counts one dead cordon. */
  strike(blame: Blame, certain: boolean, now: number): Sentence | null {
    const key = blameKey(blame);
    let record = this.#records.get(key);
    if (record === undefined) {
      record = { blame, strikes: new Strikes(STRIKES), lastAt: now, apart: false };
      this.#records.set(key, record);
    }
    record.lastAt = now;
    if (now < record.strikes.untilMs) return null; // a call that was under way when the suspension began
    const count = record.strikes.add(now);
    const apart = !record.apart && count >= STRIKES_APART && this.#apartIn(blame.workspace) < MAX_APART;
    if (apart) record.apart = true;
    const untilMs = certain ? record.strikes.suspend(now) : null;
    return apart || untilMs !== null ? { apart, untilMs } : null;
  }

  /** Forgets those that have behaved for long enough. Returns those that were apart, which may come back. */
  forgive(now: number): Blame[] {
    const back: Blame[] = [];
    for (const [key, { blame, lastAt, apart }] of this.#records) {
      if (now - lastAt < this.#forgivenAfterMs) continue;
      this.#records.delete(key);
      if (apart) back.push(blame);
    }
    return back;
  }

  /** A workspace is no more. Returns its plugins that were remembered. */
  forget(workspace: string): Blame[] {
    const gone = [...this.#records].filter(([, { blame }]) => blame.workspace === workspace);
    for (const [key] of gone) this.#records.delete(key);
    return gone.map(([, { blame }]) => blame);
  }

  #apartIn(workspace: string): number {
    let count = 0;
    for (const { blame, apart } of this.#records.values())
      if (apart && blame.workspace === workspace) count++;
    return count;
  }

  get isEmpty(): boolean {
    return this.#records.size === 0;
  }

  heldBack(now: number): HeldBack[] {
    const held: HeldBack[] = [];
    for (const {
      blame,
      apart,
      strikes: { untilMs },
    } of this.#records.values())
      if (apart || now < untilMs) held.push({ blame, apart, untilMs: now < untilMs ? untilMs : null });
    return held;
  }
}
