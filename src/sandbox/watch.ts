/**
 * The supervisor's look at its cordons every few milliseconds: whose memory is over the cap, who did not come
 * up, who has been idle for long. It goes by what the kernel and the threads' counters say, never by a cordon.
 */
import type { CordonProcess } from "./cordon-process.ts";
import type { Failure } from "./engine.ts";
import type { Activity } from "./messages.ts";

const TICK_MS = 5;
const IDLE_TICK_MS = 50;
/** After this long without a call memory is watched at leisure. */
const QUIET_MS = 1000;
const START_MS = 5000;

export interface WatchOptions {
  readonly cordons: ReadonlyMap<number, CordonProcess>;
  readonly activity: Activity;
  /** Resident bytes at which a cordon is killed. */
  readonly maxRssBytes: number;
  /** Resident bytes of all cordons together, beyond which idle ones are evicted. */
  readonly budgetBytes: number;
  /** Idle time after which a cordon is evicted. */
  readonly idleMs: number;
  readonly kill: (cordon: CordonProcess, failure: Failure, message: string) => void;
  readonly retire: (cordon: CordonProcess) => void;
  readonly evictOne: () => void;
  /** Told of every cordon at each look. */
  readonly onLook: (cordon: CordonProcess, busy: boolean, now: number) => void;
}

export class Watch {
  readonly #options: WatchOptions;
  #timer: NodeJS.Timeout | null = null;
  #busyAt = 0;
  #stopped = false;

  constructor(options: WatchOptions) {
    this.#options = options;
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
      total += cordon.rssBytes;
      onLook(cordon, busy, now);
      if (!cordon.ready && now - cordon.startedAt > START_MS)
        kill(cordon, "crashed", `it was not ready ${START_MS} ms after its start`);
      if (cordon.workspace !== null && now - cordon.lastUsedAt > idleMs) retire(cordon);
    }
    if (total > budgetBytes) evictOne();
  }
}
