/** The fields of a request that an expression may ask for: Kong's for HTTP routes, with their types. */

import { nearest } from "../../declarative/nearest.ts";
import type { RequestFields } from "./request-fields.ts";

export type Field =
  /** `isPath`: what is compared is the path itself, so that a match of its start can be stripped. */
  | {
      readonly type: "string";
      readonly many: false;
      readonly isPath?: true;
      readonly read: (fields: RequestFields) => string | null;
    }
  | {
      readonly type: "string";
      readonly many: true;
      readonly read: (fields: RequestFields) => readonly string[];
    }
  /** NaN stands for none. */
  | { readonly type: "integer"; readonly read: (fields: RequestFields) => number }
  | { readonly type: "address"; readonly read: (fields: RequestFields) => string | null };

const single = (read: (fields: RequestFields) => string | null): Field => ({
  type: "string",
  many: false,
  read,
});
const integer = (read: (fields: RequestFields) => number): Field => ({ type: "integer", read });

const FIXED: Readonly<Record<string, Field>> = {
  "net.protocol": single(({ input }) => input.scheme),
  "tls.sni": single((fields) => fields.sni),
  "http.method": single(({ input }) => input.method),
  "http.host": single(({ input }) => (input.host === "" ? null : input.host)),
  "http.path": { type: "string", many: false, isPath: true, read: ({ input }) => input.path },
  "http.path.segments.len": integer((fields) => fields.segments.length),
  "net.src.ip": { type: "address", read: (fields) => fields.sourceIp },
  "net.src.port": integer(({ input }) => input.clientPort),
  "net.dst.ip": { type: "address", read: (fields) => fields.destinationIp },
  "net.dst.port": integer(({ input }) => input.port),
  // Kong's older name of net.dst.port.
  "net.port": integer(({ input }) => input.port),
};

const SEGMENTS = "http.path.segments.";
const HEADERS = "http.headers.";
const QUERIES = "http.queries.";
const STREAM_OR_OLD = new Set(["net.port"]);
const NAMES = [
  ...Object.keys(FIXED).filter((name) => !STREAM_OR_OLD.has(name)),
  `${SEGMENTS}0`,
  `${HEADERS}<name>`,
  `${QUERIES}<name>`,
];

/** The field of a name; a string says what is wrong with it. */
export function fieldOf(name: string): Field | string {
  const fixed = Object.hasOwn(FIXED, name) ? FIXED[name] : undefined;
  if (fixed !== undefined) return fixed;
  if (name.startsWith(SEGMENTS)) return segments(name.slice(SEGMENTS.length));
  if (name.startsWith(HEADERS) && name.length > HEADERS.length) {
    const header = name.slice(HEADERS.length).toLowerCase();
    return { type: "string", many: true, read: (fields) => fields.headerValues(header) };
  }
  if (name.startsWith(QUERIES) && name.length > QUERIES.length) {
    const argument = name.slice(QUERIES.length);
    return { type: "string", many: true, read: (fields) => fields.queryValues(argument) };
  }
  const near = nearest(name, NAMES);
  return near === null
    ? `unknown field '${name}'; allowed: ${NAMES.join(", ")}`
    : `unknown field '${name}'; did you mean '${near}'?`;
}

/** `N`, or `N_M` with N < M: those segments, joined by slashes. */
function segments(which: string): Field | string {
  const found = /^(0|[1-9]\d{0,8})(?:_([1-9]\d{0,8}))?$/.exec(which);
  const first = Number(found?.[1]);
  const last = found?.[2] === undefined ? first : Number(found[2]);
  if (found === null || (found[2] !== undefined && first >= last)) {
    return (
      `illformed http.path.segments.* field; write http.path.segments.0 for the first segment, ` +
      `http.path.segments.0_2 for the first three, or http.path.segments.len`
    );
  }
  if (first === last) return single((fields) => fields.segments[first] ?? null);
  return single(({ segments: all }) => (last < all.length ? all.slice(first, last + 1).join("/") : null));
}
