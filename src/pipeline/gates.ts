/**
 * Two versions of a plugin side by side. While a roll-out runs, a plugin entity has both in its workspace's chains, and a
 * gate decides for each request which of them it gets. A request is drawn for once: whatever the two differ in (phases,
 * priorities), it goes by a chain that was made for the one version, and no phase sees the other.
 */
import type { Context, Hooks } from "@gatehouse/sdk";

/** As much of a request as gates look at. */
export interface GatedRequest {
  readonly request: { readonly headers: { getAll(lower: string): readonly string[] } };
}

/** Between the version that runs and the canary of one roll-out. */
export interface Gate {
  /** Of the roll-out: plugins whose gates have the same id are gated together. */
  readonly id: string;
  /** Whether a request gets the canary. */
  admits(x: GatedRequest): boolean;
  /** A request that a chain with the plugin has served is over. */
  count(ctx: Context, canary: boolean): void;
}

/** The other version of a plugin, for the requests that its gate admits. */
export interface Canary {
  readonly gate: Gate;
  readonly priority: number;
  readonly hooks: Hooks;
}

/**
 * Roll-outs that requests of one workspace are drawn for; plugins of any others keep the version that runs. With each more
 * there may be twice as many chains.
 */
export const MAX_GATES = 4;

/** What was drawn for a request among the gates of one workspace: a bit for each. */
export interface Drawn {
  readonly by: Gates;
  readonly bits: number;
}

/** By id, with the number of plugins that have each. */
type Counted = ReadonlyMap<string, { readonly gate: Gate; readonly plugins: number }>;

/** The gates that a workspace's plugins have now. */
export class Gates {
  readonly #all: Counted;
  readonly #drawn: readonly Gate[];

  private constructor(all: Counted) {
    this.#all = all;
    this.#drawn = [...all.values()].slice(0, MAX_GATES).map(({ gate }) => gate);
  }

  static readonly none = new Gates(new Map());

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  /** These with those of some plugins taken out and those of others put in. */
  with(removed: Iterable<Gate>, put: Iterable<Gate>): Gates {
    const all = new Map(this.#all);
    const add = (gate: Gate, by: 1 | -1) => {
      const known = all.get(gate.id);
      const plugins = (known?.plugins ?? 0) + by;
      if (plugins === 0) all.delete(gate.id);
      else all.set(gate.id, { gate: by > 0 ? gate : (known?.gate ?? gate), plugins });
    };
    let changes = 0;
    for (const [gates, by] of [
      [removed, -1],
      [put, 1],
    ] as const)
      for (const gate of gates) {
        add(gate, by);
        changes++;
      }
    return changes === 0 ? this : new Gates(all);
  }

  /** Draws for a request. */
  draw(x: GatedRequest): Drawn {
    let bits = 0;
    for (let i = 0; i < this.#drawn.length; i++) if (this.#drawn[i]?.admits(x)) bits |= 1 << i;
    return { by: this, bits };
  }

  /** The ids of the gates that have admitted a request. */
  admitted(bits: number): ReadonlySet<string> {
    return new Set(this.#drawn.flatMap(({ id }, i) => ((bits >> i) & 1 ? [id] : [])));
  }
}
