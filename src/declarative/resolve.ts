/**
 * What can only be judged with all entities of a document at hand: uniqueness and references, and how the rules over
 * several entities (entities/relations.ts) look around in it.
 */
import type { EntityName } from "../entities/entities.ts";
import { sniHostFaults } from "../entities/host-ownership.ts";
import {
  cacheKeyParts,
  type Entity,
  type Relations,
  uniqueSpace,
  uniqueValue,
  type WorkspaceFacts,
} from "../entities/relations.ts";
import { DEFAULT_WORKSPACE } from "../entities/workspaces.ts";
import type { Draft, Faults, Scope } from "./draft.ts";

/** Finds entities by id or endpoint key within a workspace, and refuses a second one of the same. */
export class Directory implements Relations {
  readonly #byId = new Map<EntityName, Map<string, Draft>>();
  /** By rule and workspace, then by value. */
  readonly #unique = new Map<string, Map<string, Draft>>();
  /** By collection, foreign field and id of the parent. */
  readonly #children = new Map<string, Entity[]>();
  readonly #scopes = new Map<string, Scope>();
  readonly #workspaces = new Map<string, WorkspaceFacts>();
  readonly #faults: Faults;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  add(draft: Draft): void {
    const { type, scope, input } = draft;
    this.#scopes.set(scope.id, scope);
    const byId = entry(this.#byId, type.name);
    const other = byId.get(draft.id);
    if (!other) byId.set(draft.id, draft);
    else if (typeof input.id === "string" || typeof other.input.id === "string" || other.stays)
      this.#twice(draft, other, ["id"], `primary key set to '${draft.id}'`);
    for (const field of type.uniqueFields) {
      const value = uniqueValue(type, input[field]);
      if (value === null) continue;
      const other = this.#first(field, value, draft);
      if (!other || this.#isNotTheirs(draft, other, value)) continue;
      const shown = type.quietFields.includes(field) ? "***" : value;
      this.#twice(draft, other, [field], `${field} set to '${shown}'`);
    }
    const name = input[type.endpointKey];
    if (typeof name !== "string") return;
    const byKey = entry(scope.byKey, type.name);
    if (!byKey.has(name)) byKey.set(name, draft);
  }

  /** Whether a name is another workspace's is told only to those who may have it; the others are told that. */
  #isNotTheirs({ type, scope }: Draft, other: Draft, name: string): boolean {
    const workspace = this.#workspaces.get(scope.id);
    if (type.name !== "snis" || other.scope === scope || workspace === undefined) return false;
    return workspace.name !== DEFAULT_WORKSPACE && !sniHostFaults({ name }, workspace).next().done;
  }

  /** A workspace that is sound, for the rules of what is in it. */
  addWorkspace(facts: WorkspaceFacts): void {
    this.#workspaces.set(facts.id, facts);
  }

  /** Resolves the references of an entity into `{ id }` values. */
  resolve(draft: Draft): void {
    for (const [field, parent] of Object.entries(draft.parents)) draft.value[field] = { id: parent.id };
    for (const [field, text] of Object.entries(draft.references)) {
      const reference = draft.type.foreignKeys[field] as EntityName;
      const found = this.lookUp(reference, text, draft.scope);
      if (found) {
        draft.value[field] = { id: found.id };
        continue;
      }
      const inWorkspace = draft.scope.name === DEFAULT_WORKSPACE ? "" : ` of workspace '${draft.scope.name}'`;
      const near = this.#faults.speller.nearest(text, draft.scope.byKey.get(reference)?.keys() ?? []);
      const message = `invalid reference '${field}: ${text}' (no such entry in '${reference}'${inWorkspace})`;
      this.#faults.entity(draft, [field], message, near === null ? null : `did you mean '${near}'?`);
      draft.sound = false;
    }
  }

  lookUp(name: EntityName, text: string, scope: Scope): Draft | undefined {
    const byKey = scope.byKey.get(name)?.get(text);
    if (byKey) return byKey;
    const byId = this.#byId.get(name)?.get(text);
    return byId?.scope === scope ? byId : undefined;
  }

  /** Notes which sound entities hang under which, once references are known. */
  link(draft: Draft): void {
    if (!draft.sound) return;
    for (const field in draft.type.foreignKeys) {
      const parent = (draft.value[field] as { id: string } | null)?.id;
      if (parent === undefined) continue;
      const key = `${draft.type.name} ${field} ${parent}`;
      const siblings = this.#children.get(key);
      if (siblings) siblings.push(draft.value as Entity);
      else this.#children.set(key, [draft.value as Entity]);
    }
  }

  /** The rule over several fields, once references are known. */
  checkCacheKey(draft: Draft): void {
    const { type, value } = draft;
    if (!type.cacheKey || !draft.sound) return;
    const parts = cacheKeyParts(type, value);
    const other = this.#first("@", parts.join("\n"), draft);
    if (!other) return;
    const given = type.cacheKey.filter((_, i) => parts[i] !== "");
    const shown = given.map(
      (field) => draft.references[field] ?? label(draft.parents[field]) ?? String(value[field]),
    );
    this.#twice(draft, other, [given.at(-1)!], `${given.join(", ")} set to '${shown.join(", ")}'`);
  }

  find(kind: EntityName, id: string): Entity | undefined {
    return this.#byId.get(kind)?.get(id)?.value as Entity | undefined;
  }

  children(kind: EntityName, field: string, parentId: string): readonly Entity[] {
    return this.#children.get(`${kind} ${field} ${parentId}`) ?? [];
  }

  named(kind: EntityName, workspaceId: string, key: string): { readonly id: string } | undefined {
    return this.#scopes.get(workspaceId)?.byKey.get(kind)?.get(key);
  }

  workspace(id: string): WorkspaceFacts | undefined {
    return this.#workspaces.get(id);
  }

  /** Whoever has the value already, or nobody: then it is this one's. */
  #first(rule: string, value: string, draft: Draft): Draft | undefined {
    const values = entry(this.#unique, uniqueSpace(draft.type, rule, draft.scope.id));
    const other = values.get(value);
    if (!other) values.set(value, draft);
    return other;
  }

  #twice(draft: Draft, other: Draft, field: readonly string[], what: string): void {
    const message = `uniqueness violation: '${draft.type.name}' entity with ${what} already declared`;
    const across = other.scope === draft.scope ? "" : "it is unique over all workspaces; ";
    if (other.stays) {
      const hint = `${across}it is in force, and not among those that the document may change`;
      return this.#faults.entity(draft, field, message, hint);
    }
    const hint = `${across}the first is on line `;
    this.#faults.entity(draft, field, message, hint, false, null, other.path);
  }
}

function entry<K>(maps: Map<K, Map<string, Draft>>, key: K): Map<string, Draft> {
  let map = maps.get(key);
  if (!map) {
    map = new Map();
    maps.set(key, map);
  }
  return map;
}

function label(draft: Draft | undefined): string | undefined {
  if (!draft) return undefined;
  const name = draft.input[draft.type.endpointKey];
  return typeof name === "string" ? name : draft.id;
}
