/**
 * What the supervisor (main thread) and a sandbox client (data thread) tell each other. CONTRACT: both ends.
 *
 * None of it is on a call's path: a cordon is asked for once, and killed rarely. Calls go over sockets.
 */
import type { EngineKind, Failure } from "./engine.ts";

/** One end of a message channel: the gateway multiplexes it on a worker's own port. */
export interface Port<Out, In> {
  post(message: Out): void;
  onMessage(listener: (message: In) => void): void;
}

/** Whose call is held responsible. */
export interface Blame {
  readonly workspace: string;
  readonly plugin: string;
}

/** Which calls a cordon takes: one workspace's to one engine, or those of one plugin of it that is kept apart. */
export interface LaneName {
  readonly engine: EngineKind;
  readonly workspace: string;
  /** Null for the cordons that all plugins of the workspace share. */
  readonly plugin: string | null;
}

export function laneKey({ engine, workspace, plugin }: LaneName): string {
  return plugin === null ? `${engine}\n${workspace}` : `${engine}\n${workspace}\n${plugin}`;
}

export function blameKey({ workspace, plugin }: Blame): string {
  return `${workspace}\n${plugin}`;
}

export type ToThread =
  /** Counters for every cordon, see `Activity`, and CPU budgets, see `BudgetGate`. The first message. */
  | { type: "welcome"; activity: SharedArrayBuffer; budgets: SharedArrayBuffer }
  /** The workspace's CPU budget is in this slot from now on. */
  | { type: "budget"; workspace: string; slot: number }
  /** A cordon's socket is about to connect and will open with this token. */
  | { type: "expect"; cordon: number; token: string }
  /**
   * The cordon serves this lane from now on, beside others if there are; it never serves another. `threads` is how many
   * data threads send it calls.
   */
  | { type: "assigned"; cordon: number; slot: number; lane: LaneName; threads: number }
  /** Let open calls end, start no new ones: the cordon is about to be replaced or evicted. */
  | { type: "retired"; cordon: number }
  /** The process is dead, or killed and about to be. `failure` is null if nothing failed (evicted, shut down). */
  | { type: "gone"; cordon: number; failure: Failure | null; message: string; blame: Blame | null }
  | { type: "refused"; lane: LaneName; message: string }
  /** Calls of this plugin go to a cordon of its own from now on, or to the common one again. */
  | { type: "apart"; blame: Blame; apart: boolean }
  | { type: "suspended"; blame: Blame; untilMs: number };

export type ToSupervisor =
  /** Name of the abstract socket that this thread listens on, without the leading NUL. */
  | { type: "listening"; name: string }
  | { type: "acquire"; lane: LaneName }
  | { type: "ready"; cordon: number }
  /** A deadline passed, or the cordon broke the protocol: kill it. */
  | { type: "kill"; cordon: number; failure: Failure; message: string; blame: Blame | null }
  /** This plugin's call was the last on this thread to run in a cordon that died without anybody being blamed. */
  | { type: "suspect"; cordon: number; failure: Failure; blame: Blame };

export type SupervisorPort = Port<ToThread, ToSupervisor>;
export type ClientPort = Port<ToSupervisor, ToThread>;

/** Bytes that a cordon's opening token has, in hexadecimal. */
export const TOKEN_CHARACTERS = 64;
export const MAX_CORDONS = 1024;

/** Of each slot. */
const CELLS = 4;

/**
 * Shared counters, four for each cordon's slot: calls that are open, calls ever started, and microseconds that host
 * calls have taken the data threads. Data threads write these, the supervisor reads them to know whose memory to watch,
 * who is idle, and what to charge besides the cordon's own CPU time. The fourth goes the other way: how long the
 * cordon has waited for a core, which no deadline counts.
 */
export class Activity {
  readonly #cells: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Int32Array(buffer);
  }

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(MAX_CORDONS * CELLS * Int32Array.BYTES_PER_ELEMENT);
  }

  begin(slot: number): void {
    Atomics.add(this.#cells, slot * CELLS, 1);
    Atomics.add(this.#cells, slot * CELLS + 1, 1);
  }

  end(slot: number): void {
    Atomics.sub(this.#cells, slot * CELLS, 1);
  }

  open(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS);
  }

  started(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + 1);
  }

  /** Host calls of its guests have taken so many microseconds. */
  work(slot: number, us: number): void {
    Atomics.add(this.#cells, slot * CELLS + 2, us);
  }

  /** What they have taken since this was last asked, microseconds. */
  takeWork(slot: number): number {
    return Atomics.exchange(this.#cells, slot * CELLS + 2, 0);
  }

  /** For how long its guests' thread has waited for a core in all, milliseconds, modulo 2 to the 32nd. */
  setWaited(slot: number, ms: number): void {
    Atomics.store(this.#cells, slot * CELLS + 3, ms | 0);
  }

  waited(slot: number): number {
    return Atomics.load(this.#cells, slot * CELLS + 3);
  }

  clear(slot: number): void {
    Atomics.store(this.#cells, slot * CELLS + 3, 0);
    Atomics.store(this.#cells, slot * CELLS, 0);
    Atomics.store(this.#cells, slot * CELLS + 1, 0);
    Atomics.store(this.#cells, slot * CELLS + 2, 0);
  }
}
