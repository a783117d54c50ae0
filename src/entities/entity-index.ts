/**
 * All entities of a configuration with the ways to find them: by id, by what nobody else may have, by what they point
 * to, and in the order of ids. It never changes: edits make the next one, which shares with it whatever they leave
 * alone, so that a write among thirty thousand entities costs no more than among thirty.
 */
import { PersistentMap } from "../persistent/persistent-map.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType, type GatewayConfig } from "./entities.ts";
import { entityBytes } from "./entity-bytes.ts";
import {
  type Entity,
  LISTED_REFERENCES,
  type Relations,
  referenceOf,
  uniqueKeys,
  uniqueSpace,
  uniqueValue,
  type WorkspaceFacts,
  workspaceFacts,
} from "./relations.ts";

/** What differs between two configurations. Of an id that is in both lists, what is put counts. */
export interface EntityEdits {
  readonly put: readonly { readonly kind: EntityName; readonly entity: Entity }[];
  readonly removed: readonly { readonly kind: EntityName; readonly id: string }[];
}

/** Entities of one workspace and collection, or of one parent: sorted by id. */
type Group = readonly Entity[];
/** Maps by rule or collection, each by key: keys that differ in few characters fall into the same parts of one map. */
type Spaces<V> = PersistentMap<PersistentMap<V>>;

const NOBODY: Group = [];

export class EntityIndex implements Relations {
  readonly #byId: Spaces<Entity>;
  readonly #unique: Spaces<string>;
  readonly #groups: Spaces<Group>;
  /** Of all entities of a workspace, by its id. */
  readonly #bytes: PersistentMap<number>;
  /** As long as nobody asks, nobody makes them. */
  #config: GatewayConfig | null = null;
  readonly #facts: Map<string, WorkspaceFacts>;

  private constructor(
    byId: Spaces<Entity>,
    unique: Spaces<string>,
    groups: Spaces<Group>,
    bytes: PersistentMap<number>,
    facts: Map<string, WorkspaceFacts>,
  ) {
    this.#byId = byId;
    this.#unique = unique;
    this.#groups = groups;
    this.#bytes = bytes;
    this.#facts = facts;
  }

  static readonly empty = new EntityIndex(
    PersistentMap.empty(),
    PersistentMap.empty(),
    PersistentMap.empty(),
    PersistentMap.empty(),
    new Map(),
  );

  find(kind: EntityName, id: string): Entity | undefined {
    return this.#byId.get(kind)?.get(id);
  }

  /** Who has a value that nobody else may have: a unique field's, or (`@`) the combination's of several. */
  holder(type: EntityType, rule: string, workspaceId: string, value: string): Entity | undefined {
    const id = this.#unique.get(uniqueSpace(type, rule, workspaceId))?.get(value);
    return id === undefined ? undefined : this.find(type.name, id);
  }

  /** All of a collection in a workspace; workspaces themselves are in none (''). */
  list(kind: EntityName, workspaceId: string): Group {
    return this.#groups.get(kind)?.get(kind === "workspaces" ? "" : workspaceId) ?? NOBODY;
  }

  children(kind: EntityName, field: string, parentId: string): Group {
    return this.#groups.get(`${kind} ${field}`)?.get(parentId) ?? NOBODY;
  }

  named(kind: EntityName, workspaceId: string, key: string): Entity | undefined {
    const type = ENTITIES[kind];
    const field = type.endpointKey;
    if (type.uniqueFields.includes(field)) {
      const found = this.holder(type, field, workspaceId, uniqueValue(type, key) ?? key);
      return found?.[field] === key && (kind === "workspaces" || found.ws_id === workspaceId)
        ? found
        : undefined;
    }
    // Unique under a parent only: asked for without one, it is found if there are no two.
    const all = this.list(kind, workspaceId);
    const first = all.findIndex((entity) => entity[field] === key);
    return first < 0 || all.some((entity, i) => i > first && entity[field] === key) ? undefined : all[first];
  }

  workspace(id: string): WorkspaceFacts | undefined {
    const known = this.#facts.get(id);
    if (known !== undefined) return known;
    const entity = this.find("workspaces", id);
    if (entity === undefined) return undefined;
    const facts = workspaceFacts(entity);
    this.#facts.set(id, facts);
    return facts;
  }

  /** All workspaces; they are few. */
  workspaces(): WorkspaceFacts[] {
    return this.list("workspaces", "").map(({ id }) => this.workspace(id) as WorkspaceFacts);
  }

  /** Bytes of all entities of a workspace together. */
  bytes(workspaceId: string): number {
    return this.#bytes.get(workspaceId) ?? 0;
  }

  all(kind: EntityName): Iterable<Entity> {
    return this.#byId.get(kind)?.values() ?? NOBODY;
  }

  /** All entities as lists, made when they are asked for. They carry no hash. */
  get lists(): GatewayConfig {
    this.#config ??= {
      hash: "",
      ...Object.fromEntries(
        ENTITY_NAMES.map((kind) => [kind, [...(this.#groups.get(kind)?.values() ?? [])].flat()]),
      ),
    } as unknown as GatewayConfig;
    return this.#config;
  }

  next({ put, removed }: EntityEdits): EntityIndex {
    if (put.length === 0 && removed.length === 0) return this;
    const edit = new Edit(this.#byId, this.#unique, this.#groups, this.#bytes);
    for (const { kind, id } of removed) edit.remove(kind, id);
    for (const { kind, entity } of put) edit.put(kind, entity);
    const workspaces = [...put, ...removed].some(({ kind }) => kind === "workspaces");
    const { byId, unique, groups, bytes } = edit.done();
    return new EntityIndex(byId, unique, groups, bytes, workspaces ? new Map() : this.#facts);
  }
}

/** Several edits of maps of maps. */
class SpacesEdit<V> {
  readonly #from: Spaces<V>;
  readonly #open = new Map<string, ReturnType<PersistentMap<V>["edit"]>>();

  constructor(from: Spaces<V>) {
    this.#from = from;
  }

  of(space: string): ReturnType<PersistentMap<V>["edit"]> {
    let edit = this.#open.get(space);
    if (edit === undefined) {
      edit = (this.#from.get(space) ?? PersistentMap.empty<V>()).edit();
      this.#open.set(space, edit);
    }
    return edit;
  }

  done(): Spaces<V> {
    const all = this.#from.edit();
    for (const [space, edit] of this.#open) {
      const map = edit.done();
      if (map.size > 0) all.set(space, map);
      else all.delete(space);
    }
    return all.done();
  }
}

class Edit {
  readonly #byId: SpacesEdit<Entity>;
  readonly #unique: SpacesEdit<string>;
  readonly #groups: SpacesEdit<Group>;
  readonly #bytes: PersistentMap<number>;
  /** How many bytes workspaces have more. */
  readonly #grown = new Map<string, number>();
  /** What comes to groups and goes from them, by space and key. */
  readonly #moves = new Map<string, Map<string, Map<string, Entity | null>>>();

  constructor(
    byId: Spaces<Entity>,
    unique: Spaces<string>,
    groups: Spaces<Group>,
    bytes: PersistentMap<number>,
  ) {
    this.#bytes = bytes;
    this.#byId = new SpacesEdit(byId);
    this.#unique = new SpacesEdit(unique);
    this.#groups = new SpacesEdit(groups);
  }

  remove(kind: EntityName, id: string): void {
    const byId = this.#byId.of(kind);
    const old = byId.get(id);
    if (old === undefined) return;
    byId.delete(id);
    this.#grow(kind, old, -1);
    const type = ENTITIES[kind];
    for (const { rule, value } of uniqueKeys(type, old)) {
      const keys = this.#unique.of(uniqueSpace(type, rule, old.ws_id));
      if (keys.get(value) === id) keys.delete(value);
    }
    for (const [space, key] of groupsOf(type, old)) this.#move(space, key, id, null);
  }

  put(kind: EntityName, entity: Entity): void {
    this.remove(kind, entity.id);
    const type = ENTITIES[kind];
    this.#byId.of(kind).set(entity.id, entity);
    this.#grow(kind, entity, 1);
    for (const { rule, value } of uniqueKeys(type, entity))
      this.#unique.of(uniqueSpace(type, rule, entity.ws_id)).set(value, entity.id);
    for (const [space, key] of groupsOf(type, entity)) this.#move(space, key, entity.id, entity);
  }

  /** A workspace itself is the operator's. */
  #grow(kind: EntityName, entity: Entity, times: number): void {
    if (kind === "workspaces") return;
    const grown = this.#grown.get(entity.ws_id) ?? 0;
    this.#grown.set(entity.ws_id, grown + times * entityBytes(entity));
  }

  #move(space: string, key: string, id: string, entity: Entity | null): void {
    let groups = this.#moves.get(space);
    if (groups === undefined) {
      groups = new Map();
      this.#moves.set(space, groups);
    }
    const moves = groups.get(key);
    if (moves === undefined) groups.set(key, new Map([[id, entity]]));
    else moves.set(id, entity);
  }

  done(): {
    byId: Spaces<Entity>;
    unique: Spaces<string>;
    groups: Spaces<Group>;
    bytes: PersistentMap<number>;
  } {
    for (const [space, groups] of this.#moves) {
      const edit = this.#groups.of(space);
      for (const [key, moves] of groups) {
        const group = moved(edit.get(key) ?? NOBODY, moves);
        if (group.length > 0) edit.set(key, group);
        else edit.delete(key);
      }
    }
    const bytes = this.#bytes.edit();
    for (const [workspace, grown] of this.#grown) {
      const sum = (bytes.get(workspace) ?? 0) + grown;
      if (sum > 0) bytes.set(workspace, sum);
      else bytes.delete(workspace);
    }
    return {
      byId: this.#byId.done(),
      unique: this.#unique.done(),
      groups: this.#groups.done(),
      bytes: bytes.done(),
    };
  }
}

/** The groups that an entity is in. */
function* groupsOf(
  { name, foreignKeys }: EntityType,
  entity: Entity,
): Generator<readonly [space: string, key: string]> {
  yield [name, name === "workspaces" ? "" : entity.ws_id];
  for (const field in foreignKeys) {
    const id = referenceOf(entity, field);
    if (id !== null) yield [`${name} ${field}`, id];
  }
  for (const field in LISTED_REFERENCES[name])
    for (const id of new Set((entity[field] ?? []) as readonly string[])) yield [`${name} ${field}`, id];
}

/** Moves from which sorting the whole is no dearer than finding each one's place. */
const MANY = 16;

function moved(group: Group, moves: ReadonlyMap<string, Entity | null>): Group {
  if (moves.size >= MANY) {
    const kept = group.filter(({ id }) => !moves.has(id));
    for (const entity of moves.values()) if (entity !== null) kept.push(entity);
    return kept.sort((a, b) => (a.id < b.id ? -1 : 1));
  }
  const next = group.slice();
  for (const [id, entity] of moves) {
    const at = placeOf(next, id);
    const known = next[at]?.id === id ? 1 : 0;
    if (entity === null) next.splice(at, known);
    else next.splice(at, known, entity);
  }
  return next;
}

/** Where an id is in a group, or would be: the first that is not before it. */
export function placeOf(group: Group, id: string): number {
  let low = 0;
  let high = group.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((group[middle] as Entity).id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
