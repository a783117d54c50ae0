/**
 * Schemas as Kong's `/schemas/...` JSON, both ways: written for the Admin API, read from a package's
 * `plugin.yaml`. A field is a single-key object in a list, because the order of fields is part of the format.
 */
import { type Field, type FieldType, type Match, type RecordCheck, record } from "./schema.ts";
import { isObject } from "./validate.ts";

const RULES = [
  ["required", "required"],
  ["default", "default"],
  ["description", "description"],
  ["oneOf", "one_of"],
  ["notOneOf", "not_one_of"],
  ["between", "between"],
  ["gt", "gt"],
  ["lenMin", "len_min"],
  ["lenMax", "len_max"],
  ["match", "match"],
  ["startsWith", "starts_with"],
  ["unique", "unique"],
  ["referenceable", "referenceable"],
  ["encrypted", "encrypted"],
  ["auto", "auto"],
] as const;

/** Rules of the gateway's own schemas, which a stranger's cannot have. */
const OWN_RULES = [
  ["matchNone", "match_none"],
  ["uuid", "uuid"],
  ["timestamp", "timestamp"],
  ["reference", "reference"],
  ["onDelete", "on_delete"],
  ["uniqueAcrossWs", "unique_across_ws"],
] as const;

const TYPES: readonly FieldType[] = [
  "string",
  "integer",
  "number",
  "boolean",
  "array",
  "set",
  "map",
  "record",
  "foreign",
  "any",
];

/** What a stranger's schema may use: no pointers to entities, and sizes that an interpreter can bear. */
const MAX_FIELDS = 500;
const MAX_DEPTH = 16;

/** The JSON form of a schema. Rules that are off are left out, as Kong does. */
export function schemaToJson(schema: Field): Record<string, unknown> {
  const out: Record<string, unknown> = { type: schema.type };
  for (const [ours, theirs] of [...RULES, ...OWN_RULES]) {
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

/**
 * Reads `{ fields: [{ name: {...} }, ...] }` as somebody else wrote it.
 * @throws {SchemaError} naming the place and what is allowed there.
 */
export function schemaFromJson(json: unknown): Field<Record<string, unknown>, true> {
  const reader = new Reader();
  return record(reader.fields(json, "schema", 0)) as unknown as Field<Record<string, unknown>, true>;
}

export class SchemaError extends Error {
  readonly path: string;

  constructor(path: string, message: string) {
    super(`${path}: ${message}`);
    this.name = "SchemaError";
    this.path = path;
  }
}

class Reader {
  #count = 0;

  fields(json: unknown, path: string, depth: number): Record<string, Field> {
    if (!isObject(json) || !Array.isArray(json.fields))
      throw new SchemaError(path, "expected { fields: [ { name: { type, ... } }, ... ] }");
    const out: Record<string, Field> = {};
    for (const [i, entry] of json.fields.entries()) {
      const names = isObject(entry) ? Object.keys(entry) : [];
      const name = names[0];
      if (!isObject(entry) || names.length !== 1 || name === undefined)
        throw new SchemaError(`${path}.fields[${i}]`, "expected an object with one key, the field's name");
      if (!/^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/.test(name) || name === "__proto__")
        throw new SchemaError(`${path}.fields[${i}]`, `a field may not be named '${name.slice(0, 64)}'`);
      if (Object.hasOwn(out, name)) throw new SchemaError(path, `field '${name}' is declared twice`);
      out[name] = this.field(entry[name], `${path}.${name}`, depth + 1);
    }
    return out;
  }

  field(json: unknown, path: string, depth: number): Field {
    if (depth > MAX_DEPTH) throw new SchemaError(path, `nested deeper than ${MAX_DEPTH} levels`);
    if (++this.#count > MAX_FIELDS) throw new SchemaError(path, `more than ${MAX_FIELDS} fields`);
    if (!isObject(json)) throw new SchemaError(path, "expected an object with a type");
    const type = TYPES.find((known) => known === json.type);
    if (!type || type === "foreign")
      throw new SchemaError(path, `type must be one of: ${TYPES.filter((t) => t !== "foreign").join(", ")}`);
    const out: Record<string, unknown> = { type, required: json.required === true };
    const nested = ["type", "elements", "keys", "values", "fields"];
    const allowed = new Map<string, string>(
      RULES.map(([ours, theirs]) => [theirs as string, ours as string] as const),
    );
    for (const key of Object.keys(json)) {
      if (nested.includes(key)) continue;
      const ours = allowed.get(key);
      if (!ours)
        throw new SchemaError(`${path}.${key}`, `unknown rule; allowed: ${[...allowed.keys()].join(", ")}`);
      out[ours] = json[key];
    }
    checkRules(out, path);
    if (type === "array" || type === "set")
      out.elements = this.field(json.elements, `${path}.elements`, depth + 1);
    if (type === "map") {
      out.keys = this.field(json.keys ?? { type: "string" }, `${path}.keys`, depth + 1);
      out.values = this.field(json.values, `${path}.values`, depth + 1);
    }
    if (type === "record") out.fields = this.fields(json, path, depth);
    return out as unknown as Field;
  }
}

function checkRules(rules: Record<string, unknown>, path: string): void {
  const expect = (name: string, ok: boolean, what: string) => {
    if (rules[name] !== undefined && !ok) throw new SchemaError(`${path}.${name}`, `expected ${what}`);
  };
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  const between = rules.between;
  expect(
    "between",
    Array.isArray(between) && between.length === 2 && between.every((n) => typeof n === "number"),
    "two numbers",
  );
  expect("gt", typeof rules.gt === "number", "a number");
  expect("lenMin", isCount(rules.lenMin), "a whole number");
  expect("lenMax", isCount(rules.lenMax), "a whole number");
  expect("oneOf", Array.isArray(rules.oneOf), "a list");
  expect("notOneOf", Array.isArray(rules.notOneOf), "a list");
  expect("match", typeof rules.match === "string", "a regular expression");
  expect("startsWith", typeof rules.startsWith === "string", "a string");
  expect("description", typeof rules.description === "string", "a string");
}
