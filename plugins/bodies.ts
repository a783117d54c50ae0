/**
 * Bodies whose top-level members plugins read and edit. What is left alone keeps its value exactly: a JSON
 * number that JavaScript cannot hold (an id above 2^53, 1e400) comes out as it went in.
 */
import { isDeepJson } from "@gatehouse/sdk";

export type BodyType = "json" | "urlencoded" | "multipart" | "other";

export function mediaType(contentType: string | undefined): BodyType {
  if (contentType === undefined) return "other";
  const semicolon = contentType.indexOf(";");
  const type = (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
  if (type === "application/json" || (type.startsWith("application/") && type.endsWith("+json")))
    return "json";
  if (type === "application/x-www-form-urlencoded") return "urlencoded";
  if (type === "multipart/form-data") return "multipart";
  return "other";
}

const encoder = new TextEncoder();

/** The members of a JSON object's top level, in order. */
export class JsonMembers {
  readonly #members: Map<string, unknown>;

  constructor(members: Iterable<readonly [string, unknown]>) {
    this.#members = new Map(members);
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  names(): string[] {
    return [...this.#members.keys()];
  }

  get(name: string): unknown {
    return this.#members.get(name);
  }

  set(name: string, value: unknown): void {
    this.#members.set(name, value);
  }

  remove(name: string): void {
    this.#members.delete(name);
  }

  rename(from: string, to: string): void {
    if (from === to || !this.#members.has(from)) return;
    this.#members.set(to, this.#members.get(from));
    this.#members.delete(from);
  }

  /** As Kong does it: beside a string or in a list; in place of anything else, as a list of its own. */
  append(name: string, value: unknown): void {
    const before = this.#members.get(name);
    if (Array.isArray(before)) before.push(value);
    else this.#members.set(name, typeof before === "string" ? [before, value] : [value]);
  }

  toBytes(): Uint8Array {
    const written: string[] = [];
    for (const [name, value] of this.#members)
      written.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return encoder.encode(`{${written.join(",")}}`);
  }
}

/** What `JSON.parse` tells its reviver, and the wrapper that keeps a number's digits. */
const json = JSON as unknown as {
  parse(
    text: string,
    reviver?: (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

/** Whether a number in the text may not survive a double; cheap, and linear in the text. */
const LONG_NUMBER = /[0-9.]{16}|[0-9][eE]/;

/** Levels of nesting that are read. The same bound as Kong's, and far from where reading exhausts the stack. */
const MAX_DEPTH = 1000;

/**
 * The members of a JSON object; null for what is none, or is not UTF-8, or is nested deeper than 1000 levels.
 * What becomes of such a body is the caller's decision: members may stand in it that others would find.
 */
export function jsonMembers(bytes: Uint8Array): JsonMembers | null {
  const value = parsed(bytes, (text) =>
    LONG_NUMBER.test(text) ? json.parse(text, keepDigits) : json.parse(text),
  );
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return new JsonMembers(Object.entries(value));
}

/**
 * JSON with another value in place of each member that `hides` names, however deep it stands; the same bytes if there is
 * none. Null for what is no JSON, or not UTF-8, or nested deeper than 1000 levels.
 */
export function withoutMembers(
  bytes: Uint8Array,
  hides: (name: string) => boolean,
  shown: string,
): Uint8Array | null {
  let hidden = 0;
  const value = parsed(bytes, (text) =>
    json.parse(text, function (this: unknown, name, value, context) {
      if (Array.isArray(this) || name === "" || !hides(name)) return keepDigits(name, value, context);
      hidden++;
      return shown;
    }),
  );
  if (value === undefined) return null;
  return hidden === 0 ? bytes : encoder.encode(JSON.stringify(value));
}

/** Undefined for what cannot be read. */
function parsed(bytes: Uint8Array, parse: (text: string) => unknown): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return isDeepJson(text, MAX_DEPTH) ? undefined : parse(text);
  } catch {
    return undefined;
  }
}

function keepDigits(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || context.source === undefined) return value;
  return String(value) === context.source ? value : json.rawJSON(context.source);
}
