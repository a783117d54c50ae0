/**
 * Header fields of one message as parallel arrays: the name with what is known of it, and the value. Hot: read and written several times for every request; guarded by bench/http1.ts.
 */
import type { Headers } from "@gatehouse/sdk";
import { isToken } from "./syntax.ts";

/** What the codec and the pipeline must know of a field by its name. */
export const FIELD = {
  other: 0,
  host: 1,
  connection: 2,
  contentLength: 3,
  transferEncoding: 4,
  expect: 5,
  /** Fields of one hop, removed when forwarding (RFC 9110 section 7.6.1), and `Proxy` (CVE-2016-5385). */
  hop: 6,
  te: 7,
  upgrade: 8,
  via: 9,
  /** X-Forwarded-*, X-Real-IP: the gateway writes its own in requests. */
  forwarded: 10,
  date: 11,
  server: 12,
  contentType: 13,
  trailer: 14,
  /** X-Kong-Request-Id and the latencies: the gateway writes its own in requests and responses. */
  gateway: 15,
} as const;
export type FieldKind = (typeof FIELD)[keyof typeof FIELD];

export interface FieldName {
  readonly spelling: string;
  /** What stands before its value on a line: `Name: `. */
  readonly start: string;
  /** The same with the end of the line before. */
  readonly next: string;
  readonly lower: string;
  readonly kind: FieldKind;
  /** Whether the spelling is a token at all; what the parser hands in always is. */
  readonly sound: boolean;
}

const KINDS = new Map<string, FieldKind>([
  ["host", FIELD.host],
  ["connection", FIELD.connection],
  ["content-length", FIELD.contentLength],
  ["transfer-encoding", FIELD.transferEncoding],
  ["expect", FIELD.expect],
  ["keep-alive", FIELD.hop],
  ["proxy-connection", FIELD.hop],
  ["proxy", FIELD.hop],
  ["te", FIELD.te],
  ["upgrade", FIELD.upgrade],
  ["via", FIELD.via],
  ["x-forwarded-for", FIELD.forwarded],
  ["x-forwarded-proto", FIELD.forwarded],
  ["x-forwarded-host", FIELD.forwarded],
  ["x-forwarded-port", FIELD.forwarded],
  ["x-forwarded-path", FIELD.forwarded],
  ["x-forwarded-prefix", FIELD.forwarded],
  ["x-real-ip", FIELD.forwarded],
  ["x-kong-request-id", FIELD.gateway],
  ["x-kong-proxy-latency", FIELD.gateway],
  ["x-kong-upstream-latency", FIELD.gateway],
  ["x-kong-response-latency", FIELD.gateway],
  ["date", FIELD.date],
  ["server", FIELD.server],
  ["content-type", FIELD.contentType],
  ["trailer", FIELD.trailer],
]);

/**
 * Spellings seen so far. Bounded in number and length, because clients choose them: long spellings, and all
 * further ones when it is full, are looked up the slow way.
 */
const seen = new Map<string, FieldName>();
const SEEN_MAX = 4096;
const SEEN_MAX_LENGTH = 64;

/** What is known of a field by its name in any spelling. */
export function fieldName(spelling: string): FieldName {
  const known = seen.get(spelling);
  if (known !== undefined) return known;
  // A copy as bytes is the same name for tokens only; others come from plugins, and are refused.
  if (seen.size >= SEEN_MAX || spelling.length > SEEN_MAX_LENGTH || !isToken(spelling))
    return describe(spelling);
  // A substring keeps the whole head alive, and so may its lower case: the cache keeps a copy of its own.
  const copy = Buffer.from(spelling, "latin1").toString("latin1");
  const made = describe(copy);
  seen.set(copy, made);
  const slot = hashOf(copy) & SLOT_MASK;
  slots[slot] ??= made;
  return made;
}

/**
 * The spellings that were seen first, by a hash that the parser makes while it scans: a name that is found here
 * costs neither a string nor a look into a map. Whoever crowds the slots makes names slower, never wrong.
 */
const SLOT_MASK = 1023;
const slots: (FieldName | undefined)[] = new Array(SLOT_MASK + 1).fill(undefined);

/** Names that most messages carry have their places before anybody can crowd them out. */
const COMMON =
  "Accept Accept-Encoding Accept-Language Authorization Cache-Control Connection Content-Encoding " +
  "Content-Language Content-Length Content-Security-Policy Content-Type Cookie Date ETag Expires Host " +
  "If-Modified-Since If-None-Match Keep-Alive Last-Modified Link Location Origin Pragma Range Referer " +
  "Server Set-Cookie Strict-Transport-Security Transfer-Encoding Upgrade-Insecure-Requests User-Agent Vary Via " +
  "X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Request-Id X-Real-IP apikey " +
  "traceparent tracestate Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Access-Control-Allow-Origin Age";
for (const name of COMMON.split(" ")) for (const spelling of [name, name.toLowerCase()]) fieldName(spelling);

/** The hash that `fieldNameIn` asks for: over all character codes, `hash * 31 + code` in 32 bits. */
function hashOf(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

/** What is known of the field whose name is text[start, end). Hot; guarded by bench/http1.ts. */
export function fieldNameIn(text: string, start: number, end: number, hash: number): FieldName {
  const known = slots[hash & SLOT_MASK];
  if (known !== undefined && isAt(text, start, end, known.spelling)) return known;
  return fieldName(text.substring(start, end));
}

function isAt(text: string, start: number, end: number, spelling: string): boolean {
  const { length } = spelling;
  if (length !== end - start) return false;
  for (let i = 0; i < length; i++) {
    if (text.charCodeAt(start + i) !== spelling.charCodeAt(i)) return false;
  }
  return true;
}

function describe(spelling: string): FieldName {
  const lower = spelling.toLowerCase();
  return {
    spelling,
    start: `${spelling}: `,
    next: `\r\n${spelling}: `,
    lower,
    kind: KINDS.get(lower) ?? FIELD.other,
    sound: isToken(spelling),
  };
}

/**
 * Everything that a field value may be, RFC 9110 section 5.5. A regular expression here, not the table of the
 * parser: values that plugins write are strings of every inner form, which a loop over characters pays for.
 */
const SOUND_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** What a plugin writes is held to the same rules as what a client sends: no value can begin another field. */
function soundName(spelling: string, value: string): FieldName {
  const name = fieldName(spelling);
  if (!name.sound) throw new TypeError(`'${spelling}' is not a header name`);
  if (!SOUND_VALUE.test(value))
    throw new TypeError(
      `header ${spelling}: control characters, characters beyond latin1 or outer white space`,
    );
  return name;
}

const NO_NAME = describe("");

export class HeaderList implements Headers {
  /**
   * Names as received. Both arrays are as long as each other up to `length`. What is beyond holds nothing: a value is
   * a piece of the head that it came in, and would keep all of it in memory.
   */
  readonly names: FieldName[] = [];
  readonly values: string[] = [];
  length = 0;

  clear(): void {
    this.#cut(0);
  }

  #cut(length: number): void {
    for (let i = length; i < this.length; i++) {
      this.names[i] = NO_NAME;
      this.values[i] = "";
    }
    this.length = length;
  }

  push(name: FieldName, value: string): void {
    const at = this.length++;
    this.names[at] = name;
    this.values[at] = value;
  }

  get(lower: string): string | undefined {
    for (let i = 0; i < this.length; i++) {
      if ((this.names[i] as FieldName).lower === lower) return this.values[i];
    }
    return undefined;
  }

  getAll(lower: string): string[] {
    const found: string[] = [];
    for (let i = 0; i < this.length; i++) {
      if ((this.names[i] as FieldName).lower === lower) found.push(this.values[i] as string);
    }
    return found;
  }

  has(lower: string): boolean {
    return this.get(lower) !== undefined;
  }

  /** @throws {TypeError} if name or value would not stay one field on the wire. */
  set(spelling: string, value: string): void {
    const name = soundName(spelling, value);
    for (let i = 0; i < this.length; i++) {
      if ((this.names[i] as FieldName).lower !== name.lower) continue;
      this.names[i] = name;
      this.values[i] = value;
      this.#removeFrom(i + 1, name.lower);
      return;
    }
    this.push(name, value);
  }

  /** @throws {TypeError} as `set`. */
  add(spelling: string, value: string): void {
    this.push(soundName(spelling, value), value);
  }

  remove(spelling: string): void {
    this.#removeFrom(0, fieldName(spelling).lower);
  }

  entries(): [string, string][] {
    const out: [string, string][] = [];
    for (let i = 0; i < this.length; i++)
      out.push([(this.names[i] as FieldName).spelling, this.values[i] as string]);
    return out;
  }

  /** The entries whose lower-case name passes. */
  select(passes: (lower: string) => boolean): [string, string][] {
    const out: [string, string][] = [];
    for (let i = 0; i < this.length; i++) {
      const { lower, spelling } = this.names[i] as FieldName;
      if (passes(lower)) out.push([spelling, this.values[i] as string]);
    }
    return out;
  }

  /** Removes every field of a kind. */
  removeKind(kind: FieldKind): void {
    let kept = 0;
    for (let i = 0; i < this.length; i++) {
      if ((this.names[i] as FieldName).kind !== kind) this.#move(i, kept++);
    }
    this.#cut(kept);
  }

  #removeFrom(start: number, lower: string): void {
    let kept = start;
    for (let i = start; i < this.length; i++) {
      if ((this.names[i] as FieldName).lower !== lower) this.#move(i, kept++);
    }
    this.#cut(kept);
  }

  #move(from: number, to: number): void {
    if (from === to) return;
    this.names[to] = this.names[from] as FieldName;
    this.values[to] = this.values[from] as string;
  }
}

/** Lists that are free to be used again: a list with its arrays is the largest thing that a request needs anew. */
const spare: HeaderList[] = [];
const SPARE_MAX = 256;

export function newHeaders(): HeaderList {
  return spare.pop() ?? new HeaderList();
}

/** Gives a list back that nobody looks at any more. */
export function releaseHeaders(list: HeaderList): void {
  if (spare.length === SPARE_MAX) return;
  list.clear();
  spare.push(list);
}
