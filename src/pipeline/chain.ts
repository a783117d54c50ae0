/**
 * Which plugins run for a request, and in which order. Kong's rules: within a phase by priority, descending,
 * ties by name, descending; a plugin runs at most once, with the configuration of the most specific scope that
 * has one.
 */
import type { Hooks } from "@gatehouse/sdk";
import { PersistentMap } from "../persistent/persistent-map.ts";
import { type Canary, type Drawn, type GatedRequest, Gates } from "./gates.ts";

/** A configured plugin as it stands in a chain. */
export interface HookEntry {
  readonly name: string;
  /** Of the plugin in this workspace: the same for every configuration of it. */
  readonly priority: number;
  readonly hooks: Hooks;
  /** Counts the requests of a plugin that has a canary, for the version that this is; runs after all others. */
  readonly meter?: HookEntry;
}

/** A plugin instance with the scope that it is configured for. */
export interface ScopedPlugin {
  /** Name without version: one configuration a scope for each. */
  readonly name: string;
  readonly priority: number;
  readonly hooks: Hooks;
  /** Another version of it, for a part of the requests. */
  readonly canary?: Canary | undefined;
  readonly routeId: string | null;
  readonly serviceId: string | null;
  readonly consumerId: string | null;
}

type Order = Pick<HookEntry, "name" | "priority">;

/** Sort order: what runs earlier comes first. */
const inOrder = (a: Order, b: Order): number =>
  b.priority - a.priority || (a.name === b.name ? 0 : a.name < b.name ? 1 : -1);

/** Whether a plugin runs later than another; one is not later than itself. */
export const runsAfter = (a: Order, b: Order): boolean => inOrder(a, b) > 0;

/** A request that has a chain. */
export interface Drawing extends GatedRequest {
  /** What was drawn for it; null before anything was. */
  drawn: Drawn | null;
}

/** The hooks that apply to one request, by phase. */
export class Chain {
  readonly rewrite: readonly HookEntry[];
  readonly access: readonly HookEntry[];
  readonly response: readonly HookEntry[];
  readonly headerFilter: readonly HookEntry[];
  readonly bodyFilter: readonly HookEntry[];
  /** Whether a body filter may change what it sees. */
  readonly changesBody: boolean;
  readonly log: readonly HookEntry[];
  readonly entries: readonly HookEntry[];
  /**
   * The chain for a request in place of this one, where plugins have canaries. Null where none has: then a request pays
   * one comparison.
   */
  readonly choose: ((x: Drawing) => Chain) | null;
  readonly #reselect: (base: Chain, consumerId: string, after: HookEntry) => Chain;
  #byConsumer: Map<string, Chain> | null = null;

  constructor(
    entries: readonly HookEntry[],
    globals: readonly HookEntry[],
    reselect: (base: Chain, consumerId: string, after: HookEntry) => Chain,
    choose: ((x: Drawing) => Chain) | null,
  ) {
    const having = (phase: Exclude<keyof Hooks, "observes">) =>
      entries.filter(({ hooks }) => hooks[phase] !== undefined);
    this.entries = entries;
    // The route is not known in rewrite: only plugins that apply everywhere run there.
    this.rewrite = globals.filter(({ hooks }) => hooks.rewrite !== undefined);
    this.access = having("access");
    const response = having("response");
    // Who only looks on does not have the response buffered.
    this.response = response.every(({ hooks }) => hooks.observes) ? [] : response;
    this.headerFilter = having("headerFilter");
    this.bodyFilter = having("bodyFilter");
    this.changesBody = this.bodyFilter.some(({ hooks }) => hooks.observes !== true);
    this.log = [...having("log"), ...entries.flatMap(({ meter }) => meter ?? [])];
    this.choose = choose;
    this.#reselect = reselect;
  }

  /**
   * The chain once a consumer is known: plugins up to `after` stay as they ran, later ones are chosen with the
   * consumer's scope.
   */
  forConsumer(consumerId: string | null, after: HookEntry): Chain {
    if (consumerId === null) return this;
    const key = `${after.name}:${consumerId}`;
    let chain = this.#byConsumer?.get(key);
    if (chain === undefined) {
      chain = this.#reselect(this, consumerId, after);
      // Without plugins of its own a consumer gets this very chain; then there is nothing to remember.
      if (chain !== this) {
        this.#byConsumer ??= new Map();
        this.#byConsumer.set(key, chain);
      }
    }
    return chain;
  }
}

const scopeKey = (route: string | null, service: string | null, consumer: string | null) =>
  `${route ?? ""}|${service ?? ""}|${consumer ?? ""}`;

const keyOf = ({ routeId, serviceId, consumerId }: ScopedPlugin) => scopeKey(routeId, serviceId, consumerId);

/** One plugin of a workspace with its configurations by scope. */
interface Scopes {
  readonly name: string;
  /** Packages of one name may differ in priority by version: then the highest counts for all. */
  readonly priority: number;
  readonly isMixed: boolean;
  readonly byScope: PersistentMap<Configured>;
  /** How many of them have a canary. */
  readonly gated: number;
}

interface Configured {
  readonly own: number;
  readonly entry: HookEntry;
  readonly canary: Canary | null;
}

/** The plugins of one workspace; makes chains for its routes. Never changes: `with` makes the next one. */
export class Chains {
  /** In order of running. */
  readonly #plugins: readonly Scopes[];
  /** Number of configurations by route, service or consumer that has any. */
  readonly #scoped: PersistentMap<number>;
  readonly #gates: Gates;
  /** These as they are for requests that were drawn for, by what was drawn. */
  readonly #variants = new Map<number, Chains>();
  /** Chains that routes without configurations of their own share, by service. */
  readonly #shared = new Map<string, Chain>();
  readonly #globals: readonly HookEntry[];
  /** For requests that matched no route. */
  readonly global: Chain;

  private constructor(plugins: readonly Scopes[], scoped: PersistentMap<number>, gates: Gates) {
    this.#plugins = plugins;
    this.#scoped = scoped;
    this.#gates = gates;
    this.#globals = this.#select(null, null, null);
    this.global = this.#newChain(null, null);
  }

  static readonly none = new Chains([], PersistentMap.empty(), Gates.none);

  /** These with some taken out and then some put in, each with its scope. Costs what these cost. */
  with(change: { readonly remove: readonly ScopedPlugin[]; readonly put: readonly ScopedPlugin[] }): Chains {
    const scoped = this.#scoped.edit();
    const count = ({ routeId, serviceId, consumerId }: ScopedPlugin, by: 1 | -1) => {
      for (const id of [routeId, serviceId, consumerId]) {
        if (id === null) continue;
        const sum = (scoped.get(id) ?? 0) + by;
        if (sum === 0) scoped.delete(id);
        else scoped.set(id, sum);
      }
    };
    for (const plugin of change.remove) count(plugin, -1);
    for (const plugin of change.put) count(plugin, 1);
    const plugins = new Map(this.#plugins.map((scopes) => [scopes.name, scopes]));
    const removed = Map.groupBy(change.remove, ({ name }) => name);
    const added = Map.groupBy(change.put, ({ name }) => name);
    for (const name of new Set([...removed.keys(), ...added.keys()])) {
      const next = changedScopes(plugins.get(name), name, removed.get(name) ?? [], added.get(name) ?? []);
      if (next === null) plugins.delete(name);
      else plugins.set(name, next);
    }
    const gates = this.#gates.with(gatesOf(change.remove), gatesOf(change.put));
    return new Chains([...plugins.values()].sort(inOrder), scoped.done(), gates);
  }

  /**
   * The chain of a route before a consumer is known. One object for all routes of a service that have no
   * configurations of their own: requests to many routes find it in the processor's cache.
   */
  chain(routeId: string | null, serviceId: string | null): Chain {
    if (routeId !== null && this.#has(routeId)) return this.#newChain(routeId, serviceId);
    if (serviceId === null || !this.#has(serviceId)) return this.global;
    let shared = this.#shared.get(serviceId);
    if (shared === undefined) {
      shared = this.#newChain(null, serviceId);
      this.#shared.set(serviceId, shared);
    }
    return shared;
  }

  #has(id: string): boolean {
    return this.#scoped.get(id) !== undefined;
  }

  #newChain(routeId: string | null, serviceId: string | null): Chain {
    const reselect = (base: Chain, consumerId: string, after: HookEntry): Chain => {
      const known = this.#has(consumerId);
      if (!known && base === plain) return base;
      const ran = base.entries.filter((entry) => !runsAfter(entry, after));
      const chosen = this.#select(routeId, serviceId, known ? consumerId : null);
      const later = chosen.filter((entry) => runsAfter(entry, after));
      // What was drawn stays: this chain is of the versions that the one before it was of.
      return new Chain([...ran, ...later], this.#globals, reselect, null);
    };
    const choose = this.#gates.isEmpty ? null : this.#chooser(routeId, serviceId);
    const plain = new Chain(this.#select(routeId, serviceId, null), this.#globals, reselect, choose);
    return plain;
  }

  /** Draws for a request unless that was done, in an earlier phase, and finds the chain for what was drawn. */
  #chooser(routeId: string | null, serviceId: string | null): (x: Drawing) => Chain {
    const chains = new Map<number, Chain>();
    return (x) => {
      if (x.drawn?.by !== this.#gates) x.drawn = this.#gates.draw(x);
      const { bits } = x.drawn;
      let chain = chains.get(bits);
      if (chain === undefined) {
        chain = this.#variant(bits).chain(routeId, serviceId);
        chains.set(bits, chain);
      }
      return chain;
    };
  }

  #variant(bits: number): Chains {
    let variant = this.#variants.get(bits);
    if (variant === undefined) {
      const admitted = this.#gates.admitted(bits);
      const plugins = this.#plugins.map((scopes) => (scopes.gated === 0 ? scopes : drawn(scopes, admitted)));
      variant = new Chains(plugins.sort(inOrder), this.#scoped, Gates.none);
      this.#variants.set(bits, variant);
    }
    return variant;
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
      for (const scope of scopes) {
        const found = byScope.get(scope);
        if (found === undefined) continue;
        chosen.push(found.entry);
        break;
      }
    }
    return chosen;
  }
}

function changedScopes(
  before: Scopes | undefined,
  name: string,
  removed: readonly ScopedPlugin[],
  added: readonly ScopedPlugin[],
): Scopes | null {
  const edit = (before?.byScope ?? PersistentMap.empty<Configured>()).edit();
  const priority = before?.priority ?? added[0]!.priority;
  const isMixed = before?.isMixed === true || added.some((plugin) => plugin.priority !== priority);
  for (const plugin of removed) edit.delete(keyOf(plugin));
  for (const plugin of added) {
    const { priority: own, hooks, canary = null } = plugin;
    edit.set(keyOf(plugin), { own, entry: { name, priority, hooks }, canary });
  }
  const byScope = edit.done();
  if (byScope.size === 0) return null;
  const gated = (before?.gated ?? 0) - [...gatesOf(removed)].length + [...gatesOf(added)].length;
  return isMixed ? ofOnePriority(name, byScope, gated) : { name, priority, isMixed, byScope, gated };
}

function* gatesOf(plugins: readonly ScopedPlugin[]): Generator<Canary["gate"]> {
  for (const { canary } of plugins) if (canary !== undefined) yield canary.gate;
}

/** A plugin with canaries as it is for requests that some gates have admitted: with one version in each scope. */
function drawn({ name, byScope }: Scopes, admitted: ReadonlySet<string>): Scopes {
  const edit = byScope.edit();
  for (const [scope, { own, entry, canary }] of byScope.entries()) {
    if (canary === null) continue;
    const { gate } = canary;
    const isCanary = admitted.has(gate.id);
    const meter = meterOf(gate, isCanary);
    const chosen = isCanary ? { ...entry, hooks: canary.hooks } : entry;
    edit.set(scope, { own: isCanary ? canary.priority : own, entry: { ...chosen, meter }, canary: null });
  }
  return ofOnePriority(name, edit.done(), 0);
}

function meterOf(gate: Canary["gate"], isCanary: boolean): HookEntry {
  return {
    name: gate.id,
    priority: Number.NEGATIVE_INFINITY,
    hooks: { log: (ctx) => gate.count(ctx, isCanary) },
  };
}

function ofOnePriority(name: string, byScope: Scopes["byScope"], gated: number): Scopes {
  let highest = Number.NEGATIVE_INFINITY;
  let lowest = Number.POSITIVE_INFINITY;
  for (const { own } of byScope.values()) {
    highest = Math.max(highest, own);
    lowest = Math.min(lowest, own);
  }
  const edit = byScope.edit();
  for (const [scope, configured] of byScope.entries())
    edit.set(scope, { ...configured, entry: { ...configured.entry, priority: highest } });
  return { name, priority: highest, isMixed: lowest !== highest, byScope: edit.done(), gated };
}
