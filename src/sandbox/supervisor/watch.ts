/**
 * The supervisor's look at its cordons every few milliseconds: whose memory is over the cap, who did not come
 * up, who uses CPU time that no call asked for, who has been idle for long. It goes by what the kernel and the
 * threads' counters say, never by a cordon.
 */

import type { Failure } from "../protocol/engine.ts";
import type { Activity } from "../protocol/messages.ts";
import type { CordonProcess } from "./cordon-process.ts";

const TICK_MS = 5;
const IDLE_TICK_MS = 50;
/** After this long without a call memory is watched at leisure. */
const QUIET_MS = 1000;
export const START_MS = 15_000;
/** How often the CPU time of a cordon is looked at. */
const CPU_LOOK_MS = 1000;
/** Part of a core that it may use without an open call: V8 compiles and collects behind the calls' backs. */
const IDLE_CPU = 0.25;
/** Cores that it may use while calls are open: one for the guest, and those of V8's helpers. */
const BUSY_CPU = 3;
/** Looks in a row that find it using more. */
const CPU_EXCESSES = 2;

export interface WatchOptions {
  readonly cordons: ReadonlyMap<number, CordonProcess>;
  readonly activity: Activity;
  /** Resident bytes at which a cordon is killed. */
  readonly maxRssBytes: number;
  /** Bytes of all cordons together, what they share counted for none of them, beyond which idle ones go. */
  readonly budgetBytes: number;
  /** Idle time after which a cordon is evicted. */
  readonly idleMs: number;
  readonly kill: (cordon: CordonProcess, failure: Failure, message: string) => void;
  readonly retire: (cordon: CordonProcess) => void;
  /** They are over the budget. */
  readonly evictOne: () => void;
  /** Told of every cordon at each look. */
  readonly onLook: (cordon: CordonProcess, busy: boolean, now: number) => void;
  /** Called when all have been looked at. */
  readonly onLooked: (now: number) => void;
}

export class Watch {
  readonly #options: WatchOptions;
  #timer: NodeJS.Timeout | null = null;
  #busyAt = 0;
  #lookedAt = 0;
  #stopped = false;
  #ownBytes = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Bytes of all cordons that are not on their way out, at the last look. */
  get ownBytes(): number {
    return this.#ownBytes;
  }

  /** Watches for as long as there are cordons. */
  start(): void {
    if (this.#timer !== null || this.#stopped || this.#options.cordons.size === 0) return;
    const delay = Date.now() - this.#busyAt < QUIET_MS ? TICK_MS : IDLE_TICK_MS;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#look();
      this.start();
    }, delay).unref();
  }

  /** A cordon is about to be busy. */
  wake(now: number): void {
    this.#busyAt = now;
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #look(): void {
    const now = Date.now();
    const { cordons, activity, maxRssBytes, budgetBytes, idleMs, kill, retire, evictOne, onLook } =
      this.#options;
    const sinceLast = now - this.#lookedAt;
    this.#lookedAt = now;
    let total = 0;
    for (const cordon of cordons.values()) {
      const started = activity.started(cordon.slot);
      const busy = started !== cordon.callsSeen || activity.open(cordon.slot) > 0;
      if (busy) {
        cordon.callsSeen = started;
        cordon.lastUsedAt = now;
        this.#busyAt = now;
      }
      if ((busy || now - cordon.lastUsedAt < QUIET_MS) && cordon.measure() > maxRssBytes) {
        const used = Math.round(cordon.rssBytes / 1024 / 1024);
        kill(cordon, "memory", `it used ${used} MiB of memory, ${maxRssBytes / 1024 / 1024} are allowed`);
      }
      this.#lookAtCpu(cordon, busy ? sinceLast : 0, now);
      onLook(cordon, busy, now);
      if (!cordon.retired && cordon.cause === null) total += cordon.ownBytes;
      if (!cordon.ready && now - cordon.startedAt > START_MS)
        kill(cordon, "crashed", `it was not ready ${START_MS} ms after its start`);
      if (cordon.lane !== null && now - cordon.lastUsedAt > idleMs) retire(cordon);
    }
    this.#ownBytes = total;
    if (total > budgetBytes) evictOne();
    this.#options.onLooked(now);
  }

  /**
   * A call's deadline bounds what it can burn. A cordon that burns without one runs something that a guest has
   * left behind, or obeys nobody any more.
   */
  #lookAtCpu(cordon: CordonProcess, busyMs: number, now: number): void {
    const { cpuSeen } = cordon;
    cpuSeen.busyMs += busyMs;
    const elapsed = now - cpuSeen.at;
    if (!cordon.ready || elapsed < CPU_LOOK_MS) return;
    const ms = cordon.cpuMs();
    if (ms === null) return;
    const used = ms - cpuSeen.ms;
    const idle = Math.max(elapsed - cpuSeen.busyMs, 0);
    const excess = cpuSeen.at > 0 && used > IDLE_CPU * idle + BUSY_CPU * cpuSeen.busyMs;
    cordon.cpuSeen = { at: now, ms, busyMs: 0, excesses: excess ? cpuSeen.excesses + 1 : 0 };
    if (cordon.cpuSeen.excesses < CPU_EXCESSES) return;
    this.#options.kill(
      cordon,
      "timeout",
      `it used ${used} ms of CPU time within ${elapsed} ms, and calls were open for ${elapsed - idle} ms of them`,
    );
  }
}
