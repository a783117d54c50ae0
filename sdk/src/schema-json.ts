/**
 * Schemas as Kong's `/schemas/...` JSON, both ways: written for the Admin API, read from a package's
 * `plugin.yaml`. A field is a single-key object in a list, because the order of fields is part of the format.
 */
import { type Field, type FieldType, type Match, type RecordCheck, record } from "./schema.ts";
import { isObject } from "./validate.ts";

/** What a rule's value may be. */
const FORMS = {
  flag: { is: (value: unknown) => typeof value === "boolean", what: "true or false" },
  text: { is: (value: unknown) => typeof value === "string", what: "a string" },
  pattern: { is: (value: unknown) => typeof value === "string", what: "a regular expression" },
  count: {
    is: (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0,
    what: "a whole number",
  },
  number: { is: (value: unknown) => typeof value === "number", what: "a number" },
  range: {
    is: (value: unknown) =>
      Array.isArray(value) && value.length === 2 && value.every((n) => typeof n === "number"),
    what: "two numbers",
  },
  list: { is: Array.isArray as (value: unknown) => boolean, what: "a list" },
  value: { is: () => true, what: "a value" },
} as const;

/** The rules that a field of a plugin's config may have: our name, the name in a schema, what its value may be. */
export const SCHEMA_RULES = [
  ["required", "required", "flag"],
  ["default", "default", "value"],
  ["description", "description", "text"],
  ["oneOf", "one_of", "list"],
  ["notOneOf", "not_one_of", "list"],
  ["between", "between", "range"],
  ["gt", "gt", "number"],
  ["lenMin", "len_min", "count"],
  ["lenMax", "len_max", "count"],
  ["match", "match", "pattern"],
  ["startsWith", "starts_with", "text"],
  ["unique", "unique", "flag"],
  ["referenceable", "referenceable", "flag"],
  ["encrypted", "encrypted", "flag"],
  ["auto", "auto", "flag"],
] as const satisfies readonly (readonly [keyof Field, string, keyof typeof FORMS])[];

/** The types that it may have. */
export const FIELD_TYPES = [
  "string",
  "integer",
  "number",
  "boolean",
  "array",
  "set",
  "map",
  "record",
  "any",
] as const satisfies readonly FieldType[];

/** Rules of the gateway's own schemas, which a stranger's cannot have. */
const OWN_RULES = [
  ["matchNone", "match_none"],
  ["uuid", "uuid"],
  ["timestamp", "timestamp"],
  ["reference", "reference"],
  ["onDelete", "on_delete"],
  ["uniqueAcrossWs", "unique_across_ws"],
] as const;

/** Sizes of a stranger's schema that an interpreter can bear. */
export const MAX_SCHEMA_FIELDS = 500;
export const MAX_SCHEMA_DEPTH = 16;
/** Whoever has that many is told no more. */
const MAX_PROBLEMS = 50;

/** The JSON form of a schema. Rules that are off are left out, as Kong does. */
export function schemaToJson(schema: Field): Record<string, unknown> {
  const out: Record<string, unknown> = { type: schema.type };
  for (const [ours, theirs] of [...SCHEMA_RULES, ...OWN_RULES]) {
    const value = schema[ours];
    if (value !== undefined && (value !== false || ours === "default")) out[theirs] = value;
  }
  if (schema.elements) out.elements = schemaToJson(schema.elements);
  if (schema.keys) out.keys = schemaToJson(schema.keys);
  if (schema.values) out.values = schemaToJson(schema.values);
  if (schema.fields) out.fields = fieldsToJson(schema.fields);
  if (schema.checks) {
    const checks = schema.checks.flatMap(checkToJson);
    if (checks.length > 0) out.entity_checks = checks;
  }
  return out;
}

/** Kong tells of the rules that have a name, and so do we. */
function checkToJson(check: RecordCheck): object[] {
  if (check.kind === "custom" || check.kind === "subschema") return [];
  if (check.kind !== "conditional") return [{ [check.kind]: check.fields }];
  const { ifField, ifMatch, thenField, thenMatch } = check;
  return [
    {
      conditional: {
        if_field: ifField,
        if_match: matchToJson(ifMatch),
        then_field: thenField,
        then_match: matchToJson(thenMatch),
      },
    },
  ];
}

function matchToJson(match: Match): object {
  if ("oneOf" in match) return { one_of: match.oneOf };
  return "notOneOf" in match ? { not_one_of: match.notOneOf } : match;
}

export function fieldsToJson(fields: Readonly<Record<string, Field>>): Record<string, unknown>[] {
  return Object.entries(fields).map(([name, child]) => ({ [name]: schemaToJson(child) }));
}

/** One thing that is wrong with a schema. */
export interface SchemaProblem {
  /** Where, as people say it: `schema.window.between`. */
  readonly path: string;
  /** The same as keys and indexes from the schema's top: `["fields", 2, "window", "between"]`. */
  readonly at: readonly (string | number)[];
  readonly message: string;
}

/** A schema that cannot be used. Its message is that of the first problem. */
export class SchemaError extends Error {
  override name = "SchemaError";
  readonly problems: readonly SchemaProblem[];

  constructor(problems: readonly [SchemaProblem, ...SchemaProblem[]]) {
    super(`${problems[0].path}: ${problems[0].message}`);
    this.problems = problems;
  }
}

/**
 * Reads `{ fields: [{ name: {...} }, ...] }` as somebody else wrote it.
 * @throws {SchemaError} naming every place that is wrong and what is allowed there.
 */
export function schemaFromJson(json: unknown): Field<Record<string, unknown>, true> {
  const reader = new Reader();
  const fields = reader.fields(json, { path: "schema", at: [] }, 0);
  const [first, ...others] = reader.problems;
  if (first !== undefined) throw new SchemaError([first, ...others]);
  return record(fields) as unknown as Field<Record<string, unknown>, true>;
}

const RULE_NAMES = SCHEMA_RULES.map(([, theirs]) => theirs).join(", ");

type Trail = Pick<SchemaProblem, "path" | "at">;

const below = ({ path, at }: Trail, name: string, ...more: (string | number)[]): Trail => ({
  path: `${path}.${name}`,
  at: [...at, ...more, name],
});

class Reader {
  readonly problems: SchemaProblem[] = [];
  #count = 0;
  #isTooLarge = false;

  fields(json: unknown, trail: Trail, depth: number): Record<string, Field> {
    const out: Record<string, Field> = {};
    if (!isObject(json) || !Array.isArray(json.fields)) {
      this.#wrong(trail, "expected { fields: [ { name: { type, ... } }, ... ] }");
      return out;
    }
    for (const [i, entry] of json.fields.entries()) {
      if (this.#isTooMuch(trail)) break;
      const place = { path: `${trail.path}.fields[${i}]`, at: [...trail.at, "fields", i] };
      const names = isObject(entry) ? Object.keys(entry) : [];
      const name = names[0];
      if (!isObject(entry) || names.length !== 1 || name === undefined)
        this.#wrong(place, "expected an object with one key, the field's name");
      else if (!/^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/.test(name) || name === "__proto__")
        this.#wrong(place, `a field may not be named '${name.slice(0, 64)}'`);
      else if (Object.hasOwn(out, name))
        this.#wrong({ ...place, path: trail.path }, `field '${name}' is declared twice`);
      else out[name] = this.field(entry[name], below(trail, name, "fields", i), depth + 1);
    }
    return out;
  }

  field(json: unknown, trail: Trail, depth: number): Field {
    this.#count++;
    const unusable: Field = { type: "any", required: false };
    if (depth > MAX_SCHEMA_DEPTH) this.#wrong(trail, `nested deeper than ${MAX_SCHEMA_DEPTH} levels`);
    else if (!isObject(json)) this.#wrong(trail, "expected an object with a type");
    else return this.#sound(json, trail, depth) ?? unusable;
    return unusable;
  }

  #sound(json: Record<string, unknown>, trail: Trail, depth: number): Field | undefined {
    const type = FIELD_TYPES.find((known) => known === json.type);
    if (!type) {
      this.#wrong(trail, `type must be one of: ${FIELD_TYPES.join(", ")}`);
      return undefined;
    }
    const out: Record<string, unknown> = { type, required: json.required === true };
    const nested = ["type", "elements", "keys", "values", "fields"];
    for (const [key, value] of Object.entries(json)) {
      if (nested.includes(key)) continue;
      const [ours, , form] = SCHEMA_RULES.find(([, theirs]) => theirs === key) ?? [];
      if (form === undefined) this.#wrong(below(trail, key), `unknown rule; allowed: ${RULE_NAMES}`);
      else if (FORMS[form].is(value)) out[ours] = value;
      else this.#wrong(below(trail, key), `expected ${FORMS[form].what}`);
    }
    if (type === "array" || type === "set")
      out.elements = this.field(json.elements, below(trail, "elements"), depth + 1);
    if (type === "map") {
      out.keys = this.field(json.keys ?? { type: "string" }, below(trail, "keys"), depth + 1);
      out.values = this.field(json.values, below(trail, "values"), depth + 1);
    }
    if (type === "record") out.fields = this.fields(json, trail, depth);
    return out as unknown as Field;
  }

  /** A schema that is too large or all wrong is not read to its end. */
  #isTooMuch(trail: Trail): boolean {
    if (this.#count < MAX_SCHEMA_FIELDS) return this.problems.length >= MAX_PROBLEMS;
    if (!this.#isTooLarge) this.#wrong(trail, `more than ${MAX_SCHEMA_FIELDS} fields`);
    this.#isTooLarge = true;
    return true;
  }

  #wrong({ path, at }: Trail, message: string): void {
    this.problems.push({ path, at, message });
  }
}
