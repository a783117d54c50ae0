/**
 * Fields that several entities share, as values of the schema builder: the scalar types of Kong's `typedefs`
 * with its limits and its words. Patterns here are our own and linear; text from users is only ever matched.
 */
import { integer, set, string } from "@gatehouse/sdk";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PCHAR_PATH = /^[a-zA-Z0-9.\-_~/%!$&'()*+,;=:@]*$/;

/** Longest name, tag, host or path that an entity may carry, in bytes. Kong has no bound; hostile files do. */
export const MAX_TEXT = 4096;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** ASCII is limited to letters, digits and `.-_~`; anything beyond ASCII is free. */
function checkName(name: string): string | undefined {
  for (const character of name) {
    if (character > "\u007f" ? /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(character) : !/[\w.~-]/.test(character))
      return `invalid value '${name}': the only accepted ascii characters are alphanumerics or ., -, _, and ~`;
  }
  return undefined;
}

function checkTag(tag: string): string | undefined {
  return /[,/\p{Cc}\p{Cs}]/u.test(tag)
    ? `invalid tag '${tag}': expected printable ascii (except \`,\` and \`/\`) or valid utf-8 sequences`
    : undefined;
}

/** `id`, made up when absent. */
export const id = () => string({ uuid: true, auto: true, description: "UUID of the entity." });
/** Seconds since the epoch, made up when absent. */
export const timestamp = () =>
  integer({
    timestamp: true,
    auto: true,
    description: "Seconds since the epoch.",
  });
export const uuid = () => string({ uuid: true });
export const name = <const O extends { required?: boolean; description?: string }>(options: O = {} as O) =>
  string({ ...options, unique: true, lenMax: MAX_TEXT, check: checkName });
export const text = () => string({ lenMax: MAX_TEXT });
export const tags = () =>
  set(string({ required: true, lenMax: MAX_TEXT, check: checkTag }), {
    description: "Free labels, for grouping.",
  });
export const port = { between: [0, 65_535] } as const;

/** Milliseconds, at least `least`. */
export function timeout<const D extends number>(defaultMs: D, least = 1) {
  return integer({ default: defaultMs, between: [least, 2 ** 31 - 2], description: "In milliseconds." });
}

export function checkToken(name: string): string | undefined {
  return TOKEN.test(name) ? undefined : `bad header name '${name}', allowed characters are those of a token`;
}

/** A header's name. */
export const headerName = () => string({ lenMax: 1024, check: checkToken });

export const methods = (description: string) =>
  set(
    string({
      lenMax: 64,
      check: (method: string) =>
        /^[A-Z]+$/.test(method) ? undefined : `invalid value: ${method} (upper-case letters only)`,
    }),
    { description },
  );

/** A plain path: starts with `/`, no empty segments, RFC 3986 characters, sound percent-encoding. */
export const path = <const O extends { default?: string; description?: string }>(options: O = {} as O) =>
  string({
    ...options,
    lenMax: MAX_TEXT,
    startsWith: "/",
    matchNone: [{ pattern: "//", err: "must not have empty segments" }],
    check: checkPath,
  });

function checkPath(path: string): string | undefined {
  if (!PCHAR_PATH.test(path))
    return `invalid path: '${path}' (characters outside of the reserved list of RFC 3986 found)`;
  const bad = /%(?![0-9a-fA-F]{2})/.exec(path);
  return bad ? `invalid url-encoded value: '${path.slice(bad.index, bad.index + 3)}'` : undefined;
}

export const PROTOCOLS = ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"] as const;
export type Protocol = (typeof PROTOCOLS)[number];
