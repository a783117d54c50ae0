/**
 * The schema of a package's config, written by a stranger: interpreted, never compiled to code, and its
 * patterns run in linear time.
 */
import { type Field, isObject, SchemaError, schemaFromJson, type Violation, validate } from "@gatehouse/sdk";
import { RE2JS } from "re2js";

/** Checks the schema of `config`: its shape, its patterns (linear-time syntax) and its defaults. */
export function checkConfigSchema(json: unknown): Violation[] {
  let schema: Field;
  try {
    if (isObject(json)) {
      const unknown = Object.keys(json).find((key) => key !== "fields");
      if (unknown !== undefined) return [{ path: ["schema", unknown], message: "unknown field" }];
    }
    schema = schemaFromJson(json);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    return [{ path: ["schema"], message: error.message }];
  }
  const violations: Violation[] = [];
  walk(schema, ["schema"], violations);
  return violations;
}

/** The config of an entity that names no field, or undefined if the schema asks for more than its defaults. */
export function defaultConfig(json: unknown): unknown {
  const { value, violations } = validate(schemaFromJson(json), {}, { compile: compileLinear });
  return violations.length === 0 ? value : undefined;
}

function walk(schema: Field, path: readonly (string | number)[], violations: Violation[]): void {
  if (schema.match !== undefined) {
    const problem = patternProblem(schema.match);
    if (problem !== undefined) {
      violations.push({ path: [...path, "match"], message: problem });
      return;
    }
  }
  for (const [name, child] of Object.entries(schema.fields ?? {})) walk(child, [...path, name], violations);
  for (const name of ["elements", "keys", "values"] as const) {
    const child = schema[name];
    if (child) walk(child, [...path, name], violations);
  }
  if (schema.default === undefined || violations.length > 0) return;
  for (const { message } of validate(schema, schema.default, { compile: compileLinear }).violations)
    violations.push({ path: [...path, "default"], message });
}

const MAX_PATTERN_LENGTH = 1024;
/** Steps that a pattern may compile to: bounds nested counts such as `(a{99}){99}`. */
const MAX_PROGRAM_SIZE = 4096;

function patternProblem(pattern: string): string | undefined {
  if (pattern.length > MAX_PATTERN_LENGTH) return `longer than ${MAX_PATTERN_LENGTH} characters`;
  try {
    const size = RE2JS.compile(pattern).programSize();
    return size > MAX_PROGRAM_SIZE ? `larger than ${MAX_PROGRAM_SIZE} steps; use smaller counts` : undefined;
  } catch (error) {
    return `not a valid regex: ${(error as Error).message}`;
  }
}

/** Compiles a stranger's pattern to a matcher that runs in linear time. */
function compileLinear(pattern: string): { test(text: string): boolean } {
  const compiled = RE2JS.compile(pattern);
  return { test: (text) => compiled.matcher(text).find() };
}
