/**
 * Request paths: how one is normalised before routes are matched, how the upstream's path is built from it,
 * and how it is escaped again for the wire. The rules are Kong's (URI normalisation and `path_handling: v0`).
 *
 * Every path here is a byte string: one character per byte (0-255), as a request head is read. A decoded
 * `%C3%A9` is therefore two characters, and no decoding of UTF-8 can fail or be ambiguous on the way.
 */

const DOT = 0x2e;
const SLASH = 0x2f;
const PERCENT = 0x25;

/** Percent-encoded, these mean something else than bare, so their triplets stay: RFC 3986 section 2.2 and `%`. */
const RESERVED = tableOf("!*'();:@&=+$,/?%#[]");

/**
 * What goes upstream as it is. `?` and `#` would end the path there and are escaped; a normalised path has
 * neither, but a path that a plugin wrote may.
 */
const UNESCAPED = tableOf(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,/:;=@[]%",
);

function tableOf(characters: string): Uint8Array {
  const table = new Uint8Array(256);
  for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] = 1;
  return table;
}

/**
 * The path that routes are matched against. Triplets are decoded except those of reserved characters and `%`
 * (which are upper-cased), then dot segments are removed and slashes merged. Decoding comes first, so `%2e%2e`
 * is a dot segment; `%2F` is never a separator. A `%` that begins no triplet is data and becomes `%25`: left
 * alone, `%%32e` would decode to `%2e` here and to `.` at the upstream.
 *
 * Hot: a path with nothing to do is returned as it is, after one scan (bench/router.ts).
 * @param rawPath path of the request target, without query, as a byte string
 */
export function normalizePath(rawPath: string): string {
  if (isNormal(rawPath)) return rawPath;
  return removeDotSegments(rawPath.includes("%") ? decodeTriplets(rawPath) : rawPath);
}

function isNormal(path: string): boolean {
  const { length } = path;
  if (length > 0 && path.charCodeAt(0) === DOT) return false;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code === PERCENT) return false;
    if (code !== SLASH || i + 1 === length) continue;
    const next = path.charCodeAt(i + 1);
    if (next === SLASH || (next === DOT && isDotSegment(path, i + 1))) return false;
  }
  return true;
}

/** Whether the segment that starts at `start` is `.` or `..`. */
function isDotSegment(path: string, start: number): boolean {
  let end = start + 1;
  if (end < path.length && path.charCodeAt(end) === DOT) end++;
  return end === path.length || path.charCodeAt(end) === SLASH;
}

function decodeTriplets(path: string): string {
  let decoded = "";
  let copied = 0;
  for (let at = path.indexOf("%"); at !== -1; at = path.indexOf("%", copied)) {
    decoded += path.slice(copied, at);
    const high = at + 2 < path.length ? hexDigit(path.charCodeAt(at + 1)) : -1;
    const low = high === -1 ? -1 : hexDigit(path.charCodeAt(at + 2));
    if (low === -1) {
      decoded += "%25";
      copied = at + 1;
      continue;
    }
    const byte = high * 16 + low;
    decoded += RESERVED[byte] === 1 ? triplet(byte) : String.fromCharCode(byte);
    copied = at + 3;
  }
  return decoded + path.slice(copied);
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function triplet(byte: number): string {
  return (byte < 16 ? "%0" : "%") + byte.toString(16).toUpperCase();
}

/** RFC 3986 section 5.2.4, with empty segments dropped on the way. `..` never climbs above the root. */
function removeDotSegments(path: string): string {
  const kept: string[] = [];
  let last = "";
  for (const segment of path.split("/")) {
    last = segment;
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  if (kept.length === 0) return "/";
  const endsInSlash = last === "" || last === "." || last === "..";
  return `/${kept.join("/")}${endsInSlash ? "/" : ""}`;
}

/**
 * The path to ask the upstream for, not yet escaped: Kong's `path_handling: v0`.
 * @param servicePath the service's `path`; null is `/`
 * @param requestPath the normalised path
 * @param matchedPath what the route matched at the start of it ("" without a path condition)
 * @param stripPath the route's `strip_path`
 */
export function upstreamPath(
  servicePath: string | null,
  requestPath: string,
  matchedPath: string,
  stripPath: boolean,
): string {
  const base = servicePath === null || servicePath === "" ? "/" : servicePath;
  const baseEndsInSlash = base.charCodeAt(base.length - 1) === SLASH;
  if (!stripPath) {
    if (requestPath === "/") return base;
    if (!baseEndsInSlash) return base + requestPath;
    // Nothing in front of a path that is already rooted: no new string.
    if (base === "/" && requestPath.charCodeAt(0) === SLASH) return requestPath;
    return base + requestPath.slice(1);
  }

  const rest = withoutLeadingDots(requestPath.slice(matchedPath.length));
  const requestEndsInSlash = requestPath.charCodeAt(requestPath.length - 1) === SLASH;
  if (rest === "") {
    if (baseEndsInSlash) return base === "/" || requestEndsInSlash ? base : base.slice(0, -1);
    return requestPath.length > 1 && requestEndsInSlash ? `${base}/` : base;
  }
  const restIsRooted = rest.charCodeAt(0) === SLASH;
  if (baseEndsInSlash === restIsRooted) return baseEndsInSlash ? base + rest.slice(1) : `${base}/${rest}`;
  return base + rest;
}

/**
 * What is left of a path may begin in the middle of a segment: `/files` stripped from `/files../key` leaves
 * `../key`, which would climb out of the service's path. Leading dot segments and repeated slashes go.
 */
function withoutLeadingDots(rest: string): string {
  let start = 0;
  for (;;) {
    while (rest.charCodeAt(start) === SLASH && rest.charCodeAt(start + 1) === SLASH) start++;
    const segment = rest.charCodeAt(start) === SLASH ? start + 1 : start;
    if (segment >= rest.length || rest.charCodeAt(segment) !== DOT || !isDotSegment(rest, segment)) break;
    const end = rest.indexOf("/", segment);
    if (end === -1) return "";
    start = segment === start ? end + 1 : end;
  }
  return start === 0 ? rest : rest.slice(start);
}

/**
 * A path as it may stand in a request line: everything that is not a path character of RFC 3986 (nor `[`, `]`)
 * becomes a triplet; triplets stay as they are. A character above 255 is no byte (a plugin may hand one in) and
 * is escaped as UTF-8: written as latin1 it could turn into a line break.
 *
 * Hot: a path with nothing to escape is returned as it is, after one scan.
 */
export function escapePath(path: string): string {
  const { length } = path;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code > 0xff || UNESCAPED[code] === 0) return escapeFrom(path, i);
  }
  return path;
}

function escapeFrom(path: string, start: number): string {
  let escaped = path.slice(0, start);
  for (const character of path.slice(start)) {
    const code = character.codePointAt(0) ?? 0;
    if (code > 0xff) for (const byte of Buffer.from(character, "utf8")) escaped += triplet(byte);
    else escaped += UNESCAPED[code] === 1 ? character : triplet(code);
  }
  return escaped;
}

/** Text as a byte string, by UTF-8: configuration is text, requests are bytes. ASCII is returned as it is. */
export function byteString(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, "utf8").toString("latin1");
  }
  return text;
}
