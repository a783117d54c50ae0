/**
 * Rules over several entities, written once: what may not be there twice, that references lead somewhere, how plugins
 * fit what they are scoped to, that no workspace reaches for hosts of another. A file that is loaded and a single write
 * are judged by the same ones; each brings its own way of looking entities up (`Relations`).
 */
import type { Policies } from "../egress/policies.ts";
import { destinationFaults } from "./destinations.ts";
import type { EntityName, EntityType } from "./entities.ts";
import { routeHostFaults, sniHostFaults } from "./host-ownership.ts";
import { OwnedHosts } from "./hosts.ts";
import { pluginBaseName } from "./plugins.ts";
import { DEFAULT_WORKSPACE } from "./workspaces.ts";

/** An entity of any collection, sound for itself, its foreign fields resolved to `{ id }`. */
export interface Entity {
  readonly id: string;
  /** Id of its workspace. Internal: never on the wire. */
  readonly ws_id: string;
  readonly tags?: readonly string[] | null;
  readonly [field: string]: unknown;
}

/** What rules ask of an entity's workspace. */
export interface WorkspaceFacts {
  readonly id: string;
  readonly name: string;
  readonly hosts: readonly string[];
  readonly owned: OwnedHosts;
  /** `host/prefix/`, of hosts that others use as well. */
  readonly paths: readonly string[];
  readonly ports: readonly number[];
  /** As its entity has them. */
  readonly egress: unknown;
  readonly quotas: unknown;
}

/** How rules look around. */
export interface Relations {
  find(kind: EntityName, id: string): Entity | undefined;
  /** Those whose `field` points to an entity. */
  children(kind: EntityName, field: string, parentId: string): Iterable<Entity>;
  /** By endpoint key, within a workspace. */
  named(kind: EntityName, workspaceId: string, key: string): { readonly id: string } | undefined;
  /** Undefined if it is not there, or not sound: then nobody can tell what it may do. */
  workspace(id: string): WorkspaceFacts | undefined;
}

/** One thing that is wrong with an entity among the others. */
export interface RelationFault {
  /** Leads to the field from the entity. */
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** What is allowed, or what to do. */
  readonly hint: string | null;
}

/** Lists of ids of other entities, which schemas cannot tell from lists of texts: by collection and field. */
export const LISTED_REFERENCES: Partial<Record<EntityName, Readonly<Record<string, EntityName>>>> = {
  services: { ca_certificates: "ca_certificates" },
};

export function workspaceFacts(entity: Readonly<Record<string, unknown>>): WorkspaceFacts {
  const hosts = (entity.hosts ?? []) as readonly string[];
  return {
    id: entity.id as string,
    name: entity.name as string,
    hosts,
    owned: new OwnedHosts(hosts),
    paths: (entity.paths ?? []) as readonly string[],
    ports: (entity.ports ?? []) as readonly number[],
    egress: entity.egress ?? null,
    quotas: entity.quotas ?? null,
  };
}

/**
 * What is wrong with an entity among the others, references and uniqueness aside.
 * @param policies where workspaces may have the gateway connect to; null where nobody asks.
 */
export function* relationFaults(
  type: EntityType,
  entity: Entity,
  relations: Relations,
  policies: Policies | null,
): Generator<RelationFault> {
  const workspace = relations.workspace(entity.ws_id);
  if (type.name === "plugins") yield* protocolFaults(entity, relations);
  yield* listedFaults(type, entity, relations);
  if (workspace === undefined || workspace.name === DEFAULT_WORKSPACE) return;
  if (type.name === "routes") yield* routeHostFaults(entity, workspace);
  if (type.name === "snis") yield* sniHostFaults(entity, workspace);
  if (policies !== null) yield* destinationFaults(type, entity, workspace, relations, policies);
}

/** A plugin's protocols must meet those of what it is scoped to. */
function* protocolFaults(plugin: Entity, relations: Relations): Generator<RelationFault> {
  const protocols = plugin.protocols as readonly string[];
  // Of a route that is not sound nobody can tell; it is refused itself.
  const meets = (route: Entity) =>
    (route.protocols as readonly string[] | undefined)?.some((p) => protocols.includes(p)) ?? true;
  const fault = (message: string) => ({ path: ["protocols"], message, hint: null });
  const routeId = referenceOf(plugin, "route");
  const route = routeId === null ? undefined : relations.find("routes", routeId);
  if (route !== undefined && !meets(route)) yield fault("must match the associated route's protocols");
  const serviceId = referenceOf(plugin, "service");
  if (route !== undefined || serviceId === null) return;
  const siblings = [...relations.children("routes", "service", serviceId)];
  if (siblings.length > 0 && !siblings.some(meets))
    yield fault("must match the protocols of at least one route pointing to this Plugin's service");
}

function* listedFaults(type: EntityType, entity: Entity, relations: Relations): Generator<RelationFault> {
  for (const [field, kind] of Object.entries(LISTED_REFERENCES[type.name] ?? {})) {
    for (const [i, id] of ((entity[field] ?? []) as readonly string[]).entries()) {
      if (relations.find(kind, id)?.ws_id === entity.ws_id) continue;
      const what = kind === "ca_certificates" ? "CA certificate" : kind;
      yield { path: [field, i], message: `the ${what} '${id}' does not exist`, hint: null };
    }
  }
}

/** The id that a foreign field points to. */
export function referenceOf(entity: Readonly<Record<string, unknown>>, field: string): string | null {
  const reference = entity[field] as { readonly id?: unknown } | null | undefined;
  return typeof reference?.id === "string" ? reference.id : null;
}

export interface UniqueKey {
  /** Field, or `@` for the rule over several. */
  readonly rule: string;
  readonly fields: readonly string[];
  readonly value: string;
}

/** Tells the keys of a rule apart from those of other rules and workspaces. */
export function uniqueSpace(
  { name, globallyUniqueFields }: EntityType,
  rule: string,
  workspaceId: string,
): string {
  const everywhere = name === "workspaces" || globallyUniqueFields.includes(rule);
  return `${name} ${rule} ${everywhere ? "" : workspaceId}`;
}

/** A field's value as the key that nobody else may have; null if it has none. */
export function uniqueValue({ name }: EntityType, value: unknown): string | null {
  if (typeof value !== "string") return null;
  // The name of a host is the same in any case.
  return name === "snis" ? value.toLowerCase() : value;
}

/** What no other entity of the same collection and workspace may have as well. */
export function* uniqueKeys(
  type: EntityType,
  entity: Readonly<Record<string, unknown>>,
): Generator<UniqueKey> {
  for (const field of type.uniqueFields) {
    const value = uniqueValue(type, entity[field]);
    if (value !== null) yield { rule: field, fields: [field], value };
  }
  if (type.cacheKey !== undefined) yield { rule: "@", fields: type.cacheKey, value: cacheKey(type, entity) };
}

/** The rule over several fields; null values count as values. */
export function cacheKey(type: EntityType, entity: Readonly<Record<string, unknown>>): string {
  return cacheKeyParts(type, entity).join("\n");
}

export function cacheKeyParts(type: EntityType, entity: Readonly<Record<string, unknown>>): string[] {
  return (type.cacheKey ?? []).map((field) => {
    const part = entity[field];
    if (type.name === "plugins" && field === "name") return pluginBaseName(String(part));
    return referenceOf(entity, field) ?? (part as string | null | undefined) ?? "";
  });
}
