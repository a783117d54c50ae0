/**
 * The fast way to the values of a configuration, for texts that are plain and sound: JSON, and YAML without
 * tags, directives, aliases and merges. It knows no places and makes no messages: whatever it does not like it
 * leaves to the careful reader (document.ts), which says what is wrong, or that nothing is.
 *
 * The text is hostile, so both bounds and meaning are the careful reader's: a text that could be too deep or too
 * large, that gives a key twice, or that the two readers could take for different things is not plain.
 */
import { CORE_SCHEMA, load } from "js-yaml";

export interface PlainLimits {
  /** Levels of nesting. */
  readonly depth: number;
  /** Values in the document. */
  readonly values: number;
  /** Tokens of YAML. */
  readonly tokens: number;
}

/** The value of a text, or null if the text is not plain. */
export function readPlain(text: string, limits: PlainLimits): { readonly value: unknown } | null {
  try {
    return isJson(text) ? plainJson(text, limits) : plainYaml(text, limits);
  } catch {
    // Not JSON or not YAML, or a stack that ran out.
    return null;
  }
}

const isJson = (text: string): boolean => /^[ \t\r\n]*[{[]/.test(text);

function plainJson(text: string, limits: PlainLimits): { value: unknown } | null {
  const keys = countKeys(text, limits);
  if (keys === null) return null;
  const value: unknown = JSON.parse(text);
  const check = new Check(limits);
  // JSON.parse takes the last of two equal keys: then fewer are left than were written.
  return check.isPlain(value, 0) && check.keys === keys ? { value } : null;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const NEWLINE = 0x0a;
const SPACE = 0x20;
const DASH = 0x2d;
const QUESTION = 0x3f;

/** Keys in a JSON text; null if it is too deep or has too many values to be parsed without harm. */
function countKeys(text: string, limits: PlainLimits): number | null {
  let depth = 0;
  let keys = 0;
  let values = 1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      for (i++; i < text.length && text.charCodeAt(i) !== QUOTE; i++)
        if (text.charCodeAt(i) === BACKSLASH) i++;
    } else if (code === COLON) keys++;
    else if (code === COMMA) values++;
    // The brackets of both kinds differ from one another in the same bits: `[` and `{`, `]` and `}`.
    else if ((code & 0xdf) === 0x5b) {
      values++;
      if (++depth > limits.depth) return null;
    } else if ((code & 0xdf) === 0x5d) depth--;
    if (values > limits.values) return null;
  }
  return keys;
}

/** What changes the meaning of YAML beside its plain structure: a tag or a directive; and a byte order mark. */
const NOT_PLAIN = /(?:^|[\s[{,])[!%]|\ufeff/m;

function plainYaml(text: string, limits: PlainLimits): { value: unknown } | null {
  if (NOT_PLAIN.test(text) || mayHaveMoreTokens(text, limits.tokens)) return null;
  const value: unknown = load(text, { schema: CORE_SCHEMA, maxAliases: 0, maxDepth: limits.depth });
  return new Check(limits).isPlain(value, 0) ? { value } : null;
}

/** Whether a text may have more tokens than the library can hold: nodes begin at these characters only. */
function mayHaveMoreTokens(text: string, most: number): boolean {
  if (text.length <= most) return false;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    const begins =
      code === NEWLINE ||
      code === COMMA ||
      code === COLON ||
      (code & 0xdf) === 0x5b ||
      (code === SPACE && (text.charCodeAt(i - 1) === DASH || text.charCodeAt(i - 1) === QUESTION));
    if (begins && ++count > most) return true;
  }
  return false;
}

/** `<<` may be a merge, `__proto__` is refused, and what a key of null is worth is not for this reader to say. */
const NOT_PLAIN_KEYS = new Set(["<<", "__proto__", "null"]);
/** A number beyond all bounds is text to one library and infinite to the other. */
const HUGE_NUMBER = /^[-+]?[0-9.]+[eE]\+?[0-9]{3,}$/;

class Check {
  keys = 0;
  #values = 0;
  readonly #limits: PlainLimits;

  constructor(limits: PlainLimits) {
    this.#limits = limits;
  }

  isPlain(value: unknown, depth: number): boolean {
    if (++this.#values > this.#limits.values || depth > this.#limits.depth) return false;
    if (typeof value === "string") return value.charCodeAt(0) > 0x39 || !HUGE_NUMBER.test(value);
    if (typeof value !== "object" || value === null) return true;
    if (Array.isArray(value)) {
      for (const item of value) if (!this.isPlain(item, depth + 1)) return false;
      return true;
    }
    for (const key of Object.keys(value)) {
      this.keys++;
      if (NOT_PLAIN_KEYS.has(key)) return false;
      if (!this.isPlain((value as Record<string, unknown>)[key], depth + 1)) return false;
    }
    return true;
  }
}
