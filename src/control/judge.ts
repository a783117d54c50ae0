/**
 * Judges a write of one entity by the configuration in force: what it changes, or why it may not. It writes nothing,
 * and looks at nothing but what the write touches.
 */
import { randomUUID } from "node:crypto";
import type { Field, Violation } from "@gatehouse/sdk";
import type { Policies } from "../egress/policies.ts";
import {
  DEFAULT_WORKSPACE,
  ENTITIES,
  ENTITY_NAMES,
  type EntityName,
  type EntityType,
  schemaOf,
} from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import { isUuid } from "../entities/fields.ts";
import { coveredHostFaults, hostOwnerFaults, hostOwners } from "../entities/host-ownership.ts";
import { type InspectionContext, inspect } from "../entities/inspect.ts";
import { randomKey } from "../entities/made-up.ts";
import {
  type Entity,
  referenceOf,
  relationFaults,
  uniqueKeys,
  workspaceFacts,
} from "../entities/relations.ts";
import { reservedNameFault } from "../entities/reserved-names.ts";
import { type GivenQuotas, type Held, overQuota, quotasOf } from "../tenancy/quotas.ts";
import { namesOf, takeNames } from "./certificate-names.ts";
import {
  fieldsOf,
  type Input,
  merged,
  withKeptSecrets,
  withoutNulls,
  withoutShorthands,
  withResolvedKeys,
} from "./input.ts";
import { checkSound, keyText, notFound, schemaViolation, WriteRefused } from "./refusal.ts";
import { removal } from "./removal.ts";
import type { Judged, Parent, Write } from "./write.ts";

export interface JudgeContext extends InspectionContext {
  /** Setting `workspace_quotas`. */
  readonly quotas: GivenQuotas;
  readonly policies: Policies | null;
}

/** @param now milliseconds since the epoch. @throws {WriteRefused} */
export function judge(write: Write, index: EntityIndex, context: JudgeContext, now: number): Judged {
  if (index.workspace(write.workspace) === undefined) throw notFound();
  return new Judge(index, context, now).judge(write);
}

class Judge {
  readonly #index: EntityIndex;
  readonly #context: JudgeContext;
  readonly #now: number;

  constructor(index: EntityIndex, context: JudgeContext, now: number) {
    this.#index = index;
    this.#context = context;
    this.#now = now;
  }

  judge(write: Write): Judged {
    const type = ENTITIES[write.kind];
    const { workspace, parent } = write;
    const above = parent === undefined ? null : { field: parent.field, id: this.#parent(parent, workspace) };
    if (write.verb === "create")
      return this.#put(type, workspace, withParent(write.input, above), { old: null, patch: false });
    const found = lookUp(this.#index, write.kind, workspace, write.key, above);
    if (write.verb === "remove") return this.#remove(type, found, above !== null, write.cascade === true);
    if (write.verb === "patch") {
      if (found === undefined) throw notFound();
      return this.#put(type, workspace, withParent(write.input, above), { old: found, patch: true });
    }
    // A key that is unique under a parent only names nobody for sure: what is written would take another's place.
    const isNamed = isUuid(write.key.toLowerCase()) || type.name === "certificates";
    if (above === null && !isNamed && !type.uniqueFields.includes(type.endpointKey)) throw notFound();
    const old =
      found ?? (above === null ? undefined : lookUp(this.#index, write.kind, workspace, write.key, null));
    const named = { ...write.input, ...keyOf(type, write, old ?? null) };
    return this.#put(type, workspace, withParent(named, above), { old: old ?? null, patch: false });
  }

  #parent({ kind, key }: Parent, workspace: string): string {
    const found = lookUp(this.#index, kind, workspace, key, null);
    if (found === undefined) throw notFound();
    return found.id;
  }

  #remove(type: EntityType, found: Entity | undefined, nested: boolean, cascade: boolean): Judged {
    if (found === undefined) {
      if (nested) throw notFound();
      return { edits: { put: [], removed: [] }, entity: null, old: null };
    }
    return { edits: removal(type.name, found, this.#index, cascade), entity: null, old: found };
  }

  #put(
    type: EntityType,
    workspaceId: string,
    given: Input,
    { old, patch }: { readonly old: Entity | null; readonly patch: boolean },
  ): Judged {
    const wrong: Violation[] = [];
    const { names, own } =
      type.name === "certificates" ? takeNames(given, wrong) : { names: null, own: given };
    const resolved = withResolvedKeys(
      type,
      withoutShorthands(type, own, wrong),
      workspaceId,
      this.#index,
      wrong,
    );
    const change = old === null ? { ...resolved } : withKeptSecrets(type, resolved, old);
    const entity = this.#inspected(type, workspaceId, change, patch ? old : null, wrong);
    if (old !== null && entity.id !== old.id && entity.id !== null)
      throw schemaViolation([{ path: ["id"], message: `value must be ${old.id}: ids do not change` }]);
    this.#fill(type, workspaceId, entity, old, change);
    const whole = entity as unknown as Entity;
    // Whether a name is another workspace's is told only to those who may have it.
    const isOthers = type.globallyUniqueFields.length > 0;
    if (isOthers) this.#checkRelations(type, whole, old);
    this.#checkUnique(type, whole, old);
    this.#checkReferences(type, whole);
    if (!isOthers) this.#checkRelations(type, whole, old);
    const edits = { put: [{ kind: type.name, entity: whole }], removed: [] };
    if (names === null) {
      this.#checkQuota(workspaceId, edits);
      return { edits, entity: whole, old };
    }
    const sniEdits = namesOf(whole, names, this.#index, this.#context, this.#now);
    const all = { put: [...edits.put, ...sniEdits.put], removed: sniEdits.removed };
    this.#checkQuota(workspaceId, all);
    return { edits: all, entity: whole, old };
  }

  /** A workspace that grows has to have room; one that holds more than it may since its quota was lowered may change. */
  #checkQuota(workspaceId: string, edits: EntityEdits): void {
    const own = { ...edits, put: edits.put.filter(({ kind }) => kind !== "workspaces") };
    if (own.put.length === 0) return;
    const before = this.#held(this.#index, workspaceId);
    const after = this.#held(this.#index.next(own), workspaceId);
    const workspace = this.#index.find("workspaces", workspaceId) as { readonly name: string } & Entity;
    // What does not grow is not asked for.
    const asked = Object.fromEntries(
      Object.entries(after).map(([what, count]) => [what, count > before[what as keyof Held] ? count : 0]),
    ) as unknown as Held;
    const message = overQuota(workspace.name, asked, quotasOf(workspace, this.#context.quotas));
    if (message !== null) throw schemaViolation([{ path: ["@entity"], message }]);
  }

  #held(index: EntityIndex, workspaceId: string): Held {
    const count = (kind: EntityName) => index.list(kind, workspaceId).length;
    const kinds = ENTITY_NAMES.filter((kind) => kind !== "workspaces");
    return {
      entities: kinds.reduce((sum, kind) => sum + count(kind), 0),
      routes: count("routes"),
      bytes: index.bytes(workspaceId),
    };
  }

  /** The entity as the schemas have it. `change` is brought into the form in which it is kept. */
  #inspected(
    type: EntityType,
    workspaceId: string,
    change: Record<string, unknown>,
    base: Entity | null,
    wrong: Violation[],
  ): Record<string, unknown> {
    type.normalize?.(change);
    const workspace = this.#index.workspace(workspaceId)?.name ?? "";
    const schema = schemaOf(type, this.#context.flavor);
    const others = this.#schemasBeside(type, change, base, workspace);
    const input =
      base === null
        ? withoutNulls(schema, change, others)
        : merged(schema, this.#baseOf(type, base, change), change, others);
    const { value, findings } = inspect(type, input, workspace, this.#context);
    checkSound(wrong, findings);
    return value;
  }

  #baseOf(type: EntityType, base: Entity, change: Input): Input {
    const fields = fieldsOf(base);
    // The config of another plugin is no beginning for one's own.
    if (type.name === "plugins" && change.name !== undefined && change.name !== base.name) fields.config = {};
    return fields;
  }

  /** The config of a plugin is a record of a schema that only the plugin knows. */
  #schemasBeside(
    type: EntityType,
    change: Input,
    base: Entity | null,
    workspace: string,
  ): Readonly<Record<string, Field>> {
    if (type.name !== "plugins") return {};
    const found = this.#context.plugins.find(String(change.name ?? base?.name), workspace);
    return "missing" in found ? {} : { config: found.schema };
  }

  /** Ids, times, and what is made up when it is absent. */
  #fill(
    type: EntityType,
    workspaceId: string,
    entity: Record<string, unknown>,
    old: Entity | null,
    given: Input,
  ): void {
    const fields = type.schema.fields ?? {};
    const now = type.fractionalTime ? this.#now / 1000 : Math.floor(this.#now / 1000);
    entity.id ??= old?.id ?? randomUUID();
    if (fields.created_at) entity.created_at = given.created_at ?? old?.created_at ?? now;
    if (fields.updated_at) entity.updated_at = given.updated_at ?? now;
    for (const field of type.madeUpFields) entity[field] ??= randomKey();
    entity.ws_id = type.name === "workspaces" ? entity.id : workspaceId;
  }

  #checkUnique(type: EntityType, entity: Entity, old: Entity | null): void {
    const known = this.#index.find(type.name, entity.id);
    if (known !== undefined && known !== old) {
      const key = { id: entity.id };
      throw new WriteRefused("primaryKeyViolation", `primary key violation on key '${keyText(key)}'`, key);
    }
    for (const { rule, fields, value } of uniqueKeys(type, entity)) {
      const holder = this.#index.holder(type, rule, entity.ws_id, value);
      if (holder === undefined || holder.id === entity.id) continue;
      const key = Object.fromEntries(fields.map((field) => [field, entity[field] ?? null]));
      throw new WriteRefused("uniqueViolation", `UNIQUE violation detected on '${keyText(key)}'`, key);
    }
  }

  #checkReferences(type: EntityType, entity: Entity): void {
    for (const [field, kind] of Object.entries(type.foreignKeys) as [string, EntityName][]) {
      const id = referenceOf(entity, field);
      if (id === null || this.#index.find(kind, id)?.ws_id === entity.ws_id) continue;
      const key = { id };
      const message = `the foreign key '${keyText(key)}' does not reference an existing '${kind}' entity.`;
      throw new WriteRefused("foreignKeyViolation", message, { [field]: key });
    }
  }

  #checkRelations(type: EntityType, entity: Entity, old: Entity | null): void {
    // The rules look at the configuration as it will be.
    const next = this.#index.next({ put: [{ kind: type.name, entity }], removed: [] });
    const faults: Violation[] = [...relationFaults(type, entity, next, this.#context.policies)];
    if (type.name === "workspaces") faults.push(...this.#workspaceFaults(entity, old, next));
    if (faults.length > 0) throw schemaViolation(faults);
  }

  *#workspaceFaults(entity: Entity, old: Entity | null, next: EntityIndex): Generator<Violation> {
    if (old !== null && old.name !== entity.name)
      yield { path: ["name"], message: "the name of a workspace cannot be changed" };
    if (old === null && entity.name === DEFAULT_WORKSPACE) return;
    const reserved = old === null ? reservedNameFault(String(entity.name)) : null;
    if (reserved !== null) yield { path: ["name"], message: reserved };
    const facts = workspaceFacts(entity);
    const owners = hostOwners(next.workspaces().filter(({ id }) => id !== entity.id));
    yield* hostOwnerFaults(facts, owners);
    yield* coveredHostFaults(facts, owners);
    if (old === null) return;
    yield* this.#faultsWithin("routes", entity.id, next, "hosts");
    yield* this.#faultsWithin("snis", entity.id, next, "hosts");
    yield* this.#faultsWithin("services", entity.id, next, "egress");
    yield* this.#faultsWithin("targets", entity.id, next, "egress");
  }

  /** What becomes wrong with others: the first of them is said. */
  *#faultsWithin(
    kind: EntityName,
    workspaceId: string,
    next: EntityIndex,
    field: string,
  ): Generator<Violation> {
    const type = ENTITIES[kind];
    for (const entity of next.list(kind, workspaceId))
      for (const { message } of relationFaults(type, entity, next, this.#context.policies)) {
        const name = entity[type.endpointKey] ?? entity.id;
        return yield {
          path: [field],
          message: `${type.singular} '${name}' would not be allowed any more: ${message}`,
        };
      }
  }
}

/** An entity by id or endpoint key, within a workspace and under a parent. */
export function lookUp(
  index: EntityIndex,
  kind: EntityName,
  workspaceId: string,
  key: string,
  above: { readonly field: string; readonly id: string } | null,
): Entity | undefined {
  const type = ENTITIES[kind];
  const inside = (entity: Entity | undefined) =>
    entity !== undefined &&
    (kind === "workspaces" || entity.ws_id === workspaceId) &&
    (above === null || referenceOf(entity, above.field) === above.id);
  const byId = isUuid(key.toLowerCase()) ? index.find(kind, key.toLowerCase()) : undefined;
  if (inside(byId)) return byId;
  const field = type.endpointKey;
  if (above !== null && !type.uniqueFields.includes(field)) {
    // A target without a port is kept with one.
    const kept: Record<string, unknown> = { [field]: key };
    type.normalize?.(kept);
    return index.children(kind, above.field, above.id).find((entity) => entity[field] === kept[field]);
  }
  // A certificate answers to its names.
  if (kind === "certificates") {
    const sni = index.named("snis", workspaceId, key);
    return sni && index.find(kind, referenceOf(sni, "certificate") ?? "");
  }
  const byKey = index.named(kind, workspaceId, key);
  return inside(byKey) ? byKey : undefined;
}

/** What the path of a `PUT` says of the entity; it counts, whatever the body says. */
function keyOf(
  type: EntityType,
  { key, input }: Extract<Write, { verb: "put" }>,
  old: Entity | null,
): Record<string, unknown> {
  const isId = isUuid(key.toLowerCase());
  const id = old?.id ?? (isId ? key.toLowerCase() : undefined);
  if (isId) return { id };
  const known = id === undefined ? {} : { id };
  if (type.name !== "certificates") return { ...known, [type.endpointKey]: key };
  return old === null ? { snis: input.snis ?? [key] } : known;
}

function withParent(input: Input, above: { readonly field: string; readonly id: string } | null): Input {
  return above === null ? input : { ...input, [above.field]: { id: above.id } };
}
