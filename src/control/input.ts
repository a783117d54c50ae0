/**
 * What a client sends for one entity, on its way to what the schemas judge: shorthands written out, foreign keys
 * resolved to ids, and a partial change put upon the entity as it is.
 */
import { type Field, isObject, type Violation } from "@gatehouse/sdk";
import { ENTITIES, type EntityName, type EntityType } from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import { isUuid } from "../entities/fields.ts";
import type { Entity } from "../entities/relations.ts";
import { withoutSecrets } from "../entities/shown.ts";
import { keyText, WriteRefused } from "./refusal.ts";

export type Input = Readonly<Record<string, unknown>>;

/** The fields that shorthands stand for in their place. A field that is written out wins over one. */
export function withoutShorthands({ shorthands }: EntityType, input: Input, wrong: Violation[]): Input {
  if (shorthands === undefined) return input;
  const out: Record<string, unknown> = { ...input };
  for (const [name, expand] of Object.entries(shorthands)) {
    if (!Object.hasOwn(out, name)) continue;
    const value = out[name];
    delete out[name];
    if (value === null) continue;
    const fields = expand(value);
    if (typeof fields === "string") wrong.push({ path: [name], message: fields });
    else
      for (const [field, part] of Object.entries(fields)) if (!Object.hasOwn(input, field)) out[field] = part;
  }
  return out;
}

/**
 * Foreign keys as `{ id }`: clients may write the other's endpoint key in place of its id.
 * @throws {WriteRefused} if nobody has that key.
 */
export function withResolvedKeys(
  type: EntityType,
  input: Input,
  workspaceId: string,
  index: EntityIndex,
  wrong: Violation[],
): Input {
  const out: Record<string, unknown> = { ...input };
  const unresolved: [field: string, key: string, parent: EntityName, value: string][] = [];
  for (const [field, kind] of Object.entries(type.foreignKeys) as [string, EntityName][]) {
    const value = out[field];
    if (value === undefined || value === null) continue;
    const { endpointKey } = ENTITIES[kind];
    if (!isObject(value)) continue; // the schema says so
    for (const name of Object.keys(value))
      if (name !== "id" && name !== endpointKey)
        wrong.push({ path: [field, name], message: "unknown field" });
    if (typeof value.id === "string") {
      if (!isUuid(value.id)) wrong.push({ path: [field, "id"], message: "expected a valid UUID" });
      out[field] = { id: value.id };
      continue;
    }
    const key = value[endpointKey];
    if (typeof key !== "string" || value.id !== undefined) {
      wrong.push({
        path: [field, "id"],
        message: value.id === undefined ? "missing primary key" : "expected a string",
      });
      out[field] = { id: "" };
      continue;
    }
    const found = index.named(kind, workspaceId, key);
    if (found === undefined) unresolved.push([field, endpointKey, kind, key]);
    else out[field] = { id: found.id };
  }
  if (unresolved.length > 0) throw foreignKeysUnresolved(unresolved);
  return out;
}

function foreignKeysUnresolved(
  keys: readonly (readonly [field: string, key: string, parent: EntityName, value: string])[],
): WriteRefused {
  const fields: Record<string, unknown> = {};
  const lines = keys.map(([field, key, parent, value]) => {
    const message = `the foreign key cannot be resolved with '${keyText({ [key]: value })}' for an existing '${parent}' entity`;
    fields[field] = { [key]: message };
    return `${field}.${key}: ${message}`;
  });
  const count = keys.length === 1 ? "foreign key unresolved" : `${keys.length} foreign keys unresolved`;
  return new WriteRefused("foreignKeysUnresolved", `${count} (${lines.join("; ")})`, fields);
}

/** A null says that the default holds; so fields that are null are left out. */
export function withoutNulls(
  schema: Field,
  input: Input,
  others: Readonly<Record<string, Field>> = {},
): Input {
  return Object.fromEntries(
    Object.entries(input).flatMap(([name, value]) => {
      const child = fieldOf(schema, name, others);
      // One that nobody knows is left in, to be told.
      if (child !== undefined && (value === null || value === undefined)) return [];
      return [[name, child?.type === "record" && isObject(value) ? withoutNulls(child, value) : value]];
    }),
  );
}

/** A client may write any name, those of what objects inherit included. */
function fieldOf(schema: Field, name: string, others: Readonly<Record<string, Field>>): Field | undefined {
  for (const fields of [others, schema.fields ?? {}]) if (Object.hasOwn(fields, name)) return fields[name];
  return undefined;
}

/**
 * A partial change upon a whole: records are merged, everything else takes the place of what was, and a null brings the
 * default back.
 * @param others schemas of fields that the schema knows nothing about, such as a plugin's config.
 */
export function merged(
  schema: Field,
  base: Input,
  change: Input,
  others: Readonly<Record<string, Field>> = {},
): Record<string, unknown> {
  const out = new Map(Object.entries(base));
  for (const [name, value] of Object.entries(change)) {
    const child = fieldOf(schema, name, others);
    const before = out.get(name);
    if (child !== undefined && (value === null || value === undefined)) out.delete(name);
    else if (child?.type !== "record" || !isObject(value)) out.set(name, value);
    else out.set(name, isObject(before) ? merged(child, before, value) : withoutNulls(child, value));
  }
  return Object.fromEntries(out);
}

/** An entity's own fields. */
export function fieldsOf({ ws_id: _, ...fields }: Entity): Record<string, unknown> {
  return fields;
}

/**
 * A client that writes an entity as it was shown to it has never seen its private keys: what stands in their place means
 * that they stay.
 */
export function withKeptSecrets(type: EntityType, change: Input, old: Entity): Record<string, unknown> {
  const shown = withoutSecrets(type, old) as Readonly<Record<string, unknown>>;
  const out: Record<string, unknown> = { ...change };
  for (const dotted of type.secretFields) {
    const [field, inner] = dotted.split(".") as [string, string?];
    const [given, before, kept] = [out[field], shown[field], old[field]];
    if (inner === undefined) {
      if (typeof given === "string" && given === before) out[field] = kept;
    } else if (isObject(given) && isObject(before) && isObject(kept) && typeof given[inner] === "string")
      if (given[inner] === before[inner]) out[field] = { ...given, [inner]: kept[inner] };
  }
  return out;
}
