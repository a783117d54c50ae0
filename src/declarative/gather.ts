/**
 * Takes a document apart into entities: top-level collections and those nested under their parents, each with
 * its workspace, its references and its id. What a field means is left to the schemas.
 */
import { isObject } from "@gatehouse/sdk";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType } from "../entities/entities.ts";
import { isUuid } from "../entities/fields.ts";
import { DEFAULT_WORKSPACE_ID } from "../entities/workspaces.ts";
import type { Held } from "../tenancy/quotas.ts";
import type { Draft, Faults, Path, Scope } from "./draft.ts";
import { canonicalJson, entityId } from "./identity.ts";
import type { Speller } from "./nearest.ts";

interface Nesting {
  readonly type: EntityType;
  /** The child's field that points to the parent. */
  readonly foreignKey: string;
}

/** Shared by the many entities that have no references or no parent. */
const NOTHING = Object.freeze({});

/** What may be nested under an entity of each collection, by key. */
const CHILDREN: ReadonlyMap<EntityName, ReadonlyMap<string, Nesting>> = new Map(
  ENTITY_NAMES.map((parent) => [
    parent,
    new Map(
      ENTITY_NAMES.flatMap((child) => {
        const type = ENTITIES[child];
        const foreignKey = Object.keys(type.foreignKeys).find((field) => type.foreignKeys[field] === parent);
        return foreignKey === undefined ? [] : [[child as string, { type, foreignKey }] as const];
      }),
    ),
  ]),
);

/** Collections that stand at the top of a document or of a workspace. */
export const COLLECTIONS: readonly EntityName[] = ENTITY_NAMES.filter((name) => name !== "workspaces");

/** Those of them that can hold anything. */
export const OFFERED: readonly string[] = COLLECTIONS.filter((name) => !ENTITIES[name].unavailable);

/** Every name that may be written in an entity: its fields, shorthands and nested collections. */
export function writableNames(type: EntityType, schema = type.schema): string[] {
  return [
    ...Object.keys(schema.fields ?? {}),
    ...Object.keys(type.shorthands ?? {}),
    ...[...(CHILDREN.get(type.name)?.keys() ?? [])].filter((child) => OFFERED.includes(child)),
    "_comment",
    "_ignore",
  ];
}

/** How many entities a document or entity holds, routes among them, before anybody looks at one. */
export function countHeld(node: unknown, kinds: readonly string[] = COLLECTIONS): Held {
  const held = { entities: 0, routes: 0, bytes: 0 };
  if (!isObject(node)) return held;
  for (const kind of kinds) {
    const list = Object.hasOwn(node, kind) ? node[kind] : null;
    if (!Array.isArray(list)) continue;
    held.entities += list.length;
    if (kind === "routes") held.routes += list.length;
    const below = [...(CHILDREN.get(kind as EntityName)?.keys() ?? [])];
    for (const item of below.length === 0 ? [] : list) {
      const inside = countHeld(item, below);
      held.entities += inside.entities;
      held.routes += inside.routes;
    }
  }
  return held;
}

/** `_comment` and `_ignore`, which every level accepts. */
export function checkRemarks(node: Record<string, unknown>, path: Path, faults: Faults): void {
  if (Object.hasOwn(node, "_comment") && node._comment !== null && typeof node._comment !== "string")
    faults.document([...path, "_comment"], "expected a string");
  if (Object.hasOwn(node, "_ignore") && node._ignore !== null && !Array.isArray(node._ignore))
    faults.document([...path, "_ignore"], "expected an array");
}

export class Gatherer {
  readonly drafts: Draft[] = [];
  readonly #faults: Faults;
  /** How often the same content was seen, so that twins get different ids. */
  readonly #twins = new Map<string, number>();

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  /** The entities of one collection. `path` leads to the list. */
  collection(type: EntityType, list: unknown, path: Path, scope: Scope, parent: Draft | null): void {
    if (list === null) return;
    if (!Array.isArray(list)) {
      this.#faults.document(path, "expected an array");
      return;
    }
    for (const [i, item] of list.entries()) {
      if (this.#faults.isFull) return;
      const at = [...path, i];
      if (isObject(item)) this.#entity(type, item, at, scope, parent);
      // The names of a certificate may stand alone, as in Kong's Admin API.
      else if (type.name === "snis" && parent !== null && typeof item === "string")
        this.#entity(type, { name: item }, at, scope, parent);
      else this.#faults.document(at, "expected a record");
    }
  }

  #entity(
    type: EntityType,
    node: Record<string, unknown>,
    path: Path,
    scope: Scope,
    parent: Draft | null,
  ): void {
    const children = CHILDREN.get(type.name)!;
    const input: Record<string, unknown> = {};
    let references = NOTHING as Record<string, string>;
    let nested: Nesting[] | undefined;
    let late: [field: Path, message: string, hint: string | null][] | undefined;
    let expanded: Map<string, string> | undefined;
    const parentKey = parent && CHILDREN.get(parent.type.name)?.get(type.name)?.foreignKey;
    const parents: Readonly<Record<string, Draft>> = parent && parentKey ? { [parentKey]: parent } : NOTHING;
    const expand = (field: string, shorthand: string) => {
      expanded ??= new Map();
      expanded.set(field, shorthand);
    };
    const wrong = (field: string, message: string, hint: string | null) => {
      late ??= [];
      late.push([[field], message, hint]);
    };

    for (const key of Object.keys(node)) {
      const value = node[key];
      const child = children.get(key);
      if (key === "_comment" || key === "_ignore") continue;
      if (child) {
        nested ??= [];
        nested.push(child);
      } else if (Object.hasOwn(type.foreignKeys, key)) {
        if (value === null) continue;
        if (key === parentKey)
          wrong(key, "value must be null", `the ${parent!.type.singular} above it is meant already`);
        else if (typeof value === "string") references = { ...references, [key]: value };
        else wrong(key, "expected a string", `write the id or the name of one of '${type.foreignKeys[key]}'`);
      } else if (type.shorthands && Object.hasOwn(type.shorthands, key)) {
        const fields = type.shorthands[key]!(value);
        if (typeof fields === "string") {
          wrong(key, fields, null);
          // The field it stands for is not missing as well.
          expand("host", key);
        } else
          for (const [field, part] of Object.entries(fields)) {
            // A field that is written out wins over the shorthand.
            if (Object.hasOwn(node, field)) continue;
            input[field] = part;
            expand(field, key);
          }
      } else input[key] = value;
    }

    const id = this.#id(type, input, references, scope, parent, parentKey ?? null);
    type.normalize?.(input);
    const draft: Draft = {
      type,
      scope,
      path,
      input,
      expanded: expanded ?? null,
      references,
      parents,
      id,
      value: {},
      sound: false,
      kept: null,
    };
    checkRemarks(node, path, this.#faults);
    for (const [field, message, hint] of late ?? []) this.#faults.entity(draft, field, message, hint);
    this.drafts.push(draft);
    for (const child of nested ?? [])
      this.collection(child.type, node[child.type.name], [...path, child.type.name], scope, draft);
  }

  /**
   * The explicit id, or one derived as Kong does: from the endpoint key (with the parent where the key is unique
   * only under one) or from the cache key. Where Kong would take a random one, it is derived from the content,
   * so that counters and caches survive a reload.
   */
  #id(
    type: EntityType,
    input: Record<string, unknown>,
    references: Record<string, string>,
    scope: Scope,
    parent: Draft | null,
    parentKey: string | null,
  ): string {
    if (typeof input.id === "string" && isUuid(input.id)) return input.id;
    const own =
      this.#ownKey(type, input, references, parent, parentKey) ?? this.#content(type, input, parent);
    // Kong knows one workspace; in the others equal names must not give equal ids.
    return entityId(type.name, scope.id === DEFAULT_WORKSPACE_ID ? own : `${scope.id}:${own}`);
  }

  #ownKey(
    type: EntityType,
    input: Record<string, unknown>,
    references: Record<string, string>,
    parent: Draft | null,
    parentKey: string | null,
  ): string | null {
    const fields = type.schema.fields ?? {};
    const above = (field: string) => (field === parentKey ? parent?.id : references[field]);
    const endpoint = input[type.endpointKey];
    if (typeof endpoint === "string") {
      if (fields[type.endpointKey]?.unique) return endpoint;
      const cascades = Object.keys(type.foreignKeys).filter((field) => fields[field]?.onDelete === "cascade");
      return [endpoint, ...cascades.map((field) => above(field) ?? "")].join(":");
    }
    if (!type.cacheKey) return null;
    const parts = type.cacheKey.map((field) => {
      const value = Object.hasOwn(type.foreignKeys, field) ? above(field) : input[field];
      return typeof value === "string" ? value : fields[field]?.required ? null : "";
    });
    return parts.includes(null) ? null : [type.name, ...parts].join(":");
  }

  #content(type: EntityType, input: Record<string, unknown>, parent: Draft | null): string {
    const content = `${type.name}\n${parent?.id ?? ""}\n${canonicalJson(input)}`;
    const twin = this.#twins.get(content) ?? 0;
    this.#twins.set(content, twin + 1);
    return `${content}\n${twin}`;
  }
}

/** "did you mean 'x'?", or what is allowed there. */
export function suggest(name: string, allowed: readonly string[], speller: Speller): string {
  const near = speller.nearest(name, allowed);
  if (near !== null) return `did you mean '${near}'?`;
  const shown = allowed.filter((each) => !each.startsWith("_"));
  return shown.length === 0 ? "no field is allowed here" : `allowed: ${shown.join(", ")}`;
}
