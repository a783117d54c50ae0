/**
 * What becomes of plugins that keep killing their cordon: the data threads are told to keep them apart, to
 * suspend them, and to take them back.
 */
import type { Blame, LaneName, ToThread } from "../protocol/messages.ts";
import { type HeldBack, Suspensions } from "./suspension.ts";
import { Unexplained } from "./unexplained.ts";

export interface DisciplineOptions {
  /** How long a plugin has to behave until what it did is forgotten. */
  readonly forgivenAfterMs: number;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>) => void;
  /** Tells every data thread. */
  readonly tell: (message: ToThread) => void;
  /** Retires the cordons of a lane that gets no calls any more. */
  readonly retireLane: (lane: LaneName) => void;
}

export class Discipline {
  readonly #options: DisciplineOptions;
  readonly #suspensions: Suspensions;
  readonly #unexplained: Unexplained;
  #forgiving: NodeJS.Timeout | null = null;

  constructor(options: DisciplineOptions) {
    this.#options = options;
    this.#suspensions = new Suspensions(options.forgivenAfterMs);
    this.#unexplained = new Unexplained(options.forgivenAfterMs);
  }

  heldBack(): HeldBack[] {
    return this.#suspensions.heldBack(Date.now());
  }

  close(): void {
    if (this.#forgiving !== null) clearTimeout(this.#forgiving);
  }

  /** `certain` unless other plugins may have been to blame. Returns whether the plugin is kept apart from now on. */
  strike(blame: Blame, certain: boolean): boolean {
    const sentence = this.#suspensions.strike(blame, certain, Date.now());
    this.#forgiveLater();
    if (sentence === null) return false;
    const { apart, untilMs } = sentence;
    const { workspace, plugin } = blame;
    const { log, tell } = this.#options;
    if (apart) {
      log("warn", "a plugin gets a cordon of its own: it keeps killing its workspace's", {
        workspace,
        plugin,
      });
      tell({ type: "apart", blame, apart: true });
    }
    if (untilMs === null) return apart;
    log("error", "a plugin is suspended: it keeps killing its cordon", {
      workspace,
      plugin,
      until: new Date(untilMs).toISOString(),
    });
    tell({ type: "suspended", blame, untilMs });
    return apart;
  }

  /** A workspace is no more: whoever comes by its name has done nothing. */
  forget(workspace: string): void {
    this.#unexplained.forget(workspace);
    for (const blame of this.#suspensions.forget(workspace)) {
      this.#options.tell({ type: "suspended", blame, untilMs: 0 });
      this.#options.tell({ type: "apart", blame, apart: false });
    }
  }

  /** A cordon of this lane died, and no plugin is to blame; `killed` if by SIGKILL of somebody. */
  strikeLane(lane: LaneName, killed: boolean): void {
    const untilMs = this.#unexplained.count(lane, killed, Date.now());
    if (untilMs === null) return;
    this.#options.log(
      "error",
      "a workspace gets no cordon for a while: its cordons keep dying outside of calls",
      {
        ...lane,
        until: new Date(untilMs).toISOString(),
      },
    );
  }

  /** Until when this lane gets no cordon, milliseconds since the epoch. */
  laneHeldUntilMs(lane: LaneName): number {
    return this.#unexplained.untilMs(lane);
  }

  #forgiveLater(): void {
    this.#forgiving ??= setTimeout(() => {
      this.#forgiving = null;
      for (const blame of this.#suspensions.forgive(Date.now())) this.#takeBack(blame);
      if (!this.#suspensions.isEmpty) this.#forgiveLater();
    }, this.#options.forgivenAfterMs / 4).unref();
  }

  #takeBack(blame: Blame): void {
    const { workspace, plugin } = blame;
    const { log, tell, retireLane } = this.#options;
    log("info", "a plugin that behaved is back in its workspace's cordon", {
      workspace,
      plugin,
    });
    tell({ type: "apart", blame, apart: false });
    for (const engine of ["isolate", "wasm"] as const) retireLane({ engine, workspace, plugin });
  }
}
