/**
 * What a document would change: the edits between the configuration in force and the one that the document asks for, and
 * the same for people, field by field.
 */
import { type Field, isObject } from "@gatehouse/sdk";
import type { ConfigError } from "../declarative/declarative.ts";
import type { Draft } from "../declarative/draft.ts";
import { equalJson } from "../declarative/identity.ts";
import type { ReadApart } from "../declarative/read-apart.ts";
import {
  DEFAULT_WORKSPACE,
  ENTITIES,
  ENTITY_NAMES,
  type EntityName,
  type EntityType,
  schemaOf,
} from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import { randomKey } from "../entities/made-up.ts";
import type { PasswordWork } from "../entities/password-work.ts";
import { holdsText, SECRET_NAME, textWithoutSecrets } from "../entities/redacted.ts";
import { type Entity, referenceOf } from "../entities/relations.ts";
import type { Vaults } from "../secrets/vaults.ts";
import { judgeApart } from "./document.ts";
import type { JudgeContext } from "./judge.ts";
import { notFound, WriteRefused } from "./refusal.ts";
import { labelOf, type Removed, Selected, type Selection } from "./scope.ts";

/** A document, and what of the configuration in force it is for. */
export interface PlanRequest extends Selection {
  readonly text: string;
  /** Why another workspace may not be made; null if it may. */
  readonly noTenants: string | null;
}

export interface FieldChange {
  /** Dotted: `config.minute`. */
  readonly field: string;
  /** `***` in place of a secret; null if it is not set. */
  readonly before: unknown;
  readonly after: unknown;
}

export interface PlannedChange {
  readonly action: "create" | "update" | "delete";
  /** Collection: `services`. */
  readonly collection: EntityName;
  /** What one is called: `service`. */
  readonly entity: string;
  readonly id: string;
  /** Its name or key, never a secret; its id if it has none. */
  readonly name: string;
  readonly workspace: string;
  /** What it belongs to or is for: `service 'orders'`. */
  readonly of: string | null;
  /** What an update changes. */
  readonly fields: readonly FieldChange[];
  /** Of a removal: it goes with what it belongs to, though the document could not have named it. */
  readonly cascades: boolean;
}

/** An entity as it will be and as it is in force; null where it is not there. */
export interface Edited {
  readonly kind: EntityName;
  readonly entity: Entity | null;
  readonly old: Entity | null;
}

export interface Plan {
  readonly changes: readonly PlannedChange[];
  readonly edited: readonly Edited[];
  readonly edits: EntityEdits;
}

export type Planned =
  | { readonly ok: true; readonly plan: Plan }
  | {
      readonly ok: false;
      readonly errors: readonly ConfigError[];
    };

/**
 * @param document the request's text.
 * @param passwords if some are due afterwards, the plan is to be made once more when they are worked out.
 * @throws {WriteRefused} there is no such workspace.
 */
export async function planOf(
  { noTenants, ...selection }: Omit<PlanRequest, "text">,
  document: ReadApart,
  index: EntityIndex,
  context: JudgeContext,
  vaults: Pick<Vaults, "resolve">,
  passwords: Pick<PasswordWork, "find">,
  now: number,
): Promise<Planned> {
  const home = selection.workspace === null ? null : workspaceOf(index, selection.workspace);
  const selected = new Selected(index, selection, home);
  const rules = {
    plugins: context.plugins,
    egress: context.policies,
    quotas: context.quotas,
    routerFlavor: context.flavor,
    ground: selected,
  };
  const judged = await judgeApart(document, rules, vaults);
  if (!judged.ok) return judged;
  const put: { kind: EntityName; entity: Entity; old: Entity | undefined }[] = [];
  for (const draft of judged.drafts) {
    const old = index.find(draft.type.name, draft.id);
    const hashes = judged.isTransformed ? {} : hashesOf(draft, old, passwords);
    const entity = settled(draft, old, hashes, now);
    if (old === undefined || !equalJson(entity, old)) put.push({ kind: draft.type.name, entity, old });
  }
  if (noTenants !== null && put.some(({ kind, old }) => kind === "workspaces" && old === undefined))
    throw new WriteRefused("forbidden", noTenants);
  const { removed } = selected;
  return {
    ok: true,
    plan: {
      changes: told(put, removed, index, context),
      edited: [
        ...put.map(({ kind, entity, old = null }) => ({ kind, entity, old })),
        ...removed.map(({ kind, entity: old }) => ({ kind, entity: null, old })),
      ],
      edits: {
        put: put.map(({ kind, entity }) => ({ kind, entity })),
        removed: removed.map(({ kind, entity: { id } }) => ({ kind, id })),
      },
    },
  };
}

function workspaceOf(index: EntityIndex, name: string) {
  const found = index.named("workspaces", "", name);
  const facts = found && index.workspace(found.id);
  if (facts === undefined) throw notFound();
  return facts;
}

/** Passwords as they are kept: the hash in force if it is that of the password in the document. */
function hashesOf(
  { type, value }: Draft,
  old: Entity | undefined,
  passwords: Pick<PasswordWork, "find">,
): Record<string, string> {
  const consumer = referenceOf((old ?? value) as Entity, "consumer") ?? "";
  const out: Record<string, string> = {};
  for (const field of type.hashedFields?.(value) ?? []) {
    const password = value[field];
    if (typeof password !== "string") continue;
    const kept = old?.[field];
    const hash = passwords.find({ password, kept: typeof kept === "string" ? kept : null, consumer });
    if (hash !== undefined) out[field] = hash;
  }
  return out;
}

/** The entity as it will be kept: what is made up stays as it is in force. */
function settled(
  { type, value, id, scope }: Draft,
  old: Entity | undefined,
  hashes: Readonly<Record<string, string>>,
  now: number,
): Entity {
  const entity: Record<string, unknown> = { ...value, ...hashes, id };
  entity.ws_id = type.name === "workspaces" ? id : scope.id;
  const time = type.fractionalTime ? now / 1000 : Math.floor(now / 1000);
  for (const field of type.madeUpFields) entity[field] ??= old?.[field] ?? randomKey();
  if ("created_at" in entity) entity.created_at ??= old?.created_at ?? time;
  if (!("updated_at" in entity) || typeof entity.updated_at === "number") return entity as Entity;
  const same = { ...entity, updated_at: old?.updated_at };
  const isSame = old !== undefined && equalJson(same, old);
  return (isSame ? same : { ...entity, updated_at: time }) as Record<string, unknown> as Entity;
}

/** In the order in which collections depend on each other, what goes last first. */
function told(
  put: readonly { kind: EntityName; entity: Entity; old: Entity | undefined }[],
  removed: readonly Removed[],
  index: EntityIndex,
  context: JudgeContext,
): PlannedChange[] {
  const added = new Map(put.map(({ kind, entity }) => [`${kind} ${entity.id}`, entity]));
  const find = (kind: EntityName, id: string) => added.get(`${kind} ${id}`) ?? index.find(kind, id);
  const describe = (kind: EntityName, entity: Entity) => {
    const type = ENTITIES[kind];
    return {
      collection: kind,
      entity: type.singular,
      id: entity.id,
      name: kind === "plugins" ? pluginLabel(entity) : labelOf(type, entity),
      workspace: String(find("workspaces", entity.ws_id)?.name ?? ""),
      of: ownersOf(type, entity, find),
    };
  };
  const rank = new Map(ENTITY_NAMES.map((name, i) => [name, i]));
  const inOrder = <T extends { kind: EntityName }>(list: readonly T[]) =>
    list.toSorted((a, b) => (rank.get(a.kind) as number) - (rank.get(b.kind) as number));
  return [
    ...inOrder(put).map(({ kind, entity, old }): PlannedChange => {
      const one = describe(kind, entity);
      const schema = schemaFor(ENTITIES[kind], entity, one.workspace, context);
      const fields = old === undefined ? [] : [...differences(ENTITIES[kind], schema, old, entity)];
      return { action: old === undefined ? "create" : "update", ...one, fields, cascades: false };
    }),
    ...inOrder(removed)
      .reverse()
      .map(
        ({ kind, entity, isLeftOut }): PlannedChange => ({
          action: "delete",
          ...describe(kind, entity),
          fields: [],
          cascades: !isLeftOut,
        }),
      ),
  ];
}

const pluginLabel = ({ name, instance_name: instance }: Entity) =>
  typeof instance === "string" ? `${name} (${instance})` : String(name);

function ownersOf(
  type: EntityType,
  entity: Entity,
  find: (kind: EntityName, id: string) => Entity | undefined,
): string | null {
  const owners = Object.entries(type.foreignKeys).flatMap(([field, kind]) => {
    const id = referenceOf(entity, field);
    const parent = ENTITIES[kind as EntityName];
    const other = id === null ? undefined : find(parent.name, id);
    return other === undefined ? [] : [`${parent.singular} '${labelOf(parent, other)}'`];
  });
  return owners.length === 0 ? null : owners.join(", ");
}

/** The schema of an entity with that of its plugin's config in it. */
function schemaFor(type: EntityType, entity: Entity, workspace: string, context: JudgeContext): Field {
  const schema = schemaOf(type, context.flavor);
  if (type.name !== "plugins") return schema;
  const found = context.plugins.find(String(entity.name), workspace || DEFAULT_WORKSPACE);
  if ("missing" in found) return schema;
  return { ...schema, fields: { ...schema.fields, config: found.schema } };
}

const HIDDEN = "***";
/** Kept by the gateway itself: what they are follows from the rest. */
const OWN_FIELDS = ["id", "ws_id", "created_at", "updated_at", "cert_digest"];

function* differences(type: EntityType, schema: Field, old: Entity, now: Entity): Generator<FieldChange> {
  const secret = new Set([...type.secretFields, ...type.quietFields]);
  for (const field of new Set([...Object.keys(now), ...Object.keys(old)]))
    if (!OWN_FIELDS.includes(field))
      yield* differing([field], schema.fields?.[field], old[field], now[field], secret);
}

function* differing(
  path: readonly string[],
  schema: Field | undefined,
  before: unknown,
  after: unknown,
  secret: ReadonlySet<string>,
): Generator<FieldChange> {
  if (equalJson(before ?? null, after ?? null)) return;
  const field = path.join(".");
  const isConfig = path[0] === "config";
  const isNamed = isConfig && path.some((name) => SECRET_NAME.test(name));
  const isSecret = secret.has(field) || isSecretField(schema);
  if (!isSecret && isObject(before) && isObject(after) && schema?.type !== "foreign") {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)]))
      yield* differing(
        [...path, name],
        schema?.fields?.[name] ?? schema?.values,
        before[name],
        after[name],
        secret,
      );
    return;
  }
  const shown = (value: unknown): unknown => {
    if (value === null || value === undefined) return null;
    return isSecret || (isNamed && holdsText(value)) ? HIDDEN : withoutSecretTexts(value, isConfig);
  };
  yield { field, before: shown(before), after: shown(after) };
}

/** A value that is shown whole, such as a list or what was not there before, without the secrets that are in it. */
function withoutSecretTexts(value: unknown, isConfig: boolean): unknown {
  if (typeof value === "string") return isConfig ? textWithoutSecrets(value, HIDDEN) : value;
  if (Array.isArray(value)) return value.map((each) => withoutSecretTexts(each, isConfig));
  if (!isObject(value)) return value;
  const shown = ([name, each]: [string, unknown]): [string, unknown] => [
    name,
    SECRET_NAME.test(name) && holdsText(each) ? HIDDEN : withoutSecretTexts(each, isConfig),
  ];
  return Object.fromEntries(Object.entries(value).map(shown));
}

/** A list whose elements hide something is not shown either. */
function isSecretField(field: Field | undefined): boolean {
  if (field === undefined) return false;
  if (field.encrypted === true || field.referenceable === true) return true;
  const inside = field.elements ?? (field.type === "map" ? field.values : undefined);
  return (
    inside !== undefined && (isSecretField(inside) || Object.values(inside.fields ?? {}).some(isSecretField))
  );
}

/** A plan as it is sent and printed: how many changes of each sort, and each of them. */
export function planBody({ changes }: Plan): {
  readonly summary: Readonly<Record<PlannedChange["action"], number>>;
  readonly changes: readonly Readonly<Record<string, unknown>>[];
} {
  const summary = { create: 0, update: 0, delete: 0 };
  for (const { action } of changes) summary[action]++;
  return { summary, changes: changes.map((change) => ({ ...change })) };
}
