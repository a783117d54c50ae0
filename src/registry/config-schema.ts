/**
 * The schema of a package's config, written by a stranger: interpreted, never compiled to code, and its
 * patterns run in linear time.
 */
import {
  type Field,
  isObject,
  SchemaError,
  schemaFromJson,
  type ValidateOptions,
  type Violation,
  validate,
} from "@gatehouse/sdk";
import { RE2JS } from "re2js";

/** What is wrong with a schema. `path` names fields; `at` leads to the place in the manifest. */
export interface SchemaViolation extends Violation {
  readonly at: Path;
}

type Path = Violation["path"];

/** Checks the schema of `config`: its shape, its patterns (linear-time syntax) and its defaults. */
export function checkConfigSchema(json: unknown): SchemaViolation[] {
  const violations: SchemaViolation[] = (isObject(json) ? Object.keys(json) : [])
    .filter((key) => key !== "fields")
    .map((key) => ({ path: ["schema", key], at: ["schema", key], message: "unknown field" }));
  let schema: Field;
  try {
    schema = schemaFromJson(json);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const { problems } = error;
    const told = problems.map(({ path, at, message }, i) => ({
      path: problems.length === 1 ? ["schema"] : ["schema", i],
      at: ["schema", ...at],
      message: `${path}: ${message}`,
    }));
    return [...violations, ...told];
  }
  const state = { violations, compile: boundedPatterns(), patterns: new Set<string>(), characters: 0 };
  walk(schema, ["schema"], ["schema"], state);
  return violations;
}

/** The config of an entity that names no field, or undefined if the schema asks for more than its defaults. */
export function defaultConfig(json: unknown): unknown {
  const { value, violations } = validate(schemaFromJson(json), {}, { compile: boundedPatterns() });
  return violations.length === 0 ? value : undefined;
}

interface Walk {
  readonly violations: SchemaViolation[];
  readonly compile: Compile;
  /** Those that have been compiled. */
  readonly patterns: Set<string>;
  characters: number;
}

function walk(schema: Field, path: Path, at: Path, state: Walk): void {
  const { violations, compile } = state;
  if (schema.match !== undefined) {
    const problem = patternProblem(schema.match, state);
    if (problem !== undefined) {
      violations.push({ path: [...path, "match"], at: [...at, "match"], message: problem });
      return;
    }
  }
  for (const [i, [name, child]] of Object.entries(schema.fields ?? {}).entries())
    walk(child, [...path, name], [...at, "fields", i, name], state);
  for (const name of ["elements", "keys", "values"] as const) {
    const child = schema[name];
    if (child) walk(child, [...path, name], [...at, name], state);
  }
  if (schema.default === undefined || violations.length > 0) return;
  for (const { message } of validate(schema, schema.default, { compile }).violations)
    violations.push({ path: [...path, "default"], at: [...at, "default"], message });
}

const MAX_PATTERN_LENGTH = 1024;
/** Steps that a pattern may compile to: bounds nested counts such as `(a{99}){99}`. */
const MAX_PROGRAM_SIZE = 4096;

/** Of all patterns of a schema, each counted once: a class of letters takes some 200 microseconds to compile. */
export const MAX_PATTERNS = 100;
export const MAX_PATTERN_CHARACTERS = 8192;

function patternProblem(pattern: string, state: Walk): string | undefined {
  if (pattern.length > MAX_PATTERN_LENGTH) return `longer than ${MAX_PATTERN_LENGTH} characters`;
  if (state.patterns.has(pattern)) return undefined;
  state.patterns.add(pattern);
  state.characters += pattern.length;
  if (state.patterns.size > MAX_PATTERNS) return `more than ${MAX_PATTERNS} patterns in one schema`;
  if (state.characters > MAX_PATTERN_CHARACTERS)
    return `patterns of more than ${MAX_PATTERN_CHARACTERS} characters in one schema`;
  try {
    const size = RE2JS.compile(pattern).programSize();
    return size > MAX_PROGRAM_SIZE ? `larger than ${MAX_PROGRAM_SIZE} steps; use smaller counts` : undefined;
  } catch (error) {
    return `not a valid regex: ${(error as Error).message}`;
  }
}

type Compile = NonNullable<ValidateOptions["compile"]>;

/**
 * Characters times steps of their patterns that one config may be matched for. Linear time is this: the worst
 * patterns take 130 nanoseconds for each (measured), and the thread that matches runs much else.
 */
export const MAX_MATCHING = 500_000;

/**
 * Compiles a stranger's patterns for the check of one config. They run in linear time, and all together in bounded
 * time. `known` keeps what was compiled for further configs.
 */
export function boundedPatterns(known = new Map<string, RE2JS>()): Compile {
  let left = MAX_MATCHING;
  return (pattern) => ({
    test(text) {
      let compiled = known.get(pattern);
      if (compiled === undefined) {
        compiled = RE2JS.compile(pattern);
        known.set(pattern, compiled);
      }
      left -= (text.length + 1) * compiled.programSize();
      return left < 0 ? "too long, with what else is to be matched, for its pattern" : compiled.test(text);
    },
  });
}
