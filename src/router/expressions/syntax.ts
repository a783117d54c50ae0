/**
 * The language of route expressions (Kong's `expressions` flavour): text to a tree, and every mistake to a
 * sentence with its place.
 *
 *     expression  = group *( "&&" group )
 *     group       = term *( "||" term )
 *     term        = [ "!" ] "(" expression ")" / predicate
 *     predicate   = left operator literal
 *     left        = field / ( "lower" / "any" ) "(" left ")"
 *     literal     = string / raw string / address / network / integer
 *
 * As in Kong, `||` binds tighter than `&&`: `a && b || c` is `a && (b || c)`, the other way round than in most
 * languages. Strangers write expressions, so length, nesting and the number of predicates are bounded.
 */

import type { Network } from "./addresses.ts";
import { parseAddress, parseNetwork } from "./addresses.ts";

export const OPERATORS = [
  "==",
  "!=",
  "^=",
  "=^",
  ">=",
  "<=",
  ">",
  "<",
  "~",
  "in",
  "not in",
  "contains",
] as const;
export type Operator = (typeof OPERATORS)[number];

export type Literal =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "integer"; readonly value: number }
  /** The bytes of the address. */
  | { readonly type: "address"; readonly value: string }
  | { readonly type: "network"; readonly value: Network };

export interface Predicate {
  readonly kind: "predicate";
  readonly field: string;
  /** Whether the values are compared in lower case. */
  readonly lower: boolean;
  /** Whether one value suffices where a field has several; otherwise all must hold. */
  readonly any: boolean;
  readonly operator: Operator;
  readonly literal: Literal;
  /** As it was written. */
  readonly text: string;
  /** Where its parts begin in the whole expression. */
  readonly at: { readonly field: number; readonly operator: number; readonly literal: number };
}

export type Expression =
  | { readonly kind: "and" | "or"; readonly parts: readonly Expression[]; readonly text: string }
  | { readonly kind: "not"; readonly inner: Expression; readonly text: string }
  | Predicate;

/** How much somebody may write. */
export interface ExpressionLimits {
  /** Characters. */
  readonly length: number;
  /** Parentheses within each other. */
  readonly depth: number;
  readonly predicates: number;
}

export const EXPRESSION_LIMITS: ExpressionLimits = { length: 8_192, depth: 32, predicates: 256 };

/** Why an expression is refused, with the place; for the person who wrote it. */
export class ExpressionError extends Error {
  override name = "ExpressionError";

  /** @param offset place of the mistake in `text`, in characters */
  constructor(text: string, offset: number, what: string) {
    const before = text.slice(0, offset).split("\n");
    const column = (before.at(-1) ?? "").length + 1;
    super(`${before.length > 1 ? `line ${before.length}, ` : ""}column ${column}: ${what}`);
  }
}

/** @throws {ExpressionError} */
export function parseExpression(text: string, limits: ExpressionLimits = EXPRESSION_LIMITS): Expression {
  if (text.length > limits.length) {
    throw new ExpressionError(
      text,
      limits.length,
      `the expression has ${text.length} characters; at most ${limits.length} are allowed`,
    );
  }
  return new Parser(text, limits).parse();
}

const IDENTIFIER = /[A-Za-z][A-Za-z0-9_.]*/y;
const IPV4 = /\d{1,3}(?:\.\d{1,3}){3}(?:\/\d{1,2})?(?![\w.])/y;
const IPV6 = /(?::|[0-9A-Fa-f]{1,4}):[0-9A-Fa-f:]*(?:\/\d{1,3})?(?![\w.])/y;
const INTEGER = /-?(?:0x[0-9A-Fa-f]+|\d+)(?![\w.])/y;
/** What looks like a value and is none, for the message. */
const WORD = /[^\s()"&|]+/y;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", n: "\n", r: "\r", t: "\t" };

class Parser {
  readonly #text: string;
  readonly #limits: ExpressionLimits;
  #at = 0;
  #depth = 0;
  #predicates = 0;

  constructor(text: string, limits: ExpressionLimits) {
    this.#text = text;
    this.#limits = limits;
  }

  parse(): Expression {
    const expression = this.#expression();
    if (this.#at < this.#text.length) {
      if (this.#text[this.#at] === ")") throw this.#error("there is no '(' that this ')' would close");
      const word = this.#peek(WORD);
      if (word !== null && /^(?:and|or)$/i.test(word)) {
        throw this.#error(`'${word}' is no operator; write ${word.toLowerCase() === "and" ? "&&" : "||"}`);
      }
      throw this.#error("expected && or || or the end of the expression");
    }
    return expression;
  }

  #expression(): Expression {
    return this.#list("and", "&&", () => this.#list("or", "||", () => this.#term()));
  }

  #list(kind: "and" | "or", operator: string, next: () => Expression): Expression {
    this.#space();
    const start = this.#at;
    const parts = [next()];
    let end = this.#at;
    for (;;) {
      this.#space();
      if (!this.#text.startsWith(operator, this.#at)) break;
      this.#at += operator.length;
      parts.push(next());
      end = this.#at;
    }
    return parts.length === 1 ? parts[0]! : { kind, parts, text: this.#text.slice(start, end) };
  }

  #term(): Expression {
    this.#space();
    const start = this.#at;
    const negated = this.#text[start] === "!";
    if (negated) {
      this.#at++;
      this.#space();
      if (this.#text[this.#at] !== "(") {
        throw new ExpressionError(this.#text, start, "'!' stands before a parenthesis only: write !( … )");
      }
    }
    if (this.#text[this.#at] !== "(") return this.#predicate();
    if (++this.#depth > this.#limits.depth) {
      throw this.#error(
        `parentheses are nested deeper than ${this.#limits.depth}, which is the most allowed`,
      );
    }
    const opened = this.#at++;
    const inner = this.#expression();
    this.#space();
    if (this.#text[this.#at] !== ")") {
      if (this.#at < this.#text.length) throw this.#error("expected && or || or ')'");
      throw new ExpressionError(this.#text, opened, "this '(' is not closed");
    }
    this.#at++;
    this.#depth--;
    return negated ? { kind: "not", inner, text: this.#text.slice(start, this.#at) } : inner;
  }

  #predicate(): Predicate {
    const start = this.#at;
    if (++this.#predicates > this.#limits.predicates) {
      throw this.#error(
        `more than ${this.#limits.predicates} comparisons, which is the most allowed; use several routes`,
      );
    }
    let lower = false;
    let any = false;
    let open = 0;
    let fieldAt = this.#at;
    let field: string;
    for (;;) {
      this.#space();
      fieldAt = this.#at;
      field = this.#take(IDENTIFIER) ?? this.#noField(start);
      this.#space();
      if (this.#text[this.#at] !== "(") break;
      if (field === "lower") lower = true;
      else if (field === "any") any = true;
      else throw new ExpressionError(this.#text, fieldAt, `unknown function '${field}'; allowed: lower, any`);
      if (++open > this.#limits.depth) throw this.#error("too many functions within each other");
      this.#at++;
    }
    for (; open > 0; open--) {
      this.#space();
      if (this.#text[this.#at] !== ")") throw this.#error("expected ')' after the field");
      this.#at++;
    }
    this.#space();
    const operatorAt = this.#at;
    const operator = this.#operator();
    this.#space();
    const literalAt = this.#at;
    const literal = this.#literal();
    const at = { field: fieldAt, operator: operatorAt, literal: literalAt };
    return {
      kind: "predicate",
      field,
      lower,
      any,
      operator,
      literal,
      text: this.#text.slice(start, this.#at),
      at,
    };
  }

  #noField(start: number): never {
    if (this.#at >= this.#text.length) {
      const found = start === 0 ? "the expression is empty; " : "";
      throw this.#error(`${found}expected a comparison, such as http.path ^= "/"`);
    }
    throw this.#error(`expected a field, such as http.path, or a '('`);
  }

  #operator(): Operator {
    const text = this.#text;
    const word = this.#take(IDENTIFIER);
    if (word === "in" || word === "contains") return word;
    if (word === "notin") return "not in";
    if (word === "not") {
      this.#space();
      const next = this.#take(IDENTIFIER);
      if (next === "in") return "not in";
      throw this.#error("expected 'in' after 'not'");
    }
    if (word !== null) this.#at -= word.length;
    else {
      const found = OPERATORS.find((operator) => text.startsWith(operator, this.#at));
      if (found !== undefined) {
        this.#at += found.length;
        return found;
      }
    }
    const near =
      text[this.#at] === "=" ? "'=' is no operator; did you mean '=='? Allowed" : "expected an operator";
    throw this.#error(`${near}: ${OPERATORS.join(" ")}`);
  }

  #literal(): Literal {
    const text = this.#text;
    if (text[this.#at] === '"') return { type: "string", value: this.#string() };
    if (text.startsWith('r#"', this.#at)) return { type: "string", value: this.#rawString() };
    const start = this.#at;
    const address = this.#take(IPV4) ?? this.#take(IPV6);
    if (address !== null) {
      const value = address.includes("/") ? parseNetwork(address) : parseAddress(address);
      if (value === null) throw new ExpressionError(text, start, `'${address}' is no IP address`);
      if (typeof value === "string") return { type: "address", value };
      if ("problem" in value) throw new ExpressionError(text, start, value.problem);
      return { type: "network", value };
    }
    const integer = this.#take(INTEGER);
    if (integer !== null) return { type: "integer", value: this.#integer(integer, start) };
    if (text[start] === "'") throw this.#error("strings stand in double quotes");
    const word = this.#peek(WORD);
    const what = word === null ? "" : `'${word.slice(0, 60)}' is no value; `;
    throw this.#error(`${what}expected a string in double quotes, an integer, an IP address or a network`);
  }

  #string(): string {
    const opened = this.#at++;
    let value = "";
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new ExpressionError(this.#text, opened, "this string is not closed");
      this.#at++;
      if (character === '"') return value;
      if (character !== "\\") {
        value += character;
        continue;
      }
      const escaped = ESCAPES[this.#text[this.#at] ?? ""];
      if (escaped === undefined) {
        this.#at--;
        throw this.#error(
          `in a string '\\' begins one of \\" \\\\ \\n \\r \\t; write \\\\ for '\\', or r#"…"# around a regex`,
        );
      }
      value += escaped;
      this.#at++;
    }
  }

  #rawString(): string {
    const start = this.#at + 3;
    const end = this.#text.indexOf('"#', start);
    if (end === -1) throw this.#error(`this string is not closed; r#" ends with "#`);
    this.#at = end + 2;
    return this.#text.slice(start, end);
  }

  /** Decimal, `0x` hexadecimal, or octal with a leading 0; 64 bits, as in Kong. */
  #integer(written: string, start: number): number {
    const negative = written.startsWith("-");
    const digits = negative ? written.slice(1) : written;
    if (/^0[0-7]+[89]/.test(digits)) {
      throw new ExpressionError(this.#text, start, `'${written}' begins like an octal number and is none`);
    }
    const magnitude = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits);
    if (magnitude >= 2n ** 63n) {
      throw new ExpressionError(this.#text, start, `'${written}' is out of the range of 64-bit integers`);
    }
    return Number(negative ? -magnitude : magnitude);
  }

  #space(): void {
    while (" \t\r\n".includes(this.#text[this.#at] ?? "x")) this.#at++;
  }

  #peek(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? null;
  }

  #take(pattern: RegExp): string | null {
    const found = this.#peek(pattern);
    if (found !== null) this.#at += found.length;
    return found;
  }

  #error(what: string): ExpressionError {
    return new ExpressionError(this.#text, this.#at, what);
  }
}
