/**
 * Watches the roll-outs that run on this gateway, and ends them: back when the new version does worse than the running
 * one, on when it has done well for its window. Every gateway on a store watches what its own requests meet; the store
 * decides whose word came first.
 */
import type { LedgerRow } from "../sandbox/ledger.ts";
import { type Figures, figuresOf, NO_FIGURES } from "./figures.ts";
import type { Rollout } from "./rollout.ts";
import type { Served, Tally } from "./tally.ts";
import { comparedJson, Observation, type Verdict } from "./verdict.ts";

/** Data threads tell what guests have cost as often. */
const LOOK_MS = 1000;

export interface WatcherParts {
  /** Those that have not ended. */
  open(): readonly Rollout[];
  tally(rollout: Rollout): Tally;
  /** Rows of all threads. */
  ledger(): readonly LedgerRow[];
  /** Names of the workspaces in which plugins follow its channel. */
  users(rollout: Rollout): ReadonlySet<string>;
  /** Ends a roll-out, unless it has ended meanwhile. */
  end(
    rollout: Rollout,
    state: "promoted" | "rolled_back",
    why: string,
    figures: Rollout["figures"],
  ): Promise<void>;
  log(level: "warn" | "error", message: string, fields: Record<string, unknown>): void;
}

interface Watched {
  readonly observation: Observation;
  verdict: Verdict;
  /** Requests as they were at the last look: of calls no more is known by now, and those say more of what happened. */
  served: { readonly running: Served; readonly canary: Served };
  /** Whether it is being ended. */
  ending: boolean;
}

export class Watcher {
  readonly #parts: WatcherParts;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | null = null;

  constructor(parts: WatcherParts) {
    this.#parts = parts;
  }

  /** Roll-outs have begun or ended. While none runs nothing is looked at. */
  follow(): void {
    const running = new Map(this.#running().map((rollout) => [rollout.id, rollout]));
    for (const id of this.#watched.keys()) if (!running.has(id)) this.#watched.delete(id);
    for (const rollout of running.values()) if (!this.#watched.has(rollout.id)) this.#begin(rollout);
    if (this.#watched.size === 0) this.close();
    else this.#timer ??= setInterval(() => this.look(performance.now()), LOOK_MS).unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** What was found of a roll-out so far on this gateway; null if it is not watched. */
  seen({ id }: Pick<Rollout, "id">): { readonly why: string; readonly figures: Rollout["figures"] } | null {
    const watched = this.#watched.get(id);
    if (watched === undefined) return null;
    return { why: watched.verdict.why, figures: comparedJson(watched.observation.compared) };
  }

  /** @param now of a clock that never goes back, milliseconds. */
  look(now: number): void {
    for (const rollout of this.#running()) {
      const watched = this.#watched.get(rollout.id);
      if (watched === undefined || watched.ending) continue;
      const { running, canary } = this.#sums(rollout);
      const { served } = watched;
      watched.served = { running: servedOf(running), canary: servedOf(canary) };
      watched.verdict = watched.observation.look({
        at: now,
        running: { ...running, ...served.running },
        canary: { ...canary, ...served.canary },
      });
      const state = outcome(watched.verdict, rollout);
      if (state !== null) void this.#end(rollout, watched, state);
    }
  }

  #running(): Rollout[] {
    return this.#parts.open().filter(({ state, watch }) => state === "running" && watch !== null);
  }

  #begin(rollout: Rollout): void {
    const first = { at: performance.now(), ...this.#sums(rollout) };
    const { watch } = rollout;
    if (watch === null) return;
    // Requests of before the roll-out were not counted: what is compared with them is calls.
    const usual: Figures = { ...NO_FIGURES, ...first.running, requests: 0, failed: 0 };
    const observation = new Observation(watch, first, usual);
    const served = { running: servedOf(first.running), canary: servedOf(first.canary) };
    this.#watched.set(rollout.id, { observation, verdict: observation.look(first), served, ending: false });
  }

  async #end(rollout: Rollout, watched: Watched, state: "promoted" | "rolled_back"): Promise<void> {
    watched.ending = true;
    try {
      const { why } = watched.verdict;
      await this.#parts.end(rollout, state, why, comparedJson(watched.observation.compared));
    } catch (error) {
      this.#parts.log("error", "a roll-out could not be ended; it is tried again", {
        ...{
          workspace: rollout.workspace,
          plugin: rollout.name,
          channel: rollout.channel,
          rollout: rollout.id,
        },
        reason: (error as Error).message,
      });
    } finally {
      watched.ending = false;
    }
  }

  #sums(rollout: Rollout): { running: Figures; canary: Figures } {
    const { name, from, to } = rollout;
    const users = this.#parts.users(rollout);
    const rows = this.#parts.ledger().filter((row) => row.plugin === name && users.has(row.workspace));
    const tally = this.#parts.tally(rollout);
    const of = (version: string, canary: boolean) =>
      figuresOf(
        rows.filter((row) => row.version === version),
        tally.served(canary),
      );
    return { running: of(from, false), canary: of(to, true) };
  }
}

const servedOf = ({ requests, failed }: Figures): Served => ({ requests, failed });

function outcome({ kind }: Verdict, { watch }: Rollout): "promoted" | "rolled_back" | null {
  if (kind === "worse") return "rolled_back";
  return kind === "clean" && watch?.promote === "auto" ? "promoted" : null;
}
