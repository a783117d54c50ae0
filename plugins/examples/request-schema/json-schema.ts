/**
 * JSON Schema (draft 2020-12), as much of it as request bodies are described with: compiled once to closures, never
 * to code, which an isolate would not run. A keyword that is not known is an error and not a rule that nobody checks.
 */

/** One thing that does not fit. `pointer` leads to it (RFC 6901), empty for the whole. */
export interface Misfit {
  readonly pointer: string;
  readonly message: string;
}

type Check = (value: unknown, pointer: string, found: Misfit[]) => void;
type Schema = Readonly<Record<string, unknown>>;

/** They say something to people, and nothing about a value. */
const ANNOTATIONS: ReadonlySet<string> = new Set(
  "$schema $id $comment $defs title description default examples deprecated readOnly writeOnly format".split(
    " ",
  ),
);

/** @throws {TypeError} naming what is wrong with the schema. */
export function compileSchema(schema: unknown): (value: unknown) => Misfit[] {
  const compiler = new Compiler(schema);
  const check = compiler.compile(schema, "#");
  compiler.resolve();
  return (value) => {
    const found: Misfit[] = [];
    check(value, "", found);
    return found;
  };
}

class Compiler {
  readonly #root: unknown;
  /** By reference; filled before any value is checked. */
  readonly #named = new Map<string, Check | null>();

  constructor(root: unknown) {
    this.#root = root;
  }

  compile(schema: unknown, at: string): Check {
    if (schema === true) return () => undefined;
    if (schema === false)
      return (_, pointer, found) => void found.push({ pointer, message: "is not allowed" });
    if (!isObject(schema)) throw new TypeError(`${at}: expected a schema, an object or a boolean`);
    const checks: Check[] = [];
    for (const [keyword, given] of Object.entries(schema)) {
      if (ANNOTATIONS.has(keyword)) continue;
      const make = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
      if (make === undefined) throw new TypeError(`${at}: keyword '${keyword}' is not supported`);
      const check = make(given, `${at}/${keyword}`, this, schema);
      if (check !== null) checks.push(check);
    }
    return checks.length === 1
      ? (checks[0] as Check)
      : (value, pointer, found) => {
          for (const check of checks) check(value, pointer, found);
        };
  }

  compileList(given: unknown, at: string): Check[] {
    if (!Array.isArray(given) || given.length === 0) throw new TypeError(`${at}: expected a list of schemas`);
    return given.map((schema, i) => this.compile(schema, `${at}/${i}`));
  }

  reference(given: unknown, at: string): Check {
    if (typeof given !== "string" || !/^#(?:\/\$defs\/[^/]+)?$/.test(given))
      throw new TypeError(`${at}: expected "#" or "#/$defs/name"`);
    if (!this.#named.has(given)) this.#named.set(given, null);
    return (value, pointer, found) => this.#named.get(given)?.(value, pointer, found);
  }

  /** Compiles what references name, and what those name. */
  resolve(): void {
    for (const [reference] of this.#named) {
      const defs = isObject(this.#root) && isObject(this.#root.$defs) ? this.#root.$defs : {};
      const name = reference.slice("#/$defs/".length);
      if (reference !== "#" && !Object.hasOwn(defs, name)) throw new TypeError(`${reference} is not there`);
      this.#named.set(reference, this.compile(reference === "#" ? this.#root : defs[name], reference));
    }
  }
}

type Keyword = (given: unknown, at: string, compiler: Compiler, schema: Schema) => Check | null;

/** A rule about values of one kind; the others keep it by being something else. */
function bound<T>(
  is: (value: unknown) => value is T,
  limit: (given: unknown, at: string) => number,
  keeps: (value: T, most: number) => boolean,
  message: (most: number) => string,
): Keyword {
  return (given, at) => {
    const most = limit(given, at);
    return (value, pointer, found) => {
      if (is(value) && !keeps(value, most)) found.push({ pointer, message: message(most) });
    };
  };
}

const count = (given: unknown, at: string): number => {
  if (!Number.isSafeInteger(given) || (given as number) < 0)
    throw new TypeError(`${at}: expected a whole number`);
  return given as number;
};
const numeric = (given: unknown, at: string): number => {
  if (!isNumber(given)) throw new TypeError(`${at}: expected a number`);
  return given;
};
const characters = (text: string) => [...text].length;

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  null: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  number: isNumber,
  integer: Number.isInteger,
  string: isString,
  array: Array.isArray,
  object: isObject,
};

const KEYWORDS: Readonly<Record<string, Keyword>> = {
  type(given, at) {
    const names = (Array.isArray(given) ? given : [given]) as string[];
    for (const name of names)
      if (!isString(name) || !Object.hasOwn(TYPES, name)) throw new TypeError(`${at}: no type '${name}'`);
    return (value, pointer, found) => {
      if (!names.some((name) => TYPES[name]?.(value)))
        found.push({ pointer, message: `expected ${names.join(" or ")}` });
    };
  },
  enum(given, at) {
    if (!Array.isArray(given)) throw new TypeError(`${at}: expected a list`);
    const allowed = new Set(given.map(canonical));
    const message = `expected one of: ${given.map((one) => JSON.stringify(one)).join(", ")}`;
    return (value, pointer, found) => {
      if (!allowed.has(canonical(value))) found.push({ pointer, message });
    };
  },
  const(given) {
    const only = canonical(given);
    return (value, pointer, found) => {
      if (canonical(value) !== only) found.push({ pointer, message: `expected ${JSON.stringify(given)}` });
    };
  },
  minLength: bound(
    isString,
    count,
    (text, n) => characters(text) >= n,
    (n) => `expected at least ${n} characters`,
  ),
  maxLength: bound(
    isString,
    count,
    (text, n) => characters(text) <= n,
    (n) => `expected at most ${n} characters`,
  ),
  pattern(given, at) {
    if (!isString(given)) throw new TypeError(`${at}: expected a regular expression`);
    const pattern = new RegExp(given, "u");
    return (value, pointer, found) => {
      if (isString(value) && !pattern.test(value))
        found.push({ pointer, message: `does not match ${given}` });
    };
  },
  minimum: bound(
    isNumber,
    numeric,
    (value, n) => value >= n,
    (n) => `expected ${n} or more`,
  ),
  maximum: bound(
    isNumber,
    numeric,
    (value, n) => value <= n,
    (n) => `expected ${n} or less`,
  ),
  exclusiveMinimum: bound(
    isNumber,
    numeric,
    (value, n) => value > n,
    (n) => `expected more than ${n}`,
  ),
  exclusiveMaximum: bound(
    isNumber,
    numeric,
    (value, n) => value < n,
    (n) => `expected less than ${n}`,
  ),
  multipleOf: bound(
    isNumber,
    numeric,
    (value, n) => Number.isInteger(value / n),
    (n) => `expected a multiple of ${n}`,
  ),
  minItems: bound(
    isList,
    count,
    (list, n) => list.length >= n,
    (n) => `expected at least ${n} elements`,
  ),
  maxItems: bound(
    isList,
    count,
    (list, n) => list.length <= n,
    (n) => `expected at most ${n} elements`,
  ),
  uniqueItems(given) {
    if (given !== true) return null;
    return (value, pointer, found) => {
      if (isList(value) && new Set(value.map(canonical)).size < value.length)
        found.push({ pointer, message: "expected no element twice" });
    };
  },
  items(given, at, compiler) {
    const check = compiler.compile(given, at);
    return (value, pointer, found) => {
      if (isList(value)) for (const [i, element] of value.entries()) check(element, `${pointer}/${i}`, found);
    };
  },
  minProperties: bound(
    isObject,
    count,
    (o, n) => Object.keys(o).length >= n,
    (n) => `expected at least ${n} members`,
  ),
  maxProperties: bound(
    isObject,
    count,
    (o, n) => Object.keys(o).length <= n,
    (n) => `expected at most ${n} members`,
  ),
  required(given, at) {
    if (!isList(given) || !given.every(isString)) throw new TypeError(`${at}: expected a list of names`);
    return (value, pointer, found) => {
      if (!isObject(value)) return;
      for (const name of given)
        if (!Object.hasOwn(value, name))
          found.push({ pointer: below(pointer, name), message: "is required" });
    };
  },
  properties(given, at, compiler) {
    if (!isObject(given)) throw new TypeError(`${at}: expected an object`);
    const checks = Object.entries(given).map(
      ([name, schema]) => [name, compiler.compile(schema, `${at}/${name}`)] as const,
    );
    return (value, pointer, found) => {
      if (!isObject(value)) return;
      for (const [name, check] of checks)
        if (Object.hasOwn(value, name)) check(value[name], below(pointer, name), found);
    };
  },
  additionalProperties(given, at, compiler, { properties }) {
    const check = compiler.compile(given, at);
    const known = isObject(properties) ? properties : {};
    return (value, pointer, found) => {
      if (!isObject(value)) return;
      for (const name of Object.keys(value))
        if (!Object.hasOwn(known, name)) check(value[name], below(pointer, name), found);
    };
  },
  allOf(given, at, compiler) {
    const checks = compiler.compileList(given, at);
    return (value, pointer, found) => {
      for (const check of checks) check(value, pointer, found);
    };
  },
  anyOf(given, at, compiler) {
    const checks = compiler.compileList(given, at);
    return (value, pointer, found) => {
      if (!checks.some((check) => fits(check, value)))
        found.push({ pointer, message: "fits none of the forms that are allowed" });
    };
  },
  oneOf(given, at, compiler) {
    const checks = compiler.compileList(given, at);
    return (value, pointer, found) => {
      const fitting = checks.filter((check) => fits(check, value)).length;
      if (fitting !== 1)
        found.push({ pointer, message: `fits ${fitting} of the forms of which exactly one is allowed` });
    };
  },
  not(given, at, compiler) {
    const check = compiler.compile(given, at);
    return (value, pointer, found) => {
      if (fits(check, value)) found.push({ pointer, message: "has a form that is not allowed" });
    };
  },
  $ref: (given, at, compiler) => compiler.reference(given, at),
};

function fits(check: Check, value: unknown): boolean {
  const found: Misfit[] = [];
  check(value, "", found);
  return found.length === 0;
}

function below(pointer: string, name: string): string {
  return `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

/** Text that is the same for equal values: members of an object have no order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part) =>
    isObject(part) ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1))) : part,
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value);
}
