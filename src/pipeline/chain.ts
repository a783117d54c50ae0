/**
 * Which plugins run for a request, and in which order. Kong's rules: within a phase by priority, descending,
 * ties by name, descending; a plugin runs at most once, with the configuration of the most specific scope that
 * has one.
 */
import type { Hooks } from "@gatehouse/sdk";

/** A configured plugin as it stands in a chain. */
export interface HookEntry {
  readonly name: string;
  readonly hooks: Hooks;
  /** Place in the order over all plugins of the workspace; lower runs earlier. */
  readonly rank: number;
}

/** A plugin instance with the scope that it is configured for. */
export interface ScopedPlugin {
  /** Name without version: one configuration a scope for each. */
  readonly name: string;
  readonly priority: number;
  readonly hooks: Hooks;
  readonly routeId: string | null;
  readonly serviceId: string | null;
  readonly consumerId: string | null;
}

/** The hooks that apply to one request, by phase. */
export class Chain {
  readonly rewrite: readonly HookEntry[];
  readonly access: readonly HookEntry[];
  readonly response: readonly HookEntry[];
  readonly headerFilter: readonly HookEntry[];
  readonly bodyFilter: readonly HookEntry[];
  readonly log: readonly HookEntry[];
  readonly entries: readonly HookEntry[];
  readonly #reselect: (base: Chain, consumerId: string, afterRank: number) => Chain;
  readonly #byConsumer = new Map<string, Chain>();

  constructor(
    entries: readonly HookEntry[],
    globals: readonly HookEntry[],
    reselect: (base: Chain, consumerId: string, afterRank: number) => Chain,
  ) {
    const having = (phase: keyof Hooks) => entries.filter(({ hooks }) => hooks[phase] !== undefined);
    this.entries = entries;
    // The route is not known in rewrite: only plugins that apply everywhere run there.
    this.rewrite = globals.filter(({ hooks }) => hooks.rewrite !== undefined);
    this.access = having("access");
    this.response = having("response");
    this.headerFilter = having("headerFilter");
    this.bodyFilter = having("bodyFilter");
    this.log = having("log");
    this.#reselect = reselect;
  }

  /**
   * The chain once a consumer is known: plugins ranked up to `afterRank` stay as they ran, later ones are
   * chosen with the consumer's scope.
   */
  forConsumer(consumerId: string | null, afterRank: number): Chain {
    if (consumerId === null) return this;
    const key = `${afterRank}:${consumerId}`;
    let chain = this.#byConsumer.get(key);
    if (chain === undefined) {
      chain = this.#reselect(this, consumerId, afterRank);
      // Without plugins of its own a consumer gets this very chain; then there is nothing to remember.
      if (chain !== this) this.#byConsumer.set(key, chain);
    }
    return chain;
  }
}

const scopeKey = (route: string | null, service: string | null, consumer: string | null) =>
  `${route ?? ""}|${service ?? ""}|${consumer ?? ""}`;

/** The plugins of one workspace; makes chains for its routes. */
export class Chains {
  /** By name, in order of rank; each with its instances by scope. */
  readonly #plugins: { name: string; rank: number; byScope: Map<string, HookEntry> }[];
  readonly #consumers = new Set<string>();
  readonly #globals: readonly HookEntry[];
  /** For requests that matched no route. */
  readonly global: Chain;

  constructor(plugins: readonly ScopedPlugin[]) {
    const byName = Map.groupBy(plugins, ({ name }) => name);
    const names = [...byName].map(([name, list]) => ({ name, list, priority: list[0]?.priority ?? 0 }));
    names.sort((a, b) => b.priority - a.priority || (a.name < b.name ? 1 : -1));
    this.#plugins = names.map(({ name, list }, rank) => ({
      name,
      rank,
      byScope: new Map(
        list.map(({ hooks, routeId, serviceId, consumerId }) => [
          scopeKey(routeId, serviceId, consumerId),
          { name, hooks, rank },
        ]),
      ),
    }));
    for (const { consumerId } of plugins) if (consumerId !== null) this.#consumers.add(consumerId);
    this.#globals = this.#select(null, null, null);
    this.global = this.chain(null, null);
  }

  /** The chain of a route before a consumer is known. */
  chain(routeId: string | null, serviceId: string | null): Chain {
    const reselect = (base: Chain, consumerId: string, afterRank: number): Chain => {
      const known = this.#consumers.has(consumerId);
      if (!known && base === plain) return base;
      const ran = base.entries.filter(({ rank }) => rank <= afterRank);
      const chosen = this.#select(routeId, serviceId, known ? consumerId : null);
      return new Chain([...ran, ...chosen.filter(({ rank }) => rank > afterRank)], this.#globals, reselect);
    };
    const plain = new Chain(this.#select(routeId, serviceId, null), this.#globals, reselect);
    return plain;
  }

  /** For each plugin the entry of the most specific scope (reference: Kong's eight scopes). */
  #select(route: string | null, service: string | null, consumer: string | null): HookEntry[] {
    const scopes: string[] = [];
    const add = (r: string | null, s: string | null, c: string | null) => {
      const key = scopeKey(r, s, c);
      if (!scopes.includes(key)) scopes.push(key);
    };
    add(route, service, consumer);
    add(route, null, consumer);
    add(null, service, consumer);
    add(route, service, null);
    add(null, null, consumer);
    add(route, null, null);
    add(null, service, null);
    add(null, null, null);
    const chosen: HookEntry[] = [];
    for (const { byScope } of this.#plugins) {
      const scope = scopes.find((key) => byScope.has(key));
      if (scope !== undefined) chosen.push(byScope.get(scope) as HookEntry);
    }
    return chosen;
  }
}
