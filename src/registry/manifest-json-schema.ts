/**
 * `plugin.yaml` as a JSON Schema (draft 2020-12), for editors: made from the schema by which manifests are judged.
 * What it lets pass the registry may still refuse (a host's spelling, a default that breaks its own rule); what it
 * refuses the registry refuses too.
 */
import { FIELD_TYPES, type Field, SCHEMA_RULES } from "@gatehouse/sdk";
import { WORKSPACE_LIMITS } from "../sandbox/limits.ts";
import { manifestSchema, type PatternCheck, RUNTIME_LIMITS } from "./manifest.ts";

type JsonSchema = Record<string, unknown>;

export function manifestJsonSchema(): JsonSchema {
  const top = ofField(manifestSchema(WORKSPACE_LIMITS));
  const properties = top.properties as Record<string, JsonSchema>;
  properties.schema = { ...properties.schema, $ref: "#/$defs/fields" };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "plugin.yaml of a Gatehouse plugin package",
    ...top,
    allOf: RULES_BETWEEN_FIELDS,
    $defs: { fields: FIELDS, field: FIELD },
  };
}

const given = (name: string, schema: JsonSchema): JsonSchema => ({
  required: [name],
  properties: { [name]: schema },
});
const withPhase = (phase: string) => given("phases", { contains: { const: phase } });

const RULES_BETWEEN_FIELDS: readonly JsonSchema[] = [
  {
    if: withPhase("response"),
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { phases: { items: { not: { enum: ["header_filter", "body_filter"] } } } } },
  },
  {
    if: withPhase("body_filter"),
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: given("grants", given("response_body_bytes", { exclusiveMinimum: 0 })),
  },
  ...RUNTIME_LIMITS.map(([limit, runtime]) => ({
    if: given("limits", given(limit, { type: "integer" })),
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: given("runtime", { const: runtime }),
  })),
];

function ofField(field: Field): JsonSchema {
  const { type, oneOf, between, gt, lenMin, lenMax, elements, fields } = field;
  const check = field.check as (Partial<PatternCheck> & ((value: unknown) => string | undefined)) | undefined;
  const out: JsonSchema = { ...TYPES[type] };
  if (field.description !== undefined) out.description = field.description;
  if (field.default !== undefined) out.default = field.default;
  // A value that has a name, and that this version does not serve, is none that an editor should offer.
  if (oneOf !== undefined)
    out.enum = oneOf.filter((value) => type !== "string" || check?.(value) === undefined);
  if (between !== undefined) [out.minimum, out.maximum] = between;
  if (gt !== undefined) out.exclusiveMinimum = gt;
  const [least, most] = type === "string" ? ["minLength", "maxLength"] : ["minItems", "maxItems"];
  if (lenMin !== undefined) out[least as string] = lenMin;
  if (lenMax !== undefined) out[most as string] = lenMax;
  if (check?.pattern !== undefined) out.pattern = check.pattern.source;
  if (elements !== undefined) out.items = ofField(elements);
  if (fields === undefined) return out;
  out.properties = Object.fromEntries(Object.entries(fields).map(([name, child]) => [name, ofField(child)]));
  const required = Object.keys(fields).filter((name) => isAskedFor(fields[name] as Field));
  if (required.length > 0) out.required = required;
  return { ...out, additionalProperties: false };
}

/** A required field that has a default, or is a record of such, may be left out. */
function isAskedFor({ required, default: standard, type }: Field): boolean {
  return required && standard === undefined && type !== "record";
}

/** A set's elements may be written twice; they count once. */
const TYPES: Readonly<Record<Field["type"], JsonSchema>> = {
  string: { type: "string" },
  integer: { type: "integer" },
  number: { type: "number" },
  boolean: { type: "boolean" },
  array: { type: "array" },
  set: { type: "array" },
  map: { type: "object" },
  record: { type: "object" },
  foreign: { type: "object" },
  any: {},
};

type Rule = (typeof SCHEMA_RULES)[number];

const FORMS: Readonly<Record<Rule[2], JsonSchema>> = {
  flag: { type: "boolean" },
  text: { type: "string" },
  pattern: { type: "string", format: "regex" },
  count: { type: "integer", minimum: 0 },
  number: { type: "number" },
  range: { type: "array", items: { type: "number" }, minItems: 2, maxItems: 2 },
  list: { type: "array" },
  value: {},
};

/** What each rule says of a value. */
export const ABOUT_RULES: Readonly<Record<Rule[1], string>> = {
  required: "Whether it has to be given, or to have a default.",
  default: "What it is when it is not given.",
  description: "For the reference and for forms.",
  one_of: "Values that are allowed.",
  not_one_of: "Values that are not allowed.",
  between: "Least and greatest number.",
  gt: "Number that it has to be greater than.",
  len_min: "Least length: bytes of a string, elements of an array or set, entries of a map.",
  len_max: "Greatest length.",
  match: "Regular expression that a string matches somewhere (RE2's syntax: linear time).",
  starts_with: "What a string starts with.",
  unique: "Told to tools; of plugin configs nothing is compared.",
  referenceable: "Whether `{vault://…}` may stand for it, in the operator's workspace.",
  encrypted: "Told to tools: the value is a secret.",
  auto: "Told to tools: the gateway makes it up.",
};

const FIELD: JsonSchema = {
  type: "object",
  required: ["type"],
  properties: {
    type: { enum: FIELD_TYPES },
    ...Object.fromEntries(
      SCHEMA_RULES.map(([, name, form]) => [name, { ...FORMS[form], description: ABOUT_RULES[name] }]),
    ),
    elements: { $ref: "#/$defs/field", description: "Of an array or a set." },
    keys: { $ref: "#/$defs/field", description: "Of a map; strings unless it says otherwise." },
    values: { $ref: "#/$defs/field", description: "Of a map." },
    fields: { description: "Of a record.", $ref: "#/$defs/fields/properties/fields" },
  },
  additionalProperties: false,
  allOf: [needs(["array", "set"], "elements"), needs(["map"], "values"), needs(["record"], "fields")],
};

function needs(types: readonly string[], name: string): JsonSchema {
  return {
    if: given("type", { enum: types }),
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { required: [name] },
  };
}

const FIELDS: JsonSchema = {
  type: "object",
  required: ["fields"],
  properties: {
    fields: {
      type: "array",
      items: {
        type: "object",
        minProperties: 1,
        maxProperties: 1,
        propertyNames: { pattern: "^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$" },
        additionalProperties: { $ref: "#/$defs/field" },
      },
    },
  },
  additionalProperties: false,
};
