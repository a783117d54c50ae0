/**
 * One lane of a data thread: the calls of one workspace to one engine, and the cordons that take them.
 *
 * A lane under load has several cordons. Each new request goes to the one with the fewest open calls, and stays
 * with it: what a guest keeps about a request in one phase is there in the next, for as long as the cordon lives.
 */
import type { Context } from "@gatehouse/sdk";
import { type LaneName, laneKey } from "../protocol/messages.ts";
import type { Call } from "./guest.ts";
import type { CordonLink } from "./link.ts";

/** Calls that one cordon has at a time; the rest is queued in its lane, where they survive its death. */
export const MAX_IN_FLIGHT = 32;

export interface Lane {
  readonly name: LaneName;
  /** In the order in which they came: while there is little to do the first ones do it. */
  readonly links: CordonLink[];
  queue: Call[];
  /** Whether a cordon was asked for that has neither come nor been refused or lost. */
  asked: boolean;
  /** Its workspace's place at the gate; null while the workspace has used nothing. */
  budget: number | null;
  /** Whether it was put away. Who still has it asks for the one of its name anew. */
  gone: boolean;
}

/** All lanes of a data thread: those that have a cordon, have asked for one, or have calls that wait. */
export class LaneTable {
  readonly #lanes = new Map<string, Lane>();
  /** Where the gate knows a workspace; absent while it has used nothing. */
  readonly #budgets = new Map<string, number>();

  get size(): number {
    return this.#lanes.size;
  }

  [Symbol.iterator](): Iterator<Lane> {
    return this.#lanes.values();
  }

  named(name: LaneName): Lane {
    const key = laneKey(name);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { name, links: [], queue: [], asked: false, budget: this.budgetOf(name.workspace), gone: false };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  budgetOf(workspace: string): number | null {
    return this.#budgets.get(workspace) ?? null;
  }

  setBudget(workspace: string, slot: number): void {
    this.#budgets.set(workspace, slot);
    for (const lane of this.#lanes.values()) if (lane.name.workspace === workspace) lane.budget = slot;
  }

  /** Puts away the lanes that have nothing. */
  tidy(): void {
    for (const [key, lane] of this.#lanes) {
      if (lane.asked || lane.links.length > 0 || lane.queue.length > 0) continue;
      lane.gone = true;
      this.#lanes.delete(key);
    }
  }
}

export function hasRoom(link: CordonLink): boolean {
  return link.open.size < MAX_IN_FLIGHT;
}

/** Which cordon each request's calls go to, where a lane has several. */
export class Homes {
  readonly #homes = new WeakMap<Context, CordonLink>();

  /** The cordon that this request is at home in, or the one with the fewest open calls. One of them has room. */
  choose({ links }: Lane, ctx: Context): CordonLink {
    const [first] = links as [CordonLink];
    if (links.length === 1) return first;
    const home = this.#homes.get(ctx);
    if (home !== undefined && links.includes(home) && hasRoom(home)) return home;
    let least = first;
    for (const link of links) if (link.open.size < least.open.size) least = link;
    this.#homes.set(ctx, least);
    return least;
  }
}
