/**
 * From one snapshot's parts and a change to the next one's. What an entity reaches through others is followed
 * here: a target changes its upstream's services, a service its routes. Everything else is left alone, so a
 * change costs what it touches.
 */
import type { ConfigChange } from "../entities/change.ts";
import {
  pluginBaseName,
  type Route,
  type Service,
  type Target,
  type Upstream,
} from "../entities/entities.ts";
import type { MapEdit } from "../persistent/persistent-map.ts";
import { Chains, type ScopedPlugin } from "./chain.ts";
import { RouteEntry, type ServiceEntry } from "./route-entry.ts";
import type { Compiled, PluginInForce, SnapshotParts } from "./snapshot.ts";

/** Makes plugin instances and keeps account of them. */
export interface PluginLog {
  make(plugin: PluginInForce["entity"], workspace: string): PluginInForce;
  release(plugin: PluginInForce): void;
}

/** @throws whatever cannot be made. Nothing of `before` has changed then. */
export function* nextParts(
  before: Compiled,
  change: ConfigChange,
  parts: SnapshotParts,
  log: PluginLog,
): Generator<void, Compiled> {
  const workspaces = changedWorkspaces(before, change);
  const nameOf = (id: string) => workspaces.names.get(id) ?? "default";
  const upstreams = yield* changedUpstreams(before, change);
  const services = yield* changedServices(before, change, upstreams, parts);
  const routes = yield* changedRoutes(before, change, services, workspaces.renamed, nameOf);
  const plugins = yield* changedPlugins(before, change, workspaces.renamed, nameOf, log);
  const people = yield* before.people.changed(change);
  return {
    workspaces: workspaces.names.done(),
    upstreams: upstreams.byId.done(),
    upstreamsByName: upstreams.byName.done(),
    targets: upstreams.targets.done(),
    targetsOf: upstreams.targetsOf.done(),
    services: services.all.done(),
    ...routes,
    ...plugins,
    people,
  };
}

function changedWorkspaces(before: Compiled, { put, removed }: ConfigChange) {
  const names = before.workspaces.edit();
  const renamed = new Set<string>();
  for (const id of removed.workspaces) names.delete(id);
  for (const { id, name } of put.workspaces) {
    const known = names.get(id);
    if (known !== undefined && known !== name) renamed.add(id);
    names.set(id, name);
  }
  return { names, renamed };
}

interface Upstreams {
  readonly byId: MapEdit<Upstream>;
  readonly byName: MapEdit<Upstream>;
  readonly targets: MapEdit<Target>;
  readonly targetsOf: MapEdit<readonly Target[]>;
  /** Names (with their workspaces) that stand for something else than before. */
  readonly changed: ReadonlySet<string>;
}

const inWorkspace = (entity: { readonly ws_id: string }, name: string) => `${entity.ws_id} ${name}`;

function* changedUpstreams(before: Compiled, { put, removed }: ConfigChange): Generator<void, Upstreams> {
  const byId = before.upstreams.edit();
  const byName = before.upstreamsByName.edit();
  const targets = before.targets.edit();
  const targetsOf = before.targetsOf.edit();
  const changed = new Set<string>();

  for (const id of [...removed.upstreams, ...put.upstreams.map((upstream) => upstream.id)]) {
    const known = byId.get(id);
    if (known === undefined) continue;
    const name = inWorkspace(known, known.name);
    changed.add(name);
    byId.delete(id);
    byName.delete(name);
    yield;
  }
  for (const upstream of put.upstreams) {
    const name = inWorkspace(upstream, upstream.name);
    changed.add(name);
    byId.set(upstream.id, upstream);
    byName.set(name, upstream);
    yield;
  }

  const touched = new Map<string, Target[]>();
  const listOf = (upstreamId: string): Target[] => {
    let list = touched.get(upstreamId);
    if (list === undefined) {
      list = [...(targetsOf.get(upstreamId) ?? [])];
      touched.set(upstreamId, list);
    }
    return list;
  };
  for (const id of [...removed.targets, ...put.targets.map((target) => target.id)]) {
    const known = targets.get(id);
    if (known === undefined) continue;
    const list = listOf(known.upstream.id);
    list.splice(
      list.findIndex((target) => target.id === id),
      1,
    );
    targets.delete(id);
    yield;
  }
  for (const target of put.targets) {
    targets.set(target.id, target);
    listOf(target.upstream.id).push(target);
    yield;
  }
  for (const [upstreamId, list] of touched) {
    if (list.length === 0) targetsOf.delete(upstreamId);
    else targetsOf.set(upstreamId, list);
    const upstream = byId.get(upstreamId);
    if (upstream !== undefined) changed.add(inWorkspace(upstream, upstream.name));
  }
  return { byId, byName, targets, targetsOf, changed };
}

interface Services {
  readonly all: MapEdit<{ readonly service: Service; readonly entry: ServiceEntry }>;
  /** Ids of services that were there and are another thing now: their routes hold the old one. */
  readonly changed: ReadonlySet<string>;
}

function* changedServices(
  before: Compiled,
  { put, removed }: ConfigChange,
  upstreams: Upstreams,
  parts: SnapshotParts,
): Generator<void, Services> {
  const all = before.services.edit();
  const changed = new Set<string>();
  const make = (service: Service) => {
    const { id, name, host, connect_timeout, read_timeout, write_timeout } = service;
    const upstream = upstreams.byName.get(inWorkspace(service, host)) ?? null;
    const targets = upstream === null ? [] : (upstreams.targetsOf.get(upstream.id) ?? []);
    const entry: ServiceEntry = {
      entity: { id, name, host },
      enabled: service.enabled,
      balancer: parts.balancer(service, upstream, targets),
      timeouts: { connectMs: connect_timeout, readMs: read_timeout, writeMs: write_timeout },
      retries: service.retries,
      path: service.path,
      hostHeader: upstream?.host_header ?? null,
    };
    if (all.get(id) !== undefined) changed.add(id);
    all.set(id, { service, entry });
  };
  for (const id of removed.services) if (all.delete(id)) changed.add(id);
  for (const service of put.services) yield make(service);
  if (upstreams.changed.size > 0) {
    const isNew = new Set(put.services.map(({ id }) => id));
    for (const { service } of before.services.values()) {
      if (!upstreams.changed.has(inWorkspace(service, service.host)) || isNew.has(service.id)) continue;
      if (all.get(service.id) !== undefined) make(service);
      yield;
    }
  }
  return { all, changed };
}

function* changedRoutes(
  before: Compiled,
  { put, removed }: ConfigChange,
  services: Services,
  renamed: ReadonlySet<string>,
  nameOf: (workspaceId: string) => string,
): Generator<void, Pick<Compiled, "routes" | "index">> {
  const routes = before.routes.edit();
  const edit = before.index.edit();
  for (const id of removed.routes) {
    routes.delete(id);
    yield edit.remove(id);
  }
  const add = (route: Route) => {
    routes.set(route.id, route);
    const service = route.service === null ? null : (services.all.get(route.service.id)?.entry ?? null);
    if (service !== null && !service.enabled) edit.remove(route.id);
    else edit.add(route, new RouteEntry(route, nameOf(route.ws_id), service));
  };
  for (const route of put.routes) yield add(route);
  if (services.changed.size > 0 || renamed.size > 0) {
    const done = new Set([...removed.routes, ...put.routes.map(({ id }) => id)]);
    for (const route of before.routes.values()) {
      const isTouched =
        (route.service !== null && services.changed.has(route.service.id)) || renamed.has(route.ws_id);
      if (isTouched && !done.has(route.id)) add(route);
      yield;
    }
  }
  return { index: edit.done(), routes: routes.done() };
}

function* changedPlugins(
  before: Compiled,
  { put, removed }: ConfigChange,
  renamed: ReadonlySet<string>,
  nameOf: (workspaceId: string) => string,
  log: PluginLog,
): Generator<void, Pick<Compiled, "plugins" | "chains">> {
  const plugins = before.plugins.edit();
  const chains = before.chains.edit();
  const changes = new Map<string, { remove: ScopedPlugin[]; put: ScopedPlugin[] }>();
  const changeOf = (workspaceId: string) => {
    let change = changes.get(workspaceId);
    if (change === undefined) {
      change = { remove: [], put: [] };
      changes.set(workspaceId, change);
    }
    return change;
  };
  const take = (id: string) => {
    const known = plugins.get(id);
    if (known === undefined) return;
    plugins.delete(id);
    log.release(known);
    const scoped = scopedPlugin(known);
    if (scoped !== null) changeOf(known.entity.ws_id).remove.push(scoped);
  };
  const make = (entity: PluginInForce["entity"]) => {
    take(entity.id);
    const plugin = log.make(entity, nameOf(entity.ws_id));
    plugins.set(entity.id, plugin);
    const scoped = scopedPlugin(plugin);
    if (scoped !== null) changeOf(entity.ws_id).put.push(scoped);
  };
  for (const id of removed.plugins) yield take(id);
  for (const entity of put.plugins) yield make(entity);
  if (renamed.size > 0) {
    const done = new Set([...removed.plugins, ...put.plugins.map(({ id }) => id)]);
    for (const { entity } of before.plugins.values()) {
      if (renamed.has(entity.ws_id) && !done.has(entity.id)) make(entity);
      yield;
    }
  }
  for (const [workspaceId, change] of changes) {
    chains.set(workspaceId, (chains.get(workspaceId) ?? Chains.none).with(change));
    yield;
  }
  return { plugins: plugins.done(), chains: chains.done() };
}

function scopedPlugin({ entity, instance }: PluginInForce): ScopedPlugin | null {
  if (instance === null) return null;
  return {
    name: pluginBaseName(entity.name),
    priority: instance.priority,
    hooks: instance.hooks,
    canary: instance.canary,
    routeId: entity.route?.id ?? null,
    serviceId: entity.service?.id ?? null,
    consumerId: entity.consumer?.id ?? null,
  };
}
