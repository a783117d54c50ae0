/**
 * Whose turn it is on a core that the gateway's threads and guests want at the same time. A cordon stands a
 * little behind the gateway's own threads; one that wants a core all the time stands far behind them, until it
 * wants less. So a guest that burns costs its neighbours hardly any of the time that they ask for, long before
 * its workspace's budget is used up.
 */
import { constants, setPriority } from "node:os";
import { type Command, findTool } from "./fence.ts";

/** Nice values. Each step is worth a quarter more or less of a contended core. */
const ORDINARY = constants.priority.PRIORITY_BELOW_NORMAL / 2;
const BURNING = constants.priority.PRIORITY_LOW;
/** For how long a cordon must want a core to be put back, and which part of that time. */
const BURNS_MS = 100;
const BURNS = 0.9;
/** Calls begun in that time that show it to be busy and not burning: many short ones keep a core just as busy. */
const SERVES = 10;
/** For how long one that serves a workspace must want less to come closer. What waits for a workspace shows nothing. */
const RESTS_MS = 1000;
const RESTS = 0.7;

/** What is asked of a cordon here. */
export interface Runner {
  readonly pid: number | null;
  /** Whom it serves; null while it is a spare. */
  readonly lane: object | null;
  /** Milliseconds for which its first thread has had a core or waited for one. */
  wantedMs(): number;
}

interface Seen {
  at: number;
  wantedMs: number;
  calls: number;
  burning: boolean;
}

/**
 * A command line that begins behind the gateway's threads: a storm of deaths is also a storm of starts. Said
 * from the outside it would come too late for what the command has forked by then.
 */
export function behind({ file, args }: Command): readonly string[] {
  const nice = findTool("nice");
  return nice === null ? [file, ...args] : [nice, "-n", String(ORDINARY), file, ...args];
}

export class Priorities<C extends Runner> {
  readonly #seen = new WeakMap<C, Seen>();

  /** `calls` is how many it was ever sent, `now` is `Date.now()`. */
  look(cordon: C, calls: number, now: number): void {
    const { pid, lane } = cordon;
    if (pid === null || lane === null) return;
    const seen = this.#seen.get(cordon);
    if (seen === undefined) {
      this.#seen.set(cordon, { at: now, wantedMs: cordon.wantedMs(), calls, burning: false });
      return;
    }
    const passed = now - seen.at;
    if (passed < (seen.burning ? RESTS_MS : BURNS_MS)) return;
    const wantedMs = cordon.wantedMs();
    const share = (wantedMs - seen.wantedMs) / passed;
    const serves = calls - seen.calls >= (SERVES * passed) / BURNS_MS;
    seen.at = now;
    seen.calls = calls;
    seen.wantedMs = wantedMs;
    const burning = share > (seen.burning ? RESTS : BURNS) && !serves;
    if (burning === seen.burning) return;
    seen.burning = burning;
    place(pid, burning ? BURNING : ORDINARY);
  }
}

function place(pid: number, priority: number): void {
  try {
    setPriority(pid, priority);
  } catch {
    // It is dead, or this process may push others back and not let them forward again: it stays behind.
  }
}
