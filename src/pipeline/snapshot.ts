/**
 * The configuration as one data thread uses it: compiled once, never changed, replaced whole. A request keeps
 * the snapshot that it started with. What did not change is taken over from the snapshot before: plugin
 * instances with their state, and (through the pool) connections.
 */
import type { Consumer, Credential, Hooks } from "@gatehouse/sdk";
import {
  DEFAULT_WORKSPACE_ID,
  type GatewayConfig,
  type PluginEntity,
  pluginBaseName,
  type Route,
  type Service,
} from "../entities/entities.ts";
import type { UpstreamTimeouts } from "../http1/client-connection.ts";
import { type Match, Router } from "../router/router.ts";
import type { Balancer } from "../upstream/balancer.ts";
import { type Chain, Chains, type ScopedPlugin } from "./chain.ts";
import type { Exchange } from "./exchange.ts";

export interface ServiceEntry {
  readonly entity: { readonly id: string; readonly name: string | null; readonly host: string };
  readonly balancer: Balancer;
  readonly timeouts: UpstreamTimeouts;
  readonly retries: number;
  readonly path: string | null;
  /** Host that an upstream entity prescribes. */
  readonly hostHeader: string | null;
}

export interface RouteEntry {
  readonly route: { readonly id: string; readonly name: string | null };
  readonly workspace: string;
  readonly service: ServiceEntry | null;
  readonly stripPath: boolean;
  readonly preserveHost: boolean;
  /** Status that tells a client on plain http to use https; 0 if the route serves http. */
  readonly httpsStatus: number;
  readonly chain: Chain;
}

export type RouteMatch = Match<RouteEntry>;

/** A configured plugin that is ready to run. */
export interface PluginInstance {
  readonly priority: number;
  readonly hooks: Hooks;
  /** Frees what it holds once no snapshot uses it any more. */
  dispose(): void;
}

/** What compiling needs from the thread. */
export interface SnapshotParts {
  /** Makes an instance; `workspace` is a name. What it throws refuses the whole configuration. */
  instantiate(plugin: PluginEntity, workspace: string): PluginInstance;
  /** Identity of the code behind a plugin entity: another value makes another instance. */
  codeOf(plugin: PluginEntity): string;
  balancer(service: Service): { balancer: Balancer; hostHeader: string | null };
}

/** Who is known in a workspace. */
interface Directory {
  /** By `type:key`. */
  readonly credentials: ReadonlyMap<string, Credential>;
  /** By id, username and custom_id's owner. */
  readonly consumers: ReadonlyMap<string, Consumer>;
}

const NOBODY: Directory = { credentials: new Map(), consumers: new Map() };

export class Snapshot {
  readonly hash: string;
  readonly globalChain: Chain;
  /** Requests that go by this snapshot. */
  inFlight = 0;
  readonly #router: Router<RouteEntry>;
  readonly #directories: ReadonlyMap<string, Directory>;
  readonly #instances: ReadonlyMap<string, PluginInstance>;

  private constructor(
    hash: string,
    router: Router<RouteEntry>,
    globalChain: Chain,
    directories: ReadonlyMap<string, Directory>,
    instances: ReadonlyMap<string, PluginInstance>,
  ) {
    this.hash = hash;
    this.#router = router;
    this.globalChain = globalChain;
    this.#directories = directories;
    this.#instances = instances;
  }

  static readonly empty = new Snapshot(
    "0".repeat(32),
    Router.build<RouteEntry>([]),
    new Chains([]).global,
    new Map(),
    new Map(),
  );

  /** Compiles a configuration. Throws, and leaves `previous` as it is, if any part of it cannot be made. */
  static compile(config: GatewayConfig, parts: SnapshotParts, previous: Snapshot): Snapshot {
    const workspaces = new Map(config.workspaces.map(({ id, name }) => [id, name]));
    const instances = new Map<string, PluginInstance>();
    const made: PluginInstance[] = [];
    try {
      const chains = new Map<string, Chains>();
      const scoped = Map.groupBy(
        config.plugins.filter((plugin) => plugin.enabled),
        ({ ws_id }) => ws_id,
      );
      for (const [ws, plugins] of scoped) {
        const workspace = workspaces.get(ws) ?? "default";
        const list = plugins.map((plugin): ScopedPlugin => {
          const key = JSON.stringify([plugin, parts.codeOf(plugin)]);
          let instance = previous.#instances.get(key);
          if (instance === undefined) {
            instance = parts.instantiate(plugin, workspace);
            made.push(instance);
          }
          instances.set(key, instance);
          return {
            name: pluginBaseName(plugin.name),
            priority: instance.priority,
            hooks: instance.hooks,
            routeId: plugin.route?.id ?? null,
            serviceId: plugin.service?.id ?? null,
            consumerId: plugin.consumer?.id ?? null,
          };
        });
        chains.set(ws, new Chains(list));
      }
      const none = new Chains([]);
      const router = buildRouter(config, parts, (route) => chains.get(route.ws_id) ?? none, workspaces);
      const globalChain = (chains.get(DEFAULT_WORKSPACE_ID) ?? none).global;
      return new Snapshot(config.hash, router, globalChain, directories(config), instances);
    } catch (error) {
      for (const instance of made) instance.dispose();
      throw error;
    }
  }

  /** Frees the plugin instances that none of `kept` uses. Called once no request goes by this snapshot. */
  retire(kept: readonly Snapshot[]): void {
    const used = new Set(kept.flatMap((snapshot) => [...snapshot.#instances.values()]));
    for (const instance of this.#instances.values()) if (!used.has(instance)) instance.dispose();
  }

  match(x: Exchange): RouteMatch | null {
    const { request } = x;
    input.exchange = x;
    input.method = request.method;
    input.host = request.host;
    input.port = request.port;
    input.scheme = request.scheme as "http" | "https";
    input.path = request.normalPath;
    return this.#router.match(input);
  }

  findCredential(workspaceId: string, type: string, key: string): Credential | null {
    return this.#directory(workspaceId).credentials.get(`${type}:${key}`) ?? null;
  }

  findConsumer(workspaceId: string, idOrName: string): Consumer | null {
    return this.#directory(workspaceId).consumers.get(idOrName) ?? null;
  }

  #directory(workspaceId: string): Directory {
    return this.#directories.get(workspaceId) ?? NOBODY;
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
  sni: null,
  headerValues(lower: string): readonly string[] {
    return this.exchange === null ? [] : this.exchange.headerValues(lower);
  },
};

function buildRouter(
  config: GatewayConfig,
  parts: SnapshotParts,
  chainsOf: (route: Route) => Chains,
  workspaces: ReadonlyMap<string, string>,
): Router<RouteEntry> {
  const services = new Map(config.services.map((service) => [service.id, service]));
  const entries = new Map<string, ServiceEntry>();
  const serviceEntry = (service: Service): ServiceEntry => {
    let entry = entries.get(service.id);
    if (entry === undefined) {
      const { id, name, host, connect_timeout, read_timeout, write_timeout } = service;
      entry = {
        ...parts.balancer(service),
        entity: { id, name, host },
        timeouts: { connectMs: connect_timeout, readMs: read_timeout, writeMs: write_timeout },
        retries: service.retries,
        path: service.path,
      };
      entries.set(id, entry);
    }
    return entry;
  };
  return Router.build(
    config.routes.flatMap((route) => {
      const service = route.service === null ? null : (services.get(route.service.id) ?? null);
      if (service !== null && !service.enabled) return [];
      const { id, name } = route;
      let chain: Chain | null = null;
      const data: RouteEntry = {
        route: { id, name },
        workspace: workspaces.get(route.ws_id) ?? "default",
        service: service === null ? null : serviceEntry(service),
        stripPath: route.strip_path,
        preserveHost: route.preserve_host,
        httpsStatus: route.protocols.includes("http") ? 0 : route.https_redirect_status_code,
        // Made at the first request: most of many routes are quiet.
        get chain() {
          chain ??= chainsOf(route).chain(id, service?.id ?? null);
          return chain;
        },
      };
      return [{ route, data }];
    }),
  );
}

function directories(config: GatewayConfig): Map<string, Directory> {
  const out = new Map<string, { credentials: Map<string, Credential>; consumers: Map<string, Consumer> }>();
  const byId = new Map<string, Consumer>();
  const directory = (ws: string) => {
    let found = out.get(ws);
    if (found === undefined) {
      found = { credentials: new Map(), consumers: new Map() };
      out.set(ws, found);
    }
    return found;
  };
  for (const { id, username, custom_id, ws_id } of config.consumers) {
    const consumer: Consumer = { id, username, custom_id };
    byId.set(id, consumer);
    const { consumers } = directory(ws_id);
    consumers.set(id, consumer);
    if (username !== null) consumers.set(username, consumer);
  }
  for (const credential of config.keyauth_credentials) {
    const consumer = byId.get(credential.consumer.id);
    if (consumer === undefined) continue;
    // Looked up by the whole key in a hash table: how long that takes says nothing about parts of a key.
    directory(credential.ws_id).credentials.set(`key-auth:${credential.key}`, {
      id: credential.id,
      consumer,
    });
  }
  return out;
}
