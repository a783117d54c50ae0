/**
 * What differs between two configurations, by entity: all that a data thread needs to hear to go from one to
 * the other, however many entities there are besides.
 */
import { ENTITY_NAMES, type EntityName, type GatewayConfig } from "./entities.ts";
import type { EntityEdits, EntityIndex } from "./entity-index.ts";
import type { Entity } from "./relations.ts";

/** Some entities of each collection. */
type Entities = { readonly [N in EntityName]: readonly GatewayConfig[N][number][] };
type Ids = { readonly [N in EntityName]: readonly string[] };

export interface ConfigChange {
  /** Hash of the configuration once it is changed. */
  readonly hash: string;
  /** Entities that are new or say something else than before. */
  readonly put: Entities;
  /** Ids of those that are gone. */
  readonly removed: Ids;
}

/** A list for each collection; what is in it is the caller's word. */
const lists = <L extends Entities | Ids>(of: (name: EntityName) => readonly unknown[]): L =>
  Object.fromEntries(ENTITY_NAMES.map((name) => [name, of(name)])) as unknown as L;

const NO_IDS = lists<Ids>(() => []);
const NO_ENTITIES = lists<Entities>(() => []);

/** From nothing to a configuration. */
export function wholeChange(config: GatewayConfig): ConfigChange {
  return { hash: config.hash, put: lists((name) => config[name]), removed: NO_IDS };
}

/** Entities of `after` that are the very objects of `before` count as unchanged, all others as new. */
export function editsBetween(before: GatewayConfig, after: GatewayConfig): EntityEdits {
  const put: { kind: EntityName; entity: Entity }[] = [];
  const removed: { kind: EntityName; id: string }[] = [];
  for (const kind of ENTITY_NAMES) {
    const old = new Set<unknown>(before[kind]);
    for (const entity of after[kind])
      if (!old.delete(entity)) put.push({ kind, entity: entity as unknown as Entity });
    // What is left of the old ones is gone, or there in another form.
    for (const entity of old) removed.push({ kind, id: (entity as Entity).id });
  }
  return { put, removed };
}

/** What threads need to hear of edits: they themselves, and the services that depend on what is edited. */
export function changeOf(
  edits: EntityEdits,
  hash: string,
  before: EntityIndex,
  after: EntityIndex,
): ConfigChange {
  const put = new Map<EntityName, Map<string, Entity>>(ENTITY_NAMES.map((name) => [name, new Map()]));
  for (const { kind, entity } of edits.put) put.get(kind)?.set(entity.id, entity);
  for (const service of users(edits, before, after)) put.get("services")?.set(service.id, service);
  const gone = new Map<EntityName, Set<string>>(ENTITY_NAMES.map((name) => [name, new Set()]));
  for (const { kind, id } of edits.removed) if (!put.get(kind)?.has(id)) gone.get(kind)?.add(id);
  return {
    hash,
    put: lists((name) => [...(put.get(name)?.values() ?? [])]),
    removed: lists((name) => [...(gone.get(name) ?? [])]),
  };
}

/**
 * Services hold the certificates that they name, and connections that their workspace's egress policy has allowed:
 * where one of those changes, so do they.
 */
function* users({ put }: EntityEdits, before: EntityIndex, after: EntityIndex): Generator<Entity> {
  for (const { kind, entity } of put) {
    if (kind === "certificates") yield* after.children("services", "client_certificate", entity.id);
    if (kind === "ca_certificates") yield* after.children("services", "ca_certificates", entity.id);
    if (kind !== "workspaces") continue;
    const known = before.find(kind, entity.id);
    if (JSON.stringify(known?.egress) !== JSON.stringify(entity.egress))
      yield* after.list("services", entity.id);
  }
}

/** How many entities a change names. */
export function sizeOf({ put, removed }: ConfigChange): number {
  return ENTITY_NAMES.reduce((sum, name) => sum + put[name].length + removed[name].length, 0);
}

/**
 * A change in pieces, for `joined`: `entities` at a time in their order, and last what is removed with the rest.
 */
export function* inPieces(change: ConfigChange, entities: number): Generator<ConfigChange> {
  const { hash, removed } = change;
  if (sizeOf(change) <= entities) return yield change;
  for (const name of ENTITY_NAMES) {
    const list: readonly unknown[] = change.put[name];
    for (let at = 0; at < list.length; at += entities) {
      const part = list.slice(at, at + entities);
      yield { hash, put: lists((each) => (each === name ? part : [])), removed: NO_IDS };
    }
  }
  yield { hash, put: NO_ENTITIES, removed };
}

/** Pieces put together again. */
export function joined(pieces: readonly ConfigChange[]): ConfigChange {
  const { hash, put, removed } = pieces.at(-1)!;
  if (pieces.length === 1) return { hash, put, removed };
  return {
    hash,
    put: lists((name) => pieces.flatMap((piece) => piece.put[name] as readonly unknown[])),
    removed,
  };
}
