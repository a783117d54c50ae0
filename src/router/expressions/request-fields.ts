/**
 * A request as expressions ask for it. What takes work (segments, query arguments, addresses, text) is worked
 * out when the first expression asks, and once for all expressions of the request.
 */

import { sniName } from "../conditions.ts";
import { byteString } from "../path.ts";
import type { ValuePattern } from "../pattern.ts";
import { pathText } from "../pattern.ts";
import type { MatchInput } from "../router.ts";
import { parseAddress } from "./addresses.ts";

const NONE: readonly string[] = [];

/** One object serves all requests of a thread: matching is synchronous. */
export class RequestFields {
  input!: MatchInput;
  /** What the expression under way last found at the start of the path: bytes, or the pattern that did. */
  matchedLength = 0;
  matchedPattern: ValuePattern | null = null;
  #segments: readonly string[] | null = null;
  #queries: ReadonlyMap<string, readonly string[]> | null = null;
  readonly #headers = new Map<string, readonly string[]>();
  #text: string | null | undefined;
  #source: string | null | undefined;
  #destination: string | null | undefined;

  begin(input: MatchInput): void {
    this.input = input;
    this.#segments = null;
    this.#queries = null;
    if (this.#headers.size > 0) this.#headers.clear();
    this.#text = undefined;
    this.#source = undefined;
    this.#destination = undefined;
  }

  /** The path as text; null if its bytes are no UTF-8. */
  get pathText(): string | null {
    if (this.#text === undefined) this.#text = pathText(this.input.path);
    return this.#text;
  }

  /** Without the empty one behind a slash at the end; none for `/`. */
  get segments(): readonly string[] {
    if (this.#segments === null) {
      const { path } = this.input;
      const end = path.endsWith("/") ? path.length - 1 : path.length;
      this.#segments = path.charCodeAt(0) === 0x2f && end > 0 ? path.slice(1, end).split("/") : NONE;
    }
    return this.#segments;
  }

  /** Values of a query argument; an argument without `=` has the value "". */
  queryValues(name: string): readonly string[] {
    this.#queries ??= readQuery(this.input.query);
    return this.#queries.get(name) ?? NONE;
  }

  /** Values of a header, by its name in lower case with `_`; the request may write `-` or `_`. */
  headerValues(name: string): readonly string[] {
    let values = this.#headers.get(name);
    if (values === undefined) {
      values = this.input.headerValues(name.replaceAll("_", "-"));
      if (name.includes("_")) {
        const written = this.input.headerValues(name);
        if (written.length > 0) values = [...values, ...written];
      }
      this.#headers.set(name, values);
    }
    return values;
  }

  get sni(): string | null {
    const { sni } = this.input;
    return sni === null ? null : sniName(sni);
  }

  get sourceIp(): string | null {
    if (this.#source === undefined) this.#source = parseAddress(this.input.clientIp);
    return this.#source;
  }

  get destinationIp(): string | null {
    if (this.#destination === undefined) this.#destination = parseAddress(this.input.localIp);
    return this.#destination;
  }
}

/**
 * Query arguments by name, decoded, in order. Every argument counts: with a bound on their number a client
 * could push one that a route asks for behind it. The length of a request's head bounds them.
 */
function readQuery(query: string): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? "" : decode(pair.slice(equals + 1));
    const values = out.get(name);
    if (values === undefined) out.set(name, [value]);
    else values.push(value);
  }
  return out;
}

/** `+` is a space; a `%` that begins no triplet stays. */
function decode(text: string): string {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  return spaced.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** A byte string in lower case: its text's, or of its ASCII letters if the bytes are no UTF-8. */
export function lowerCase(value: string): string {
  const text = pathText(value);
  if (text === value) return value.toLowerCase();
  if (text !== null) return byteString(text.toLowerCase());
  return value.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
