/**
 * `$(...)` in the values of request-transformer: parts of the request put into text. Kong evaluates Lua there;
 * here the forms that people write are parsed once, when the configuration is loaded:
 *
 *     $(headers.x_user)  $(headers["x-user"])  $(query_params.page)  $(uri_captures[1])
 *     $(uri_captures["id"])  $(shared.tenant.name)  $(query_params.page or "1")
 */
import { type Context, fieldText } from "@gatehouse/sdk";
import { fieldValues } from "./urlencoded.ts";

/** Text, or what gives it. */
export type Template = string | { readonly parts: readonly (string | Expression)[] };

/** Alternatives, joined by `or`: the first that has a value. */
type Expression = readonly Term[];
type Term = { readonly text: string } | { readonly root: Root; readonly path: readonly Step[] };
/** A member's name, and whether it was written after a dot. */
interface Step {
  readonly name: string;
  readonly dotted: boolean;
}

const ROOTS = ["headers", "query_params", "uri_captures", "shared"] as const;
type Root = (typeof ROOTS)[number];

const ALLOWED =
  "allowed in $(...) are headers.NAME, query_params.NAME, uri_captures.NAME and shared.NAME (or ['NAME'] in " +
  "place of .NAME), quoted text, and `or` between them; other Lua is not supported";

class TemplateError extends Error {}

/** What is wrong with a template, or nothing. */
export function templateProblem(text: string): string | undefined {
  try {
    parseTemplate(text);
    return undefined;
  } catch (error) {
    if (error instanceof TemplateError) return error.message;
    throw error;
  }
}

/** @throws {TemplateError} saying what is allowed. */
export function parseTemplate(text: string): Template {
  if (!text.includes("$(")) return text;
  const parts: (string | Expression)[] = [];
  let at = 0;
  while (at < text.length) {
    const start = text.indexOf("$(", at);
    if (start < 0) break;
    if (start > at) parts.push(text.slice(at, start));
    const reader = new ExpressionReader(text, start + 2);
    parts.push(reader.read());
    at = reader.at;
  }
  if (at < text.length) parts.push(text.slice(at));
  return { parts };
}

/** Reads one expression up to its closing parenthesis. */
class ExpressionReader {
  readonly #text: string;
  at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  read(): Expression {
    const terms = [this.#term()];
    for (;;) {
      this.#spaces();
      if (this.#take(")")) return terms;
      if (this.#word() !== "or") throw this.#wrong();
      terms.push(this.#term());
    }
  }

  #term(): Term {
    this.#spaces();
    const quoted = this.#quoted();
    if (quoted !== undefined) return { text: quoted };
    const word = this.#word();
    const root = ROOTS.find((known) => known === word);
    if (root === undefined) throw this.#wrong();
    const path: Step[] = [];
    for (;;) {
      if (this.#take(".")) path.push({ name: this.#word(), dotted: true });
      else if (this.#take("[")) {
        this.#spaces();
        path.push({ name: this.#quoted() ?? this.#word(), dotted: false });
        this.#spaces();
        if (!this.#take("]")) throw this.#wrong();
      } else break;
    }
    if (path.length === 0 || (path.length > 1 && root !== "shared")) throw this.#wrong();
    return { root, path };
  }

  #spaces(): void {
    while (this.#text[this.at] === " ") this.at++;
  }

  #take(mark: string): boolean {
    if (this.#text[this.at] !== mark) return false;
    this.at++;
    return true;
  }

  /** Letters, digits and underscores. */
  #word(): string {
    const start = this.at;
    while (/[A-Za-z0-9_]/.test(this.#text[this.at] ?? "")) this.at++;
    if (start === this.at) throw this.#wrong();
    return this.#text.slice(start, this.at);
  }

  #quoted(): string | undefined {
    const quote = this.#text[this.at];
    if (quote !== '"' && quote !== "'") return undefined;
    const end = this.#text.indexOf(quote, this.at + 1);
    if (end < 0 || this.#text.slice(this.at, end).includes("\\")) throw this.#wrong();
    const text = this.#text.slice(this.at + 1, end);
    this.at = end + 1;
    return text;
  }

  #wrong(): TemplateError {
    return new TemplateError(`cannot read '${this.#text}' at character ${this.at + 1}: ${ALLOWED}`);
  }
}

/** The text that a template stands for in one request; what has no value stands for nothing. */
export function render(template: Template, ctx: Context): string {
  if (typeof template === "string") return template;
  let text = "";
  for (const part of template.parts) text += typeof part === "string" ? part : firstOf(part, ctx);
  return text;
}

function firstOf(terms: Expression, ctx: Context): string {
  for (const term of terms) {
    const value = "text" in term ? term.text : lookUp(term.root, term.path, ctx);
    if (value !== undefined) return value;
  }
  return "";
}

function lookUp(root: Root, path: readonly Step[], ctx: Context): string | undefined {
  const { name, dotted } = path[0] as Step;
  switch (root) {
    case "headers": {
      const lower = name.toLowerCase();
      let value = ctx.request.headers.get(lower);
      // A Lua name cannot hold a hyphen: in dotted form an underscore stands for one too.
      if (value === undefined && dotted) value = ctx.request.headers.get(lower.replaceAll("_", "-"));
      return value === undefined ? undefined : fieldText(value);
    }
    case "query_params":
      return fieldValues(ctx.request.query, name)[0];
    case "uri_captures":
      return member(ctx.request.uriCaptures, name);
    case "shared": {
      let value: unknown = ctx.vars;
      for (const step of path) {
        if (typeof value !== "object" || value === null || !Object.hasOwn(value, step.name)) return undefined;
        value = (value as Record<string, unknown>)[step.name];
      }
      return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
        ? String(value)
        : undefined;
    }
  }
}

function member(record: Readonly<Record<string, string>> | null, name: string): string | undefined {
  return record !== null && Object.hasOwn(record, name) ? record[name] : undefined;
}
