/**
 * Reads the text of a configuration, YAML or JSON (which is YAML), into plain values, and finds the place in
 * the text of whatever is wrong with them later.
 *
 * Most texts are plain and sound: they are read without places (plain-text.ts), which is ten times as fast. The
 * syntax tree of the others is built here, and that of a plain one when a place in it is asked for.
 *
 * The text is hostile: sizes, depth and the growth through aliases are bounded before anything walks the
 * values, keys are looked up in our own tables (the library's check for duplicate keys and its resolution of
 * aliases are quadratic), and `__proto__` is no key.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLMap,
} from "yaml";
import { type Asked, isMergeKey, Locator, offsetOf, type Place, placeAt } from "./locator.ts";
import { readPlain } from "./plain-text.ts";

export interface DocumentFault extends Place {
  message: string;
}

export type ReadDocument =
  | {
      readonly ok: true;
      readonly value: unknown;
      /** Where a path leads: the value, or the key if that is what is wrong; else the nearest thing above. */
      locate(asked: Asked): Place;
    }
  | { readonly ok: false; readonly faults: readonly DocumentFault[] };

const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;
/** Levels of nesting. A workspace's service's route's plugin's config starts at level 9. */
export const MAX_DEPTH = 64;
/** Values in a document, those that aliases repeat included. */
const MAX_VALUES = 10_000_000;
/** Of them, those that aliases and merges repeat: a line of text is all that a thousand of them take. */
const MAX_REPEATED = 1_000_000;
/** Characters of texts and keys that they repeat: whoever writes the document out again has them all. */
const MAX_REPEATED_CHARACTERS = 16 * 1024 * 1024;
/** Tokens of YAML: a syntax tree takes some 300 bytes for each. */
const MAX_TOKENS = 5_000_000;
/** Syntax errors follow from one another: more of them help nobody. */
const MAX_FAULTS = 20;

export function readDocument(text: string): ReadDocument {
  if (Buffer.byteLength(text) > MAX_DOCUMENT_BYTES) {
    const limit = MAX_DOCUMENT_BYTES / 1024 / 1024;
    return fault(1, 1, `the document is larger than ${limit} MiB`);
  }
  const plain = readPlain(text, { depth: MAX_DEPTH, values: MAX_VALUES, tokens: MAX_TOKENS });
  if (plain === null) return readWithPlaces(text);
  let places: ReadDocument | undefined;
  return {
    ok: true,
    value: plain.value,
    locate(asked) {
      places ??= readWithPlaces(text);
      return places.ok ? places.locate(asked) : { line: 1, column: 1 };
    },
  };
}

function readWithPlaces(text: string): ReadDocument {
  const lines = new LineCounter();
  const tooMany = unprintableFault(text) ?? tokenFault(text);
  if (tooMany) return tooMany;
  let document: Document.Parsed;
  try {
    document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: false,
      prettyErrors: false,
      stringKeys: false,
      logLevel: "error",
    });
  } catch (error) {
    if (error instanceof RangeError) return fault(1, 1, `nested deeper than ${MAX_DEPTH} levels`);
    throw error;
  }
  const syntax = [...document.errors, ...document.warnings].slice(0, MAX_FAULTS);
  if (syntax.length > 0) {
    return {
      ok: false,
      faults: syntax.map(({ pos, message }) => ({ ...placeAt(lines, pos[0]), message: firstLine(message) })),
    };
  }
  const reader = new Reader(lines);
  const value = reader.read(document.contents, 0);
  if (reader.faults.length > 0) return { ok: false, faults: reader.faults };
  const locator = new Locator(document, reader.anchors, lines);
  return { ok: true, value, locate: (asked) => locator.locate(asked) };
}

/** Neither YAML (5.1) nor JSON has control characters as they are; the library lets them pass. */
function unprintableFault(text: string): ReadDocument | undefined {
  const at = text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/);
  if (at < 0) return undefined;
  const before = text.slice(0, at).split("\n");
  const code = text.charCodeAt(at).toString(16).toUpperCase().padStart(4, "0");
  const message = `control character U+${code} is not allowed; in a quoted text it is written \\u${code}`;
  return fault(before.length, (before.at(-1) as string).length + 1, message);
}

/** The library's syntax tree takes 300 bytes a token: what would not fit is refused before it is built. */
function tokenFault(text: string): ReadDocument | undefined {
  if (text.length <= MAX_TOKENS) return undefined;
  let count = 0;
  for (const _token of new Lexer().lex(text)) {
    if (++count > MAX_TOKENS) return fault(1, 1, `too large: more than ${MAX_TOKENS} tokens of YAML`);
  }
  return undefined;
}

function fault(line: number, column: number, message: string): ReadDocument {
  return { ok: false, faults: [{ line, column, message }] };
}

function firstLine(message: string): string {
  if (message.startsWith("Source contains multiple documents"))
    return "a second document begins here ('---'); a configuration is one document";
  const tag = /^Unresolved tag: (.*)/.exec(message)?.[1];
  if (tag !== undefined) return `unknown tag '${tag}'; values of YAML's own types need none`;
  // The library composes recursively and reports the end of its stack as a fault of the text, which it is.
  if (message.includes("call stack")) return `nested deeper than ${MAX_DEPTH} levels`;
  return message.split("\n", 1)[0]!;
}

/** Nodes to plain values. What an alias repeats is shared, and counted as if it were not. */
class Reader {
  readonly faults: DocumentFault[] = [];
  /** What each alias stands for; an anchor may be given again, so the alias decides and not the name. */
  readonly anchors = new Map<unknown, unknown>();
  readonly #named = new Map<string, { node: unknown; value: unknown; size: number; characters: number }>();
  readonly #lines: LineCounter;
  #values = 0;
  #repeated = 0;
  #characters = 0;
  #repeatedCharacters = 0;
  /** A bound is exceeded: the rest is not read. */
  #isFull = false;

  constructor(lines: LineCounter) {
    this.#lines = lines;
  }

  read(node: unknown, depth: number): unknown {
    if (this.#isFull) return undefined;
    const before = this.#values;
    const charactersBefore = this.#characters;
    if (depth > MAX_DEPTH) return this.#wrong(node, `nested deeper than ${MAX_DEPTH} levels`);
    if (++this.#values > MAX_VALUES) return this.#full(node, `more than ${MAX_VALUES} values`);
    if (isAlias(node)) return this.#alias(node, node.source);
    const value = this.#plain(node, depth);
    const anchor = (node as { anchor?: string } | null)?.anchor;
    if (anchor !== undefined) {
      const characters = this.#characters - charactersBefore;
      this.#named.set(anchor, { node, value, size: this.#values - before, characters });
    }
    return value;
  }

  #plain(node: unknown, depth: number): unknown {
    if (node === null || node === undefined) return null;
    if (isScalar(node)) {
      const { value } = node;
      if (typeof value === "bigint") return Number(value);
      if (typeof value === "string") this.#characters += value.length;
      return value === undefined ? null : value;
    }
    if (isSeq(node)) return node.items.map((item) => this.read(item, depth + 1));
    if (isMap(node)) return this.#map(node, depth);
    return this.#wrong(node, "expected a map, a list or a scalar");
  }

  #alias(node: unknown, name: string): unknown {
    const found = this.#named.get(name);
    if (!found) return this.#wrong(node, `no anchor '&${name}' is complete before this alias`);
    this.anchors.set(node, found.node);
    this.#values += found.size;
    this.#repeated += found.size;
    this.#characters += found.characters;
    this.#repeatedCharacters += found.characters;
    if (this.#repeated > MAX_REPEATED)
      return this.#full(node, `more than ${MAX_REPEATED} values that aliases repeat`);
    if (this.#repeatedCharacters > MAX_REPEATED_CHARACTERS)
      return this.#full(node, `more than ${MAX_REPEATED_CHARACTERS} characters that aliases repeat`);
    return found.value;
  }

  #map(node: YAMLMap, depth: number): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    let merges: unknown[] | undefined;
    for (const pair of node.items) {
      if (isMergeKey(pair.key)) {
        const given = this.read(pair.value, depth + 1);
        if (this.#isFull) return out;
        const list = Array.isArray(given) ? given : [given];
        if (list.some((part) => typeof part !== "object" || part === null || Array.isArray(part)))
          this.#wrong(pair.value, "'<<' takes a map or a list of maps");
        else merges = [...(merges ?? []), ...list];
        continue;
      }
      const key = this.#key(pair);
      if (key === undefined) continue;
      this.#characters += key.length;
      if (Object.hasOwn(out, key)) this.#wrong(pair.key, `key '${key}' is given twice`);
      out[key] = this.read(pair.value, depth + 1);
    }
    for (const part of merges ?? []) {
      for (const [key, value] of Object.entries(part as object))
        if (!Object.hasOwn(out, key)) out[key] = value;
    }
    return out;
  }

  #key(pair: Pair): string | undefined {
    const { key } = pair;
    const scalar = isScalar(key) ? key.value : undefined;
    if (typeof scalar !== "string" && typeof scalar !== "number" && typeof scalar !== "boolean")
      return this.#wrong(key ?? pair.value, "a key must be a string");
    if (scalar === "__proto__") return this.#wrong(key, "'__proto__' is not allowed as a key");
    return String(scalar);
  }

  #full(node: unknown, message: string): undefined {
    this.#isFull = true;
    return this.#wrong(node, message);
  }

  #wrong(node: unknown, message: string): undefined {
    if (this.faults.length < MAX_FAULTS)
      this.faults.push({ ...placeAt(this.#lines, offsetOf(node)), message });
    return undefined;
  }
}
