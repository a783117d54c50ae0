/**
 * Regular expressions in routes. Tenants write them, so they run in linear time (RE2: no look-around, no
 * back-references), their size is bounded, and so is the memory that matching may take.
 */

import { isUtf8 } from "node:buffer";
import { RE2JS } from "re2js";
import { byteString } from "./path.ts";

/** Characters in a pattern. */
const MAX_PATTERN_LENGTH = 2_048;
/**
 * Instructions it may compile to. Linear time is this times the length of the path: the worst pattern of 400
 * takes 30 ms for a path of 8,000 bytes (measured), and `{1,255}` still fits.
 */
const MAX_PROGRAM_SIZE = 600;
/** Bytes of automaton states that one pattern may keep; RE2JS would take 8 MiB, per pattern and thread. */
const AUTOMATON_BYTES = 128 * 1024;

/** Why a pattern is refused; the message is for the person who wrote it. */
export class PatternError extends Error {
  override name = "PatternError";
}

function compile(pattern: string, flags: number, anchored: boolean): RE2JS {
  if (pattern.length > MAX_PATTERN_LENGTH) {
    throw new PatternError(
      `the regular expression has ${pattern.length} characters; at most ${MAX_PATTERN_LENGTH} are allowed`,
    );
  }
  let compiled: RE2JS;
  try {
    if (!anchored) compiled = RE2JS.compile(pattern, flags);
    else if (!pattern.includes("|")) compiled = RE2JS.compile(`^${pattern}`, flags);
    else {
      // The group keeps every alternative of "/a|/b" at the start. Compiled on its own first: within a group,
      // "/a)|(/b" would close what it did not open.
      RE2JS.compile(pattern, flags);
      compiled = RE2JS.compile(`^(?:${pattern})`, flags);
    }
  } catch (error) {
    throw new PatternError(explainRefusal(pattern, error), { cause: error });
  }
  if (compiled.programSize() > MAX_PROGRAM_SIZE) {
    throw new PatternError(
      `the regular expression is too large once its repetitions are written out ` +
        `(${compiled.programSize()} steps; at most ${MAX_PROGRAM_SIZE}): use smaller counts`,
    );
  }
  const engine = compiled.re2();
  // Patterns that need no automaton are left without one: building it costs more than compiling.
  if (!engine.onepass) {
    engine.dfa.stateBudget = AUTOMATON_BYTES;
    engine.dfa.memBudget = AUTOMATON_BYTES;
  }
  return compiled;
}

function explainRefusal(pattern: string, error: unknown): string {
  const outsideLinearTime = withoutLinearTime(pattern);
  if (outsideLinearTime !== null) {
    return (
      `${outsideLinearTime} cannot be used: patterns run in linear time, without look-around and ` +
      `back-references. Match the plain form and use regex_priority or a second route for the exception`
    );
  }
  return `not a valid regular expression: ${error instanceof Error ? error.message : String(error)}`;
}

/** Names the construct that RE2 leaves out on purpose, if the pattern has one. */
function withoutLinearTime(pattern: string): string | null {
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === "\\") {
      const escaped = pattern[i + 1] ?? "";
      if (escaped === "k" || (escaped >= "1" && escaped <= "9")) return `the back-reference "\\${escaped}"`;
      i++;
      continue;
    }
    if (pattern.startsWith("(?P=", i)) return 'the back-reference "(?P="';
    for (const opening of ["(?=", "(?!", "(?<=", "(?<!"]) {
      if (pattern.startsWith(opening, i)) {
        return `the ${opening.startsWith("(?<") ? "look-behind" : "look-ahead"} "${opening}"`;
      }
    }
  }
  return null;
}

/** A regex path of a route: everything after the `~`. It matches from the start of the path, to wherever. */
export class PathPattern {
  /** Plain text that every match starts with; found in the trie before the regex is run. */
  readonly literalPrefix: string;
  readonly #regex: RE2JS;
  readonly #groups: Groups;

  /** @throws {PatternError} */
  constructor(pattern: string) {
    this.#regex = compile(pattern, 0, true);
    this.literalPrefix = literalPrefix(pattern);
    this.#groups = groupsOf(this.#regex);
  }

  /** @param text the path as text, see {@link pathText} */
  test(text: string): boolean {
    return this.#regex.test(text);
  }

  /** What is matched of a path that passed the test, and its groups if the pattern has any. As byte strings. */
  match(text: string): { matchedPath: string; captures: Record<string, string> | null } {
    return matchWithGroups(this.#regex, this.#groups, text);
  }
}

interface Groups {
  readonly count: number;
  readonly names: readonly (readonly [name: string, index: number])[];
}

const groupsOf = (regex: RE2JS): Groups => ({
  count: regex.groupCount(),
  names: Object.entries(regex.namedGroups()),
});

/** The first match in a text that has one. */
function matchWithGroups(
  regex: RE2JS,
  { count, names }: Groups,
  text: string,
): { start: number; matchedPath: string; captures: Record<string, string> | null } {
  // One pass for the end and all groups, as [start, end, start, end, ...]; -1 where a group took no part.
  const bounds: number[] = regex.re2().matchWithGroup(text, 0, text.length, 0, 1 + count)[1];
  const captures: Record<string, string> | null = count === 0 ? null : Object.create(null);
  if (captures !== null) {
    for (let i = 0; i <= count; i++) {
      if (bounds[2 * i]! >= 0) captures[i] = byteString(text.slice(bounds[2 * i], bounds[2 * i + 1]));
    }
    for (const [name, i] of names) {
      const value = captures[i];
      if (value !== undefined) captures[name] = value;
    }
  }
  const start = bounds[0]!;
  return { start, matchedPath: byteString(text.slice(start, bounds[1])), captures };
}

/**
 * A path (a byte string) as the text that patterns are about. Null if its bytes are no UTF-8: no pattern
 * matches such a path. An ASCII path is returned as it is.
 */
export function pathText(path: string): string | null {
  for (let i = 0; i < path.length; i++) {
    if (path.charCodeAt(i) > 0x7f) {
      const bytes = Buffer.from(path, "latin1");
      return isUtf8(bytes) ? bytes.toString("utf8") : null;
    }
  }
  return path;
}

/** A header value pattern of a route: everything after the `~*`. It matches anywhere in a value, in any case. */
export class HeaderPattern {
  readonly #regex: RE2JS;

  /** @throws {PatternError} */
  constructor(pattern: string) {
    this.#regex = compile(pattern, RE2JS.CASE_INSENSITIVE, false);
  }

  test(value: string): boolean {
    return this.#regex.test(value);
  }
}

/**
 * A pattern in a route's expression. It matches anywhere in a value and minds case; what is to match at the
 * start says so with a `^`.
 */
export class ValuePattern {
  readonly #regex: RE2JS;
  readonly #groups: Groups;

  /** @throws {PatternError} */
  constructor(pattern: string) {
    this.#regex = compile(pattern, 0, false);
    this.#groups = groupsOf(this.#regex);
  }

  /** @param text a value as text, see {@link pathText} */
  test(text: string): boolean {
    return this.#regex.test(text);
  }

  /** What is matched of a text that passed the test if that begins where the text does, else ""; and the groups. */
  match(text: string): { matchedPath: string; captures: Record<string, string> | null } {
    const { start, ...found } = matchWithGroups(this.#regex, this.#groups, text);
    return start === 0 ? found : { ...found, matchedPath: "" };
  }
}

const META = "\\^$.|?*+()[]{}";

/**
 * The ASCII text that everything a pattern matches must start with: its leading literals, less the last one
 * if a repetition follows. Shorter than it could be where that keeps this simple, never longer.
 */
export function literalPrefix(pattern: string): string {
  if (hasTopLevelAlternative(pattern)) return "";
  let prefix = "";
  let i = 0;
  while (i < pattern.length) {
    let literal = pattern[i]!;
    let width = 1;
    if (literal === "\\") {
      literal = pattern[i + 1] ?? "";
      // An escaped letter or digit is a class or an assertion.
      if (literal === "" || /[A-Za-z0-9]/.test(literal)) break;
      width = 2;
    } else if (META.includes(literal)) break;
    if (literal > "\x7f") break;
    const next = pattern[i + width];
    if (next !== undefined && "?*+{".includes(next)) break;
    prefix += literal;
    i += width;
  }
  return prefix;
}

function hasTopLevelAlternative(pattern: string): boolean {
  // \Q...\E quotes what would otherwise count; rare enough to give up on.
  if (!pattern.includes("|")) return false;
  if (pattern.includes("\\Q")) return true;
  let depth = 0;
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i];
    if (character === "\\") i++;
    else if (character === "[") i = endOfClass(pattern, i);
    else if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === "|" && depth === 0) return true;
  }
  return false;
}

/** Index of the `]` that closes the class opened at `start`; a `]` in first place is a member. */
function endOfClass(pattern: string, start: number): number {
  let i = start + 1;
  if (pattern[i] === "^") i++;
  if (pattern[i] === "]") i++;
  for (; i < pattern.length && pattern[i] !== "]"; i++) {
    if (pattern[i] === "\\") i++;
    else if (pattern.startsWith("[:", i)) {
      const end = pattern.indexOf(":]", i + 2);
      if (end !== -1) i = end + 1;
    }
  }
  return i;
}
