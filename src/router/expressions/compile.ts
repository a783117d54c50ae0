/**
 * Expressions as functions: types are checked, literals made ready, and what is left is a closure for each
 * comparison. No code is made from text.
 *
 * Kong's rules: a field that the request does not have makes its comparison false, whatever the operator; of
 * several values all must hold, or with `any()` one.
 */

import { byteString } from "../path.ts";
import { PatternError, pathText, ValuePattern } from "../pattern.ts";
import { isWithin } from "./addresses.ts";
import { type Field, fieldOf } from "./fields.ts";
import { lowerCase, type RequestFields } from "./request-fields.ts";
import { type Expression, ExpressionError, type Operator, type Predicate } from "./syntax.ts";

export type Test = (fields: RequestFields) => boolean;

const ALLOWED: Readonly<Record<Field["type"], readonly Operator[]>> = {
  string: ["==", "!=", "~", "^=", "=^", "contains"],
  integer: ["==", "!=", ">", ">=", "<", "<="],
  address: ["==", "!=", "in", "not in"],
};
const NAMES = { string: "a string", integer: "an integer", address: "an IP address", network: "a network" };

/**
 * @param text the whole expression, for errors
 * @throws {ExpressionError} for types that do not fit and patterns that are none
 */
export function compile(expression: Expression, text: string): Test {
  return compileNode(expression, text, true);
}

/** @param notes whether a comparison that finds something at the start of the path notes it; not under a `!` */
function compileNode(node: Expression, text: string, notes: boolean): Test {
  if (node.kind === "predicate") return compilePredicate(node, text, notes);
  if (node.kind === "not") {
    const inner = compileNode(node.inner, text, false);
    return (fields) => !inner(fields);
  }
  const tests = node.parts.map((part) => compileNode(part, text, notes));
  const [first, second] = tests as [Test, Test];
  if (node.kind === "and") {
    if (tests.length === 2) return (fields) => first(fields) && second(fields);
    return (fields) => {
      for (let i = 0; i < tests.length; i++) if (!tests[i]!(fields)) return false;
      return true;
    };
  }
  if (tests.length === 2) return (fields) => first(fields) || second(fields);
  return (fields) => {
    for (let i = 0; i < tests.length; i++) if (tests[i]!(fields)) return true;
    return false;
  };
}

function compilePredicate(predicate: Predicate, text: string, notes: boolean): Test {
  const field = fieldOf(predicate.field);
  if (typeof field === "string") throw new ExpressionError(text, predicate.at.field, field);
  checkTypes(predicate, field, text);
  const { literal, operator } = predicate;
  if (field.type === "string") {
    const value = byteString((literal as { value: string }).value);
    const pattern = operator === "~" ? patternOf(predicate, text) : null;
    if (!field.many && field.isPath === true) return pathTest(predicate, value, pattern, notes);
    const test = stringTest(predicate, value, pattern);
    return field.many ? listTest(field.read, test, predicate.any) : valueTest(field.read, test);
  }
  if (field.type === "integer") return integerTest(field.read, operator, literal.value as number);
  const { read } = field;
  if (literal.type === "network") {
    const within = operator === "in";
    return valueTest(read, (address) => isWithin(address, literal.value) === within);
  }
  const equal = operator === "==";
  return valueTest(read, (address) => (address === literal.value) === equal);
}

function checkTypes(
  { field: name, lower, operator, literal, at }: Predicate,
  field: Field,
  text: string,
): void {
  const what = NAMES[field.type];
  if (lower && field.type !== "string")
    throw new ExpressionError(text, at.field, `lower() is for strings; ${name} is ${what}`);
  const allowed = ALLOWED[field.type];
  if (!allowed.includes(operator))
    throw new ExpressionError(text, at.operator, `${name} is ${what}; allowed for it: ${allowed.join(" ")}`);
  const isMember = operator === "in" || operator === "not in";
  const expected = isMember ? "network" : field.type;
  if (literal.type === expected) return;
  const found = NAMES[literal.type];
  const hint = isMember
    ? "'in' asks for a network, such as 10.0.0.0/8"
    : literal.type === "network"
      ? `a network is asked for by 'in' or 'not in'`
      : `'${operator}' compares it with ${NAMES[expected]}, not with ${found}`;
  throw new ExpressionError(text, at.literal, `${name} is ${what}; ${hint}`);
}

function patternOf({ literal, at }: Predicate, text: string): ValuePattern {
  try {
    return new ValuePattern((literal as { value: string }).value);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new ExpressionError(text, at.literal, error.message);
  }
}

/** The test of one value. */
function stringTest(
  { operator, lower }: Predicate,
  value: string,
  pattern: ValuePattern | null,
): (given: string) => boolean {
  const test = plainTest(operator, value, pattern);
  return lower ? (given) => test(lowerCase(given)) : test;
}

function plainTest(
  operator: Operator,
  value: string,
  pattern: ValuePattern | null,
): (given: string) => boolean {
  if (operator === "==") return (given) => given === value;
  if (operator === "!=") return (given) => given !== value;
  if (operator === "^=") return (given) => given.startsWith(value);
  if (operator === "=^") return (given) => given.endsWith(value);
  if (operator === "contains") return (given) => given.includes(value);
  return (given) => {
    const text = pathText(given);
    return text !== null && pattern!.test(text);
  };
}

/** Comparisons with http.path note what they found at its start: that is what strip_path strips. */
function pathTest(predicate: Predicate, value: string, pattern: ValuePattern | null, notes: boolean): Test {
  const { operator, lower } = predicate;
  const finds = operator === "==" || operator === "^=";
  if (lower) {
    const test = plainTest(operator, value, pattern);
    return (fields) => {
      const { path } = fields.input;
      const given = lowerCase(path);
      if (!test(given)) return false;
      // In lower case some letters have more bytes or fewer: then nobody can say how many to strip.
      if (notes && finds && given.length === path.length) note(fields, value.length, null);
      return true;
    };
  }
  if (pattern !== null) {
    return (fields) => {
      const text = fields.pathText;
      if (text === null || !pattern.test(text)) return false;
      if (notes) note(fields, 0, pattern);
      return true;
    };
  }
  const test = plainTest(operator, value, null);
  if (!notes || !finds) return (fields) => test(fields.input.path);
  return (fields) => {
    if (!test(fields.input.path)) return false;
    note(fields, value.length, null);
    return true;
  };
}

function note(fields: RequestFields, length: number, pattern: ValuePattern | null): void {
  fields.matchedLength = length;
  fields.matchedPattern = pattern;
}

function valueTest(read: (fields: RequestFields) => string | null, test: (value: string) => boolean): Test {
  return (fields) => {
    const value = read(fields);
    return value !== null && test(value);
  };
}

function listTest(
  read: (fields: RequestFields) => readonly string[],
  test: (value: string) => boolean,
  any: boolean,
): Test {
  return (fields) => {
    const values = read(fields);
    for (let i = 0; i < values.length; i++) if (test(values[i]!) === any) return any;
    return !any && values.length > 0;
  };
}

function integerTest(read: (fields: RequestFields) => number, operator: Operator, value: number): Test {
  if (operator === "==") return (fields) => read(fields) === value;
  if (operator === "!=") {
    return (fields) => {
      const given = read(fields);
      return !Number.isNaN(given) && given !== value;
    };
  }
  if (operator === ">") return (fields) => read(fields) > value;
  if (operator === ">=") return (fields) => read(fields) >= value;
  if (operator === "<") return (fields) => read(fields) < value;
  return (fields) => read(fields) <= value;
}
