/**
 * Which entities in force a document may change, and which of them each of its entities stands for: by id, else by what
 * nobody else may have, else by what it says. So a file without ids changes what is there instead of replacing it.
 */

import type { Draft, Scope } from "../declarative/draft.ts";
import type { Ground } from "../declarative/ground.ts";
import { canonicalJson } from "../declarative/identity.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType } from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import {
  type Entity,
  LISTED_REFERENCES,
  referenceOf,
  uniqueKeys,
  type WorkspaceFacts,
} from "../entities/relations.ts";
import { withKeptSecrets } from "./input.ts";

export interface Selection {
  /** Name of the only workspace that the document is for; null: for the gateway. */
  readonly workspace: string | null;
  /** Only entities with all of these tags are changed or removed, and entities of the document get them. */
  readonly tags: readonly string[];
  /** Whether entities that the document does not have are removed. */
  readonly removes: boolean;
}

export interface Removed {
  readonly kind: EntityName;
  readonly entity: Entity;
  /** False if it goes with what it belongs to. */
  readonly isLeftOut: boolean;
}

export class Selected implements Ground {
  readonly home: WorkspaceFacts | null;
  /** What the document does without, children after parents; known once it is settled. */
  readonly removed: Removed[] = [];
  readonly #index: EntityIndex;
  readonly #selection: Selection;
  readonly #claimed = new Set<string>();

  /** @param home the workspace of the selection, if it is for one. */
  constructor(index: EntityIndex, selection: Selection, home: WorkspaceFacts | null) {
    this.#index = index;
    this.#selection = selection;
    this.home = home;
  }

  workspaces(): readonly WorkspaceFacts[] {
    return this.#index.workspaces();
  }

  settle(...[drafts, scopes, soundValue]: Parameters<Ground["settle"]>): ReturnType<Ground["settle"]> {
    const { tags } = this.#selection;
    if (tags.length > 0) for (const draft of drafts) addTags(draft, tags);
    const matching = new Matching(this.#index, drafts, soundValue);
    for (const kind of ENTITY_NAMES) for (const draft of matching.of(kind)) this.#claim(draft, matching);
    return this.#sort(new Set(scopes.map(({ id }) => id)));
  }

  #claim(draft: Draft, matching: Matching): void {
    const { type, scope, input } = draft;
    for (const old of matching.candidates(draft)) {
      const key = keyOf(type.name, old.id);
      if (old.ws_id !== scope.id || this.#claimed.has(key) || !this.#covers(type.name, old)) continue;
      this.#claimed.add(key);
      draft.id = old.id;
      Object.assign(input, withKeptSecrets(type, input, old));
      return;
    }
  }

  /** Whether the document may change an entity that is in one of its workspaces. */
  #covers(kind: EntityName, entity: Entity): boolean {
    return hasTags(kind, entity, this.#selection.tags, (other, id) => this.#index.find(other, id));
  }

  #sort(workspaces: ReadonlySet<string>): ReturnType<Ground["settle"]> {
    const staying: { type: EntityType; entity: Entity }[] = [];
    const stuck: string[] = [];
    const gone = new Set<string>();
    for (const kind of ENTITY_NAMES) {
      if (kind === "workspaces") continue;
      const type = ENTITIES[kind];
      for (const entity of this.#index.all(kind)) {
        if (this.#claimed.has(keyOf(kind, entity.id))) continue;
        const isLeftOut =
          this.#selection.removes && workspaces.has(entity.ws_id) && this.#covers(kind, entity);
        const loss = isLeftOut ? null : lossOf(type, entity, gone);
        if (isLeftOut || loss?.goes === true) {
          gone.add(keyOf(kind, entity.id));
          this.removed.push({ kind, entity, isLeftOut });
        } else {
          staying.push({ type, entity });
          if (loss !== null) stuck.push(loss.why);
        }
      }
    }
    return { staying, stuck };
  }
}

/** Whether an entity has all of some tags. What has none of its own, as it ties others together, has those of them all. */
export function hasTags(
  kind: EntityName,
  entity: Entity,
  tags: readonly string[],
  find: (kind: EntityName, id: string) => Entity | undefined,
): boolean {
  if (tags.length === 0) return true;
  const { schema, foreignKeys } = ENTITIES[kind];
  if (schema.fields?.tags !== undefined) return tags.every((tag) => entity.tags?.includes(tag));
  return Object.entries(foreignKeys).every(([field, parent]) => {
    const above = find(parent as EntityName, referenceOf(entity, field) ?? "");
    return above !== undefined && hasTags(parent as EntityName, above, tags, find);
  });
}

const keyOf = (kind: string, id: string) => `${kind} ${id}`;

type Loss = { readonly goes: true } | { readonly goes: false; readonly why: string };

/** What becomes of an entity that is not left out itself: it goes with what it belongs to, or keeps that from going. */
function lossOf(type: EntityType, entity: Entity, gone: ReadonlySet<string>): Loss | null {
  if (gone.size === 0) return null;
  const pointers = [
    ...Object.entries(type.foreignKeys).map(([field, parent]) => [field, parent, referenceOf(entity, field)]),
    ...Object.entries(LISTED_REFERENCES[type.name] ?? {}).flatMap(([field, parent]) =>
      ((entity[field] ?? []) as readonly string[]).map((id) => [field, parent, id]),
    ),
  ] as [field: string, parent: EntityName, id: string | null][];
  for (const [field, parent, id] of pointers) {
    if (id === null || !gone.has(keyOf(parent, id))) continue;
    if (type.onDelete[field] === "cascade") return { goes: true };
    const own = `${type.singular} '${labelOf(type, entity)}'`;
    const other = `${ENTITIES[parent].singular} '${id}'`;
    return {
      goes: false,
      why: `${own} stays, and its ${field} is ${other}, which would be removed as the document does not have it`,
    };
  }
  return null;
}

/** What people call it; never a secret. */
export function labelOf(type: EntityType, entity: Readonly<Record<string, unknown>>): string {
  for (const key of [type.endpointKey, "name", "username", "custom_id"]) {
    if (type.quietFields.includes(key)) continue;
    const value = entity[key];
    if (typeof value === "string" && value !== "") return value;
  }
  return String(entity.id);
}

function addTags({ type, input }: Draft, tags: readonly string[]): void {
  if (type.schema.fields?.tags === undefined) return;
  const own = input.tags ?? [];
  if (Array.isArray(own)) input.tags = [...own, ...tags.filter((tag) => !own.includes(tag))];
}

/** Finds the entities in force that drafts may stand for. Parents are settled before their children. */
class Matching {
  readonly #index: EntityIndex;
  readonly #soundValue: Parameters<Ground["settle"]>[2];
  readonly #byKind = new Map<EntityName, Draft[]>();
  /** By collection, workspace, and id or endpoint key. */
  readonly #named = new Map<string, Draft>();
  /** Of entities in force without a name, by collection, workspace and what they say. */
  readonly #said = new Map<string, Map<string, Entity[]>>();

  constructor(index: EntityIndex, drafts: readonly Draft[], soundValue: Parameters<Ground["settle"]>[2]) {
    this.#index = index;
    this.#soundValue = soundValue;
    for (const draft of drafts) {
      const { type, scope, input } = draft;
      const kind = this.#byKind.get(type.name);
      if (kind === undefined) this.#byKind.set(type.name, [draft]);
      else kind.push(draft);
      for (const key of [input.id, input[type.endpointKey]])
        if (typeof key === "string") this.#named.set(`${type.name} ${scope.id} ${key}`, draft);
    }
  }

  of(kind: EntityName): readonly Draft[] {
    return this.#byKind.get(kind) ?? [];
  }

  *candidates(draft: Draft): Generator<Entity> {
    const { type, scope, input, id } = draft;
    const byId = this.#index.find(type.name, id);
    if (typeof input.id === "string") {
      if (byId !== undefined) yield byId;
      return;
    }
    const pointing = this.#withParents(draft);
    for (const { rule, value } of uniqueKeys(type, pointing)) {
      const holder = this.#index.holder(type, rule, scope.id, value);
      if (holder !== undefined) yield holder;
    }
    if (byId !== undefined) yield byId;
    if (typeof input[type.endpointKey] === "string" || type.cacheKey !== undefined) return;
    const value = type.name === "certificates" ? input : this.#soundValue(draft);
    if (value === null) return;
    const said = { ...value, ...foreignOf(type, pointing) };
    yield* this.#saying(type, scope).get(contentOf(type, said)) ?? [];
  }

  /** The input with foreign fields as `{ id }`. */
  #withParents(draft: Draft): Readonly<Record<string, unknown>> {
    const { type, references, parents, scope, input } = draft;
    const out: Record<string, unknown> = { ...input };
    for (const [field, parent] of Object.entries(parents)) out[field] = { id: parent.id };
    for (const [field, text] of Object.entries(references)) {
      const kind = type.foreignKeys[field] as EntityName;
      const inDocument = this.#named.get(`${kind} ${scope.id} ${text}`);
      const id = inDocument?.id ?? this.#index.named(kind, scope.id, text)?.id ?? text;
      out[field] = { id };
    }
    return out;
  }

  #saying(type: EntityType, scope: Scope): Map<string, Entity[]> {
    const key = `${type.name} ${scope.id}`;
    let said = this.#said.get(key);
    if (said !== undefined) return said;
    said = new Map();
    for (const entity of this.#index.list(type.name, scope.id)) {
      const content = contentOf(type, entity);
      const same = said.get(content);
      if (same === undefined) said.set(content, [entity]);
      else same.push(entity);
    }
    this.#said.set(key, said);
    return said;
  }
}

function foreignOf({ foreignKeys }: EntityType, entity: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(Object.keys(foreignKeys).map((field) => [field, entity[field] ?? null]));
}

/** What tells an entity without a name from others: a certificate by itself, everything else by all of its fields. */
function contentOf({ name, schema }: EntityType, entity: Readonly<Record<string, unknown>>): string {
  if (name === "certificates") return typeof entity.cert === "string" ? entity.cert.trim() : "";
  const fields = Object.keys(schema.fields ?? {}).filter(
    (field) => !["id", "created_at", "updated_at"].includes(field),
  );
  return canonicalJson(fields.map((field) => entity[field] ?? null));
}
