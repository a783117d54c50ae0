/**
 * Checks a value against a schema, fills in defaults, and says everything that is wrong at once.
 *
 * The schema is interpreted: nothing is compiled to code, so a schema written by a stranger is safe to use.
 * Messages are Kong's, word for word, because Kong's tools show them and people search for them.
 */
import type { Field, Match, RecordCheck } from "./schema.ts";

/** One thing that is wrong. `path` leads to it from the top of the value; indexes of lists count from 0. */
export interface Violation {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export interface ValidateOptions {
  /**
   * Compiles a `match` pattern. The default is the engine's own RegExp, which a hostile pattern can hang:
   * whoever checks against a schema of somebody else passes a linear-time engine. `test` may answer with words
   * for why it cannot tell.
   */
  compile?: (pattern: string) => { test(text: string): boolean | string };
  /** Leave absent fields absent in place of filling in defaults and nulls. */
  partial?: boolean;
}

export interface Validated<T> {
  /** The value with defaults filled in. Sound only if `violations` is empty. */
  readonly value: T;
  readonly violations: readonly Violation[];
}

const MAX_DEPTH = 32;
const TOO_DEEP = `nested deeper than ${MAX_DEPTH} levels`;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const encoder = new TextEncoder();

export function validate<T>(schema: Field<T>, input: unknown, options: ValidateOptions = {}): Validated<T> {
  const walk = new Walk(options);
  const value = walk.field(schema, input, 0) as T;
  return { value, violations: walk.violations };
}

/**
 * The violations as the `fields` object of Kong's errors: nested by path, `@entity` holding a list. Elements
 * of lists appear as arrays whose sound elements are null.
 */
export function violationFields(violations: readonly Violation[]): Record<string, unknown> {
  const top: Record<string, unknown> = Object.create(null);
  for (const { path, message } of violations) {
    let node: Record<string, unknown> | unknown[] = top;
    const keys = path.length === 0 ? ["@entity"] : path;
    keys.forEach((key, i) => {
      const container = node as Record<string | number, unknown>;
      if (i === keys.length - 1) {
        container[key] = key === "@entity" ? [...((container[key] as string[]) ?? []), message] : message;
        return;
      }
      const wantsArray = typeof keys[i + 1] === "number";
      if (typeof container[key] !== "object" || container[key] === null) {
        container[key] = wantsArray ? [] : Object.create(null);
      }
      node = container[key] as Record<string, unknown>;
    });
  }
  return top;
}

class Walk {
  readonly violations: Violation[] = [];
  readonly #options: ValidateOptions;
  /** Where the walk is. Copied for a violation only: a configuration has millions of fields, and few are wrong. */
  readonly #path: (string | number)[] = [];

  constructor(options: ValidateOptions) {
    this.#options = options;
  }

  field(schema: Field, input: unknown, depth: number): unknown {
    if (depth > MAX_DEPTH) return this.#wrong(TOO_DEEP);
    switch (schema.type) {
      case "string":
        return this.#string(schema, input);
      case "integer":
      case "number":
        return this.#number(schema, input);
      case "boolean":
        if (typeof input !== "boolean") return this.#wrong("expected a boolean");
        return this.#custom(schema, input);
      case "array":
      case "set":
        return this.#list(schema, input, depth);
      case "map":
        return this.#map(schema, input, depth);
      case "record":
        return this.#record(schema, input, depth);
      case "foreign":
        return this.#foreign(schema, input);
      case "any":
        if (isDeep(input, MAX_DEPTH - depth)) return this.#wrong(TOO_DEEP);
        return this.#custom(schema, input);
    }
  }

  /** A field at `key` below the place of the walk. */
  #below(key: string | number, schema: Field, input: unknown, depth: number): unknown {
    this.#path.push(key);
    const value = this.field(schema, input, depth + 1);
    this.#path.pop();
    return value;
  }

  #wrong(message: string, below: readonly string[] = []): undefined {
    this.violations.push({ path: [...this.#path, ...below], message });
    return undefined;
  }

  #custom<T>(schema: Field, value: T): T | undefined {
    const message = schema.check?.(value as never);
    return message === undefined ? value : this.#wrong(message);
  }

  #string(schema: Field, input: unknown): unknown {
    if (typeof input !== "string") return this.#wrong("expected a string");
    // Half a surrogate pair has no UTF-8: stores, wires and hashes would each make something else of it.
    if (!input.isWellFormed()) return this.#wrong("expected valid UTF-8");
    if (schema.referenceable && isReference(input)) return input;
    if (schema.oneOf && !schema.oneOf.includes(input)) return this.#oneOf(schema);
    if (schema.notOneOf?.includes(input))
      return this.#wrong(`must not be one of: ${schema.notOneOf.join(", ")}`);
    const lenMin = schema.lenMin ?? 1; // Kong refuses empty strings unless a field allows them
    if (input.length === 0 && lenMin > 0) return this.#wrong("length must be at least 1");
    if (!this.#textLength(schema, input)) return undefined;
    if (schema.startsWith !== undefined && !input.startsWith(schema.startsWith))
      return this.#wrong(`should start with: ${schema.startsWith}`);
    if (schema.uuid && !UUID.test(input)) return this.#wrong("expected a valid UUID");
    for (const { pattern, err } of schema.matchNone ?? []) {
      // Only schemas of our own have these.
      if (new RegExp(pattern, "u").test(input)) return this.#wrong(err);
    }
    if (schema.match !== undefined) {
      const compile = this.#options.compile ?? ((pattern: string) => new RegExp(pattern, "u"));
      const matches = compile(schema.match).test(input);
      if (typeof matches === "string") return this.#wrong(matches);
      if (!matches) return this.#wrong(`invalid value: ${input}`);
    }
    return this.#custom(schema, input);
  }

  #number(schema: Field, input: unknown): unknown {
    if (typeof input !== "number" || !Number.isFinite(input))
      return this.#wrong(schema.type === "integer" ? "expected an integer" : "expected a number");
    if (schema.type === "integer" && !Number.isSafeInteger(input)) return this.#wrong("expected an integer");
    if (schema.oneOf && !schema.oneOf.includes(input)) return this.#oneOf(schema);
    if (schema.between && (input < schema.between[0] || input > schema.between[1]))
      return this.#wrong(`value should be between ${schema.between[0]} and ${schema.between[1]}`);
    if (schema.timestamp && input < 0) return this.#wrong("expected a valid timestamp");
    if (schema.gt !== undefined && !(input > schema.gt))
      return this.#wrong(`value must be greater than ${schema.gt}`);
    return this.#custom(schema, input);
  }

  #oneOf(schema: Field): undefined {
    return this.#wrong(`expected one of: ${schema.oneOf?.join(", ")}`);
  }

  /** The length of a text is that of its UTF-8, at least one byte and at most three for each UTF-16 unit. */
  #textLength(schema: Field, text: string): boolean {
    const { lenMin = 0, lenMax = Number.POSITIVE_INFINITY } = schema;
    if (text.length >= lenMin && text.length * 3 <= lenMax) return true;
    return this.#length(schema, encoder.encode(text).length);
  }

  #length(schema: Field, length: number): boolean {
    if (schema.lenMin !== undefined && length < schema.lenMin) {
      this.#wrong(`length must be at least ${schema.lenMin}`);
      return false;
    }
    if (schema.lenMax !== undefined && length > schema.lenMax) {
      this.#wrong(`length must be at most ${schema.lenMax}`);
      return false;
    }
    return true;
  }

  #list(schema: Field, input: unknown, depth: number): unknown {
    if (!Array.isArray(input))
      return this.#wrong(schema.type === "set" ? "expected a set" : "expected an array");
    if (!this.#length(schema, input.length)) return undefined;
    const before = this.violations.length;
    let values = input.map((element, i) => this.#below(i, schema.elements as Field, element, depth));
    if (this.violations.length > before) return undefined;
    if (schema.type === "set") values = [...new Set(values)];
    return this.#custom(schema, values);
  }

  #map(schema: Field, input: unknown, depth: number): unknown {
    if (!isObject(input)) return this.#wrong("expected a map");
    const names = Object.keys(input);
    if (!this.#length(schema, names.length)) return undefined;
    const out: Record<string, unknown> = Object.create(null);
    for (const name of names) {
      if (schema.keys) this.#below(name, schema.keys, name, depth);
      out[name] = this.#below(name, schema.values as Field, input[name], depth);
    }
    return this.#custom(schema, out);
  }

  #foreign(schema: Field, input: unknown): unknown {
    if (!isObject(input) || typeof input.id !== "string") return this.#wrong("expected a record");
    return this.#custom(schema, { id: input.id });
  }

  #record(schema: Field, input: unknown, depth: number): unknown {
    if (!isObject(input)) return this.#wrong("expected a record");
    const fields = schema.fields ?? {};
    const out: Record<string, unknown> = {};
    const before = this.violations.length;
    for (const name of Object.keys(input)) {
      if (!Object.hasOwn(fields, name)) this.#wrong("unknown field", [name]);
    }
    for (const name in fields) {
      const child = fields[name] as Field;
      const given = Object.hasOwn(input, name) ? input[name] : undefined;
      if (given === undefined && this.#options.partial) continue;
      // A null asks for the default; where a value is required, it is a mistake.
      const absent = given === undefined || (given === null && !child.required);
      const value = absent ? fallback(child) : given;
      if (value === null || value === undefined) {
        out[name] = null;
        if (child.required && !child.auto) this.#wrong("required field missing", [name]);
        continue;
      }
      out[name] = this.#below(name, child, value, depth);
    }
    if (this.violations.length > before) return out;
    for (const check of schema.checks ?? []) this.#check(check, out);
    return this.#custom(schema, out);
  }

  #check(check: RecordCheck, value: Record<string, unknown>): void {
    if (check.kind === "custom") {
      for (const [name, message] of Object.entries(check.run(value) ?? {})) {
        this.#wrong(message, name === "@entity" ? ["@entity"] : name.split("."));
      }
      return;
    }
    if (check.kind === "conditional") return this.#conditional(check, value);
    if (check.kind === "subschema") return this.#subschema(check, value);
    const names = check.fields.map((name) => `'${name}'`).join(", ");
    const given = check.fields.map((name) => value[name]).filter((each) => !isEmpty(each));
    const present = given.length;
    if (check.kind === "at_least_one_of" && present === 0)
      this.#wrong(`at least one of these fields must be non-empty: ${names}`, ["@entity"]);
    if (check.kind === "only_one_of" && present !== 1)
      this.#wrong(`exactly one of these fields must be non-empty: ${names}`, ["@entity"]);
    if (check.kind === "mutually_exclusive" && present > 1)
      this.#wrong(`only one or none of these fields must be set: ${names}`, ["@entity"]);
    if (check.kind === "mutually_required" && present > 0 && present < check.fields.length)
      this.#wrong(`all or none of these fields must be set: ${names}`, ["@entity"]);
    if (check.kind === "distinct" && new Set(given).size < present)
      this.#wrong(`values of these fields must be distinct: ${names}`, ["@entity"]);
  }

  #conditional(
    { ifField, ifMatch, thenField, thenMatch }: Extract<RecordCheck, { kind: "conditional" }>,
    value: Record<string, unknown>,
  ): void {
    if (!matches(ifMatch, value[ifField]) || matches(thenMatch, value[thenField])) return;
    this.#wrong(`failed conditional validation given value of field '${ifField}'`, ["@entity"]);
    this.#wrong(mismatch(thenMatch), [thenField]);
  }

  /** Fills in the defaults of the schema that is found. */
  #subschema(
    { key, field, schemas, unknown }: Extract<RecordCheck, { kind: "subschema" }>,
    value: Record<string, unknown>,
  ): void {
    const name = String(value[key]);
    if (!Object.hasOwn(schemas, name)) {
      this.#wrong(unknown(name), [key]);
      return;
    }
    value[field] = this.#below(field, schemas[name] as Field, value[field] ?? {}, 0);
  }
}

function matches(match: Match, value: unknown): boolean {
  const isSet = value !== null && value !== undefined;
  if ("eq" in match) return !isSet;
  if ("required" in match) return isSet;
  return "oneOf" in match ? match.oneOf.includes(value) : !match.notOneOf.includes(value);
}

/** What is told of a value that does not match, in Kong's words. */
function mismatch(match: Match): string {
  if ("eq" in match) return "value must be null";
  if ("required" in match) return "required field missing";
  return "oneOf" in match
    ? `expected one of: ${match.oneOf.join(", ")}`
    : `must not be one of: ${match.notOneOf.join(", ")}`;
}

/** What an absent field takes: its default, an empty record for a required one, or nothing. */
function fallback(schema: Field): unknown {
  if (schema.default !== undefined) return structuredCloneJson(schema.default);
  return schema.type === "record" && schema.required ? {} : null;
}

function structuredCloneJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(structuredCloneJson);
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, structuredCloneJson(part)]));
}

/** Whether a text stands for what a vault holds: `{vault://<vault>/<name>}`. It is no value of the field. */
export const isReference = (text: string): boolean => text.startsWith("{vault://") && text.endsWith("}");

/** Whether a value has more levels than that. */
function isDeep(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels <= 0 || Object.values(value).some((part) => isDeep(part, levels - 1));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}
