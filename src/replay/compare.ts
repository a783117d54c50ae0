/** How what came of one recorded request differs between two versions of a plugin. */
import { createHash } from "node:crypto";
import type { Played } from "./played.ts";

/** One difference. `from` and `to` are what stands there with either version; null where there is nothing. */
export interface Difference {
  /** Such as `response.status`, `request.headers`. */
  readonly what: string;
  /** Of a header, in lower case. */
  readonly name?: string;
  readonly from: unknown;
  readonly to: unknown;
}

const MOST_DIFFERENCES = 50;
const MOST_CHARACTERS = 200;
/** How much of two bodies is shown from about where they begin to differ. */
const EXCERPT_BYTES = 80;
const BEFORE_BYTES = 20;

/** Fields that frame a message, and Date, which the gateway adds where there is none: no plugin decides on them. */
const NOT_COMPARED = new Set(["connection", "content-length", "date", "keep-alive", "transfer-encoding"]);

type Fields = readonly (readonly [string, string])[];

/** Everything that differs but for what it cost; empty if nothing does. */
export function differences(from: Played, to: Played): Difference[] {
  const found: Difference[] = [];
  const compare = (what: string, a: unknown, b: unknown) => {
    if (a !== b) found.push({ what, from: shown(a), to: shown(b) });
  };
  compare("failures", failuresOf(from), failuresOf(to));
  compare("answered_by", from.response?.source ?? null, to.response?.source ?? null);
  if (from.request !== null && to.request !== null) {
    compare("request.method", from.request.method, to.request.method);
    compare("request.path", from.request.path, to.request.path);
    compare("request.query", from.request.query, to.request.query);
    found.push(...headers("request.headers", from.request.headers, to.request.headers));
    found.push(...bodies("request.body", from.request.body, to.request.body));
  }
  if (from.response !== null && to.response !== null) {
    compare("response.status", from.response.status, to.response.status);
    found.push(...headers("response.headers", from.response.headers, to.response.headers));
    found.push(...bodies("response.body", from.response.body, to.response.body));
  }
  return found.slice(0, MOST_DIFFERENCES);
}

function failuresOf({ failures }: Played): string | null {
  if (failures.length === 0) return null;
  return failures.map(({ phase, failure, message }) => `${failure} in ${phase}: ${message}`).join("; ");
}

function shown(value: unknown): unknown {
  if (typeof value !== "string" || value.length <= MOST_CHARACTERS) return value;
  return `${value.slice(0, MOST_CHARACTERS)}… (${value.length} characters)`;
}

function headers(what: string, from: Fields, to: Fields): Difference[] {
  const before = byName(from);
  const after = byName(to);
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name) => {
    const a = before.get(name) ?? [];
    const b = after.get(name) ?? [];
    if (a.length === b.length && a.every((value, i) => value === b[i])) return [];
    const side = (values: readonly string[]) =>
      values.length === 0 ? null : shown(values.length === 1 ? values[0] : values.join(", "));
    return [{ what, name, from: side(a), to: side(b) }];
  });
}

function byName(fields: Fields): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    if (NOT_COMPARED.has(lower)) continue;
    const values = names.get(lower);
    if (values === undefined) names.set(lower, [value]);
    else values.push(value);
  }
  return names;
}

const EMPTY = new Uint8Array();

/** No body is like an empty one. */
function bodies(what: string, from: Uint8Array | null, to: Uint8Array | null): Difference[] {
  const a = from ?? EMPTY;
  const b = to ?? EMPTY;
  const at = firstDifference(a, b);
  if (at < 0) return [];
  const start = Math.max(0, at - BEFORE_BYTES);
  const side = (bytes: Uint8Array) => ({
    bytes: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    excerpt: Buffer.from(bytes.subarray(start, start + EXCERPT_BYTES)).toString("utf8"),
  });
  return [{ what, from: side(a), to: side(b) }];
}

/** Where they begin to differ; -1 if they do not. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i;
  return a.length === b.length ? -1 : length;
}
