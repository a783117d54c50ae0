/**
 * What the gateway would do with a request, told instead of done: which route and why, what goes upstream, and
 * which plugins run. It goes by the configuration alone and has a router of its own, so that asking costs live
 * requests nothing.
 */
import type { Hooks, Host } from "@gatehouse/sdk";
import { BUILT_INS } from "../../plugins/index.ts";
import { NO_SERVICES } from "../data-thread/plugin-services.ts";
import {
  DEFAULT_WORKSPACE_ID,
  type GatewayConfig,
  type PluginEntity,
  pluginBaseName,
  type Route,
  type Service,
} from "../entities/entities.ts";
import { type Chain, Chains, type HookEntry } from "../pipeline/chain.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import type { Missing } from "../registry/resolver.ts";
import type { Split } from "../rollout/rollout.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import {
  type ExplainedCondition,
  type ExplainedRoute,
  type Explanation,
  priorityParts,
} from "../router/explain.ts";
import { escapePath, upstreamPath } from "../router/path.ts";
import { pathText } from "../router/pattern.ts";
import { RouteTable } from "../router/route-table.ts";
import type { ExplainedInput } from "./explain-input.ts";

export interface RouteName {
  readonly id: string;
  readonly name: string | null;
  readonly workspace: string;
}

export interface ExplainedPlugin {
  readonly id: string;
  readonly name: string;
  readonly version: string | null;
  /** Null for a package that is not there to be looked at; so are its phases. */
  readonly priority: number | null;
  readonly runtime: string;
  /** `global`, or the entities that it is scoped to: `route`, `route+consumer`. */
  readonly scope: string;
  /** The version that a roll-out tries in its place; absent where none runs. */
  readonly canary?: ExplainedCanary;
}

export type ExplainedCanary = Split & {
  readonly version: string;
  readonly priority: number;
  readonly phases: readonly string[];
};

/** In the words of the Admin API: what `POST /explain` answers. */
export interface Explained {
  readonly request: {
    readonly method: string;
    readonly scheme: string;
    readonly host: string;
    readonly port: number;
    /** Normalised, as routes are matched against it. */
    readonly path: string;
    readonly sni: string | null;
    readonly client_ip: string;
  };
  readonly match:
    | (RouteName & {
        readonly kind: "classic" | "expression";
        /** 64 bits, as 16 hexadecimal digits. */
        readonly priority: string;
        readonly priority_parts: readonly { readonly name: string; readonly value: number }[];
        readonly conditions: readonly ExplainedCondition[];
        readonly captures: Readonly<Record<string, string>>;
      })
    | null;
  /** Routes that match too, with what put them behind. */
  readonly others: readonly (RouteName & { readonly why: string })[];
  /** Without a match: the routes that missed by least, with what a condition was asked of. */
  readonly misses: readonly (RouteName & {
    readonly conditions: readonly (ExplainedCondition & { readonly given: string | null })[];
  })[];
  /** What the gateway answers itself; null if the request goes upstream, unless a plugin answers. */
  readonly answer: { readonly status: number; readonly message: string } | null;
  readonly upstream: {
    readonly service: string;
    readonly protocol: string;
    readonly method: string;
    readonly path: string;
    /** Value of Host; null if it is the target's. */
    readonly host: string | null;
    /** What was taken off the path. */
    readonly stripped: string;
    readonly targets: readonly { readonly target: string; readonly weight: number }[];
  } | null;
  readonly phases: readonly { readonly phase: string; readonly plugins: readonly ExplainedPlugin[] }[];
  /** Plugins that may run in place of these, or besides, once the consumer is known. */
  readonly with_consumers: readonly (ExplainedPlugin & { readonly consumer: string })[];
  /** Plugins that run in no phase as they are configured, and those of which nothing is known but the name. */
  readonly idle: readonly ExplainedPlugin[];
}

type Packages = Pick<Registry, "find"> & Partial<Pick<Registry, "fit" | "changes">>;

interface Compiled {
  readonly config: GatewayConfig;
  /** Of the packages: names that move may mean others since. */
  readonly changes: number;
  readonly routes: RouteTable<Route>;
  /** By workspace. */
  readonly chains: ReadonlyMap<string, Chains>;
  readonly plugins: ReadonlyMap<Hooks, PluginEntity>;
}

/** What is refused before routing has no routes. */
const REFUSED: Explanation = { winner: null, others: [], misses: [] };

export class Explainer {
  readonly #packages: Packages;
  readonly #tried: Rollouts["tried"];
  #compiled: Compiled | null = null;

  /** @param tried what roll-outs try; absent where there are none. */
  constructor(packages: Packages, tried: Rollouts["tried"] = () => null) {
    this.#packages = packages;
    this.#tried = tried;
  }

  /** What happens to a request by a configuration, which is compiled once however often it is asked about. */
  explain(config: GatewayConfig, input: ExplainedInput): Explained {
    const { changes = 0 } = this.#packages;
    if (this.#compiled?.config !== config || this.#compiled.changes !== changes)
      this.#compiled = { ...this.#compile(config), changes };
    const compiled = this.#compiled;
    const isRefused = input.method === "CONNECT";
    const { winner, others, misses } = isRefused ? REFUSED : compiled.routes.explain(input);
    const found = winner === null ? null : compiled.routes.match(input);
    const route = found?.data ?? null;
    const service = route?.service ? config.services.find(({ id }) => id === route.service?.id) : undefined;
    const chains = compiled.chains.get(route?.ws_id ?? DEFAULT_WORKSPACE_ID) ?? Chains.none;
    const chain = isRefused
      ? Chains.none.global
      : route === null
        ? chains.global
        : chains.chain(route.id, service?.id ?? null);
    const nameOf = namer(config);
    const answer = answerTo(route, service, input);
    const { method, scheme, host, port, path, sni, clientIp } = input;
    return {
      request: { method, scheme, host, port, path: readable(path), sni, client_ip: clientIp },
      match:
        winner === null
          ? null
          : {
              ...nameOf(winner.routeId),
              kind: winner.isExpression ? "expression" : "classic",
              priority: winner.priority,
              priority_parts: priorityParts(winner),
              conditions: winner.conditions,
              captures: { ...found?.captures },
            },
      others: firstOfEach(others, winner).map((other) => ({
        ...nameOf(other.routeId),
        why: whyBehind(other, winner!),
      })),
      misses: misses.map(({ routeId, conditions }) => ({
        ...nameOf(routeId),
        conditions: conditions.map((condition) => ({ ...condition, given: given(condition, input) })),
      })),
      answer,
      upstream:
        answer !== null || route === null || service === undefined
          ? null
          : upstreamOf(config, route, service, input, found?.matchedPath ?? ""),
      ...this.#plugins(compiled, chain, route, service),
    };
  }

  #compile(config: GatewayConfig): Omit<Compiled, "changes"> {
    const closed = new Set(config.services.filter(({ enabled }) => !enabled).map(({ id }) => id));
    const edit = RouteTable.empty<Route>().edit();
    for (const route of config.routes) {
      if (route.service === null || !closed.has(route.service.id)) edit.add(route, route);
    }
    const workspaces = new Map(config.workspaces.map(({ id, name }) => [id, name]));
    const plugins = new Map<Hooks, PluginEntity>();
    const chains = new Map<string, Chains>();
    const enabled = config.plugins.filter((plugin) => plugin.enabled);
    for (const [workspaceId, list] of Map.groupBy(enabled, ({ ws_id }) => ws_id)) {
      const put = list.map((plugin) => {
        const hooks = this.#hooks(plugin, workspaces.get(workspaceId) ?? "default");
        plugins.set(hooks, plugin);
        return {
          name: pluginBaseName(plugin.name),
          priority: this.#about(plugin, workspaces.get(workspaceId) ?? "default").priority ?? 0,
          hooks,
          routeId: plugin.route?.id ?? null,
          serviceId: plugin.service?.id ?? null,
          consumerId: plugin.consumer?.id ?? null,
        };
      });
      chains.set(workspaceId, Chains.none.with({ remove: [], put }));
    }
    return { config, routes: edit.done() as RouteTable<Route>, chains, plugins };
  }

  #plugins(
    { config, plugins }: Compiled,
    chain: Chain,
    route: Route | null,
    service: Service | undefined,
  ): Pick<Explained, "phases" | "with_consumers" | "idle"> {
    const workspaces = new Map(config.workspaces.map(({ id, name }) => [id, name]));
    const explained = (plugin: PluginEntity) =>
      this.#about(plugin, workspaces.get(plugin.ws_id) ?? "default");
    const of = (entries: readonly HookEntry[]) =>
      entries.map(({ hooks }) => explained(plugins.get(hooks) as PluginEntity));
    const phases = [
      { phase: "rewrite", plugins: of(chain.rewrite) },
      { phase: "access", plugins: of(chain.access) },
      { phase: "response", plugins: of(chain.response) },
      { phase: "header_filter", plugins: of(chain.headerFilter) },
      { phase: "body_filter", plugins: of(chain.bodyFilter) },
      { phase: "log", plugins: of(chain.log) },
    ];
    const consumers = new Map(config.consumers.map((it) => [it.id, it.username ?? it.custom_id ?? it.id]));
    const withConsumers = config.plugins.filter(
      (plugin) =>
        plugin.enabled &&
        plugin.consumer !== null &&
        route !== null &&
        plugin.ws_id === route.ws_id &&
        (plugin.route === null || plugin.route.id === route.id) &&
        (plugin.service === null || plugin.service.id === service?.id),
    );
    return {
      phases: phases.filter((phase) => phase.plugins.length > 0),
      with_consumers: withConsumers.map((plugin) => ({
        ...explained(plugin),
        consumer: consumers.get(plugin.consumer?.id ?? "") ?? "",
      })),
      idle: of(chain.entries.filter(({ hooks }) => Object.keys(hooks).length === 0)),
    };
  }

  #about(plugin: PluginEntity, workspace: string): ExplainedPlugin {
    const { id } = plugin;
    const scope =
      (["route", "service", "consumer"] as const).filter((kind) => plugin[kind] !== null).join("+") ||
      "global";
    const builtIn = BUILT_INS.find(({ name }) => name === plugin.name);
    if (builtIn !== undefined) {
      const { name, version, priority } = builtIn;
      return { id, name, version, priority, runtime: "native", scope };
    }
    const found = this.#package(plugin, workspace);
    if ("missing" in found) {
      const version = plugin.name.split("@")[1] ?? null;
      return { id, name: pluginBaseName(plugin.name), version, priority: null, runtime: "unknown", scope };
    }
    const { name, version, priority, runtime } = found.manifest;
    const explained = { id, name, version, priority, runtime, scope };
    const tried = this.#tried(plugin, { name: workspace }, found);
    if (tried === null) return explained;
    const { manifest } = tried.stored;
    const canary = { version: manifest.version, priority: manifest.priority, phases: manifest.phases };
    return { ...explained, canary: { ...tried.rollout.split, ...canary } };
  }

  /** The one that the entity gets by its config, where its name may mean several. */
  #package({ name, config }: PluginEntity, workspace: string): StoredPackage | Missing {
    const found = this.#packages.fit?.(name, workspace, config);
    if (found === undefined) return this.#packages.find(name, workspace);
    return "missing" in found ? found : found.stored;
  }

  /** Hooks that tell in which phases a plugin runs; they are never called. */
  #hooks(plugin: PluginEntity, workspace: string): Hooks {
    const builtIn = BUILT_INS.find(({ name }) => name === plugin.name);
    // Which hooks a built-in plugin has depends on its configuration, and making them does nothing else.
    if (builtIn !== undefined) return { ...builtIn.create(plugin.config as never, NOWHERE) };
    const found = this.#package(plugin, workspace);
    if ("missing" in found) return {};
    const nothing = () => undefined;
    return Object.fromEntries(
      found.manifest.phases.map((phase) => [
        phase.replace(/_(\w)/, (_, letter) => letter.toUpperCase()),
        nothing,
      ]),
    );
  }
}

/** What plugins may ask of the gateway, where nothing runs. */
const NOWHERE: Host = {
  pluginId: "",
  log() {},
  now: () => 0,
  uuid: () => "00000000-0000-0000-0000-000000000000",
  findCredential: () => null,
  findConsumer: () => null,
  takeFromWindows: (windows) => windows.map(({ limit }) => limit),
  count() {},
  observe() {},
  random: (length) => new Uint8Array(length),
  ...NO_SERVICES,
};

/** A byte string for people: as text if it is one, else as it goes on the wire. */
const readable = (path: string): string => pathText(path) ?? escapePath(path);

function namer(config: GatewayConfig): (routeId: string) => RouteName {
  const workspaces = new Map(config.workspaces.map(({ id, name }) => [id, name]));
  const routes = new Map(config.routes.map((route) => [route.id, route]));
  return (id) => {
    const route = routes.get(id);
    return { id, name: route?.name ?? null, workspace: workspaces.get(route?.ws_id ?? "") ?? "default" };
  };
}

function answerTo(
  route: Route | null,
  service: Service | undefined,
  { method, scheme }: ExplainedInput,
): Explained["answer"] {
  if (method === "CONNECT") return { status: 405, message: "CONNECT is not served: answered before routing" };
  if (route === null) return { status: 404, message: "no Route matched with those values" };
  if (!route.protocols.includes("http") && scheme !== "https") {
    const status = route.https_redirect_status_code;
    return { status, message: status === 426 ? "Please use HTTPS protocol" : "redirect to https" };
  }
  if (service === undefined)
    return { status: 503, message: "no Service found with those values, unless a plugin answers" };
  return null;
}

function upstreamOf(
  config: GatewayConfig,
  route: Route,
  service: Service,
  { method, path, query, hasQuery, authority }: ExplainedInput,
  matchedPath: string,
): Explained["upstream"] {
  const upstream = config.upstreams.find(
    ({ name, ws_id }) => name === service.host && ws_id === service.ws_id,
  );
  const standard = service.protocol === "https" ? 443 : 80;
  const targets =
    upstream === undefined
      ? [{ target: `${service.host}:${service.port}`, weight: 100 }]
      : config.targets
          .filter((target) => target.upstream.id === upstream.id)
          .map(({ target, weight }) => ({ target, weight }));
  const own = service.port === standard ? service.host : `${service.host}:${service.port}`;
  const host = route.preserve_host ? authority : upstream === undefined ? own : upstream.host_header;
  const sent = escapePath(upstreamPath(service.path, path, matchedPath, route.strip_path));
  return {
    service: service.name ?? service.id,
    protocol: service.protocol,
    method,
    path: hasQuery ? `${sent}?${query}` : sent,
    host,
    stripped: route.strip_path ? readable(matchedPath) : "",
    targets,
  };
}

/** Each other route once, by the best of its paths. */
function firstOfEach(others: readonly ExplainedRoute[], winner: ExplainedRoute | null): ExplainedRoute[] {
  const seen = new Set([winner?.routeId]);
  return others.filter(({ routeId }) => !seen.has(routeId) && seen.add(routeId));
}

/** The first part of the priority by which a route stands behind the winner. */
function whyBehind(other: ExplainedRoute, winner: ExplainedRoute): string {
  if (other.isExpression !== winner.isExpression) return "expressions come before classic routes";
  const theirs = priorityParts(winner);
  const part = priorityParts(other).find(({ value }, i) => value !== theirs[i]!.value);
  if (part !== undefined) {
    const more = theirs.find(({ name }) => name === part.name)!.value;
    const isRank = part.name.endsWith("priority");
    return `${isRank ? "lower" : "fewer"} ${part.name} (${part.value}, the match has ${more})`;
  }
  return "equal priority, smaller id";
}

/** What the request has where a condition asks. */
function given({ kind, asks }: ExplainedCondition, input: ExplainedInput): string | null {
  switch (kind) {
    case "method":
      return input.method;
    case "host":
      return asks.some((host) => /:\d+$/.test(host)) ? `${input.host}:${input.port}` : input.host;
    case "path":
      return readable(input.path);
    case "protocol":
      return input.scheme;
    case "sni":
      return input.sni;
    case "header":
      return input.headerValues((asks[0] ?? "").split(":", 1)[0]!.toLowerCase()).join(", ") || null;
    case "expression":
      return null;
  }
}
