/**
 * The configuration as one data thread uses it: never changed, replaced whole. A request keeps the snapshot that
 * it started with. A snapshot is made from the one before and what changed (snapshot-edit.ts), and shares with
 * it everything else: the index of routes, plugin instances with their state, balancers and (through the pool)
 * connections.
 */
import type { Consumer, Credential, Hooks } from "@gatehouse/sdk";
import type { ConfigChange } from "../entities/change.ts";
import {
  DEFAULT_WORKSPACE_ID,
  EMPTY_HASH,
  type PluginEntity,
  type Route,
  type Service,
  type Target,
  type Upstream,
} from "../entities/entities.ts";
import { PersistentMap } from "../persistent/persistent-map.ts";
import type { RouteIndex } from "../router/route-index.ts";
import { RouteTable } from "../router/route-table.ts";
import type { Match } from "../router/router.ts";
import type { Balancer } from "../upstream/balancer.ts";
import { type Chain, Chains } from "./chain.ts";
import type { Exchange } from "./exchange.ts";
import type { Canary } from "./gates.ts";
import { People } from "./people.ts";
import type { PluginsInForce, RouteEntry, ServiceEntry } from "./route-entry.ts";
import { nextParts } from "./snapshot-edit.ts";

export type { RouteEntry, ServiceEntry };
export type RouteMatch = Match<RouteEntry>;

/** A configured plugin that is ready to run. */
export interface PluginInstance {
  readonly priority: number;
  readonly hooks: Hooks;
  /** Another version of it, which takes its place for a part of the requests. */
  readonly canary?: Canary;
  /** Frees what it holds once no snapshot uses it any more. */
  dispose(): void;
}

/** What compiling needs from the thread. */
export interface SnapshotParts {
  /** Makes an instance; `workspace` is a name. What it throws refuses the whole change. */
  instantiate(plugin: PluginEntity, workspace: string): PluginInstance;
  /** Over an upstream's targets where a service's host names one, else over that host itself. */
  balancer(service: Service, upstream: Upstream | null, targets: readonly Target[]): Balancer;
}

/** A plugin entity with its instance; null if it is not enabled. */
export interface PluginInForce {
  readonly entity: PluginEntity;
  readonly instance: PluginInstance | null;
  /** Version of the snapshot that it was made for. */
  readonly since: number;
}

/** What a snapshot is made of. */
export interface Compiled {
  readonly workspaces: PersistentMap<string>;
  readonly services: PersistentMap<{ readonly service: Service; readonly entry: ServiceEntry }>;
  readonly routes: PersistentMap<Route>;
  readonly upstreams: PersistentMap<Upstream>;
  /** By `workspace name`. */
  readonly upstreamsByName: PersistentMap<Upstream>;
  readonly targets: PersistentMap<Target>;
  /** By upstream. */
  readonly targetsOf: PersistentMap<readonly Target[]>;
  readonly plugins: PersistentMap<PluginInForce>;
  /** By workspace. */
  readonly chains: PersistentMap<Chains>;
  readonly people: People;
  readonly index: RouteIndex<RouteEntry>;
}

/** A plugin that no later snapshot has, with the versions of those that have it: `since` up to before `until`. */
interface Released {
  readonly instance: PluginInstance;
  readonly since: number;
  readonly until: number;
}

export class Snapshot implements PluginsInForce {
  readonly hash: string;
  readonly version: number;
  readonly globalChain: Chain;
  /** Requests that go by this snapshot. */
  inFlight = 0;
  readonly #compiled: Compiled;
  /** Instances that were made for this snapshot, and those that it has no more. */
  readonly #made: readonly PluginInstance[];
  readonly #released: readonly Released[];

  private constructor(
    hash: string,
    version: number,
    compiled: Compiled,
    made: readonly PluginInstance[],
    released: readonly Released[],
  ) {
    this.hash = hash;
    this.version = version;
    this.#compiled = compiled;
    this.#made = made;
    this.#released = released;
    this.globalChain = this.chainsOf(DEFAULT_WORKSPACE_ID).global;
  }

  static readonly empty = new Snapshot(
    EMPTY_HASH,
    0,
    {
      workspaces: PersistentMap.empty(),
      services: PersistentMap.empty(),
      routes: PersistentMap.empty(),
      upstreams: PersistentMap.empty(),
      upstreamsByName: PersistentMap.empty(),
      targets: PersistentMap.empty(),
      targetsOf: PersistentMap.empty(),
      plugins: PersistentMap.empty(),
      chains: PersistentMap.empty(),
      people: People.nobody,
      index: RouteTable.empty(),
    },
    [],
    [],
  );

  /**
   * Compiles the snapshot after this one, which stays as it is whatever becomes of that. The work is done in
   * steps with a `yield` between any two, for the caller to pause at: a large change must not keep requests
   * waiting.
   * @throws whatever of it cannot be made: then nothing is left of it.
   */
  *next(change: ConfigChange, parts: SnapshotParts): Generator<void, Snapshot> {
    const version = this.version + 1;
    const made: PluginInstance[] = [];
    const released: Released[] = [];
    const log = {
      make(plugin: PluginEntity, workspace: string): PluginInForce {
        const instance = plugin.enabled ? parts.instantiate(plugin, workspace) : null;
        if (instance !== null) made.push(instance);
        return { entity: plugin, instance, since: version };
      },
      release({ instance, since }: PluginInForce): void {
        if (instance !== null) released.push({ instance, since, until: version });
      },
    };
    try {
      const compiled = yield* nextParts(this.#compiled, change, parts, log);
      return new Snapshot(change.hash, version, compiled, made, released);
    } catch (error) {
      for (const instance of made) instance.dispose();
      throw error;
    }
  }

  /** Frees what was made for a snapshot that is never served. */
  discard(): void {
    for (const instance of this.#made) instance.dispose();
  }

  /** The plugins that the snapshot before had and this one has no more. */
  get released(): readonly Released[] {
    return this.#released;
  }

  match(x: Exchange): RouteMatch | null {
    const { request } = x;
    input.exchange = x;
    input.method = request.method;
    input.host = request.host;
    input.port = request.port;
    input.scheme = request.scheme as "http" | "https";
    input.path = request.normalPath;
    input.sni = x.client.tls?.serverName ?? null;
    return this.#compiled.index.match(input);
  }

  chainsOf(workspaceId: string): Chains {
    return this.#compiled.chains.get(workspaceId) ?? Chains.none;
  }

  findCredential(workspaceId: string, type: string, key: string): Credential | null {
    return this.#compiled.people.findCredential(workspaceId, type, key);
  }

  findConsumer(workspaceId: string, idOrName: string): Consumer | null {
    return this.#compiled.people.findConsumer(workspaceId, idOrName);
  }
}

/**
 * Snapshots that were replaced while requests went by them, and the plugins that are to be freed when the last
 * request that may use them is over.
 */
export class Replaced {
  #snapshots: Snapshot[] = [];
  #released: Released[] = [];

  add(old: Snapshot, by: Snapshot): void {
    this.#snapshots.push(old);
    this.#released.push(...by.released);
    this.sweep();
  }

  /** Whether no request goes by any of them. */
  get isOver(): boolean {
    return this.#snapshots.every(({ inFlight }) => inFlight === 0);
  }

  /** Frees what only snapshots without requests still hold. */
  sweep(): void {
    this.#snapshots = this.#snapshots.filter(({ inFlight }) => inFlight > 0);
    const uses = ({ since, until }: Released) =>
      this.#snapshots.some(({ version }) => version >= since && version < until);
    const kept = this.#released.filter(uses);
    const gone = this.#released.filter((plugin) => !kept.includes(plugin));
    this.#released = kept;
    for (const { instance } of gone) instance.dispose();
  }
}

/** One input for all matches of a thread: matching is synchronous, and the router keeps nothing of it. */
const input = {
  exchange: null as Exchange | null,
  method: "",
  host: "",
  port: 0,
  path: "",
  scheme: "http" as "http" | "https",
  sni: null as string | null,
  get query(): string {
    return this.exchange?.request.query ?? "";
  },
  get clientIp(): string {
    return this.exchange?.request.clientIp ?? "";
  },
  get clientPort(): number {
    return this.exchange?.request.clientPort ?? Number.NaN;
  },
  get localIp(): string {
    return this.exchange?.client.wire.localAddress ?? "";
  },
  headerValues(lower: string): readonly string[] {
    return this.exchange === null ? [] : this.exchange.headerValues(lower);
  },
};
