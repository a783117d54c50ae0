/**
 * Heads of HTTP/1.1 messages (RFC 9112 sections 2 to 6): one latin1 string, scanned once, nothing guessed.
 *
 * Stricter than Node's own parser on purpose. Whatever two recipients could frame differently is refused, so
 * that no request can hide in another: bare CR or LF, obs-fold, white space around a name, two lengths, a
 * length beside a coding, any coding but `chunked`. Hot; guarded by bench/http1.ts.
 */
import { isHost } from "./authority.ts";
import { checkFraming, parseFields } from "./field-lines.ts";
import { type Head, type HeadLimits, INCOMPLETE, type RequestHead, type ResponseHead } from "./head.ts";
import { COLON, CR, LF, SP, skip, TARGET, TOKEN, VALUE } from "./syntax.ts";

/**
 * Parses a request head that starts at `from`.
 * @returns the index after the empty line; INCOMPLETE (0) if it has not come yet; -1 if it is refused
 *   (`head.error` says why).
 */
export function parseRequestHead(text: string, from: number, head: RequestHead, limits: HeadLimits): number {
  head.reset();
  let at = from;
  // One empty line before a request is tolerated (RFC 9112 section 2.2).
  if (text.charCodeAt(at) === CR) {
    if (text.length === at + 1) return INCOMPLETE;
    if (text.charCodeAt(at + 1) !== LF)
      return head.refuse("bad_request_line", "bare CR before the request line");
    at += 2;
  }
  const methodStart = at;
  at = skip(text, at, TOKEN);
  // Longer than any method there is (RFC 9112 section 3).
  if (at - methodStart > 32) return head.refuse("method_unknown", "method longer than 32 characters");
  if (at === text.length) return tooLong(text, from, head, limits);
  if (text.charCodeAt(at) !== SP || at === methodStart)
    return head.refuse("bad_request_line", "invalid method");
  head.method = text.substring(methodStart, at);
  const targetStart = ++at;
  at = skip(text, at, TARGET);
  // A target that alone is more than a head may have is no less too long (RFC 9112 section 3).
  if (at - targetStart > limits.maxUrlBytes || at - from > limits.maxHeadBytes)
    return head.refuse("url_too_long", "request target too long");
  if (at === text.length) return tooLong(text, from, head, limits);
  if (text.charCodeAt(at) !== SP || at === targetStart)
    return head.refuse("bad_request_line", "invalid request target");
  head.target = text.substring(targetStart, at);
  at++;
  if (text.length < at + VERSION_END.length) {
    // Completed as if it were sound, so that the verdict is the same however the bytes arrive.
    const sound = text.substring(at) + VERSION_END.substring(text.length - at);
    return ANY_VERSION.test(sound) ? tooLong(text, from, head, limits) : version(sound, head);
  }
  if (text.startsWith("HTTP/1.1\r\n", at)) head.minor = 1;
  else if (text.startsWith("HTTP/1.0\r\n", at)) head.minor = 0;
  else return version(text.substring(at, at + 10), head);
  at += 10;
  const end = parseFields(text, at, head, limits.maxHeaders);
  if (end === INCOMPLETE) return tooLong(text, from, head, limits);
  if (end < 0) return -1;
  if (end - from > limits.maxHeadBytes) return head.refuse("head_too_large", "request head too large");
  return checkRequest(head) ? end : -1;
}

const VERSION_END = "HTTP/1.1\r\n";
const ANY_VERSION = /^HTTP\/\d\.\d\r\n/;

function version(text: string, head: Head): -1 {
  return ANY_VERSION.test(text)
    ? head.refuse("http_version", "only HTTP/1.0 and HTTP/1.1 are served here")
    : head.refuse("bad_request_line", "invalid HTTP version");
}

function tooLong(text: string, from: number, head: Head, limits: HeadLimits): number {
  return text.length - from > limits.maxHeadBytes
    ? head.refuse("head_too_large", "request head too large")
    : INCOMPLETE;
}

/**
 * Parses a response head that starts at `from`; returns as `parseRequestHead` does. A response that cannot be
 * framed for sure is refused, which becomes a 502.
 */
export function parseResponseHead(
  text: string,
  from: number,
  head: ResponseHead,
  limits: HeadLimits,
): number {
  head.reset();
  if (text.length - from < 13) {
    const start = text.substring(from, from + 9);
    return "HTTP/1.1 ".startsWith(start) || "HTTP/1.0 ".startsWith(start)
      ? INCOMPLETE
      : head.refuse("upstream_invalid", "not an HTTP/1.1 response");
  }
  if (text.startsWith("HTTP/1.1 ", from)) head.minor = 1;
  else if (text.startsWith("HTTP/1.0 ", from)) head.minor = 0;
  else return head.refuse("upstream_invalid", "not an HTTP/1.1 response");
  let status = 0;
  for (let i = from + 9; i < from + 12; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return head.refuse("upstream_invalid", "invalid status code");
    status = status * 10 + digit;
  }
  if (status < 100 || status > 599) return head.refuse("upstream_invalid", "status code out of range");
  head.status = status;
  let at = from + 12;
  if (text.charCodeAt(at) === SP) at++;
  else if (text.charCodeAt(at) !== CR) return head.refuse("upstream_invalid", "invalid status line");
  const reasonStart = at;
  at = skip(text, at, VALUE);
  head.reason = text.substring(reasonStart, at);
  if (at + 1 >= text.length) return responseTooLong(text, from, head, limits);
  if (text.charCodeAt(at) !== CR || text.charCodeAt(at + 1) !== LF)
    return head.refuse("upstream_invalid", "invalid status line");
  const end = parseFields(text, at + 2, head, limits.maxHeaders);
  if (end === INCOMPLETE) return responseTooLong(text, from, head, limits);
  if (end < 0 || !checkFraming(head)) {
    head.error = "upstream_invalid";
    return -1;
  }
  if (end - from > limits.maxHeadBytes) return head.refuse("upstream_invalid", "response head too large");
  return end;
}

function responseTooLong(text: string, from: number, head: Head, limits: HeadLimits): number {
  return text.length - from > limits.maxHeadBytes
    ? head.refuse("upstream_invalid", "response head too large")
    : INCOMPLETE;
}

function checkRequest(head: RequestHead): boolean {
  if (!checkFraming(head)) return false;
  // TRACE is answered with the request itself, which has no content (RFC 9110 section 9.3.8).
  if (head.method === "TRACE" && (head.chunked || head.contentLength > 0))
    return head.refuse("bad_framing", "TRACE with content") > 0;
  if (head.method === "CONNECT") return head.refuse("method_refused", "CONNECT is not served") > 0;
  const first = head.target.charCodeAt(0);
  if (first !== 47 /* / */) {
    if (head.target === "*") {
      if (head.method !== "OPTIONS") return head.refuse("bad_request_line", "'*' is for OPTIONS alone") > 0;
    } else if (!absoluteForm(head)) return head.refuse("bad_request_line", "invalid request target") > 0;
  }
  if (head.host === null) {
    if (head.minor === 1) return head.refuse("bad_host", "Host is missing") > 0;
  } else if (head.host !== "" && !isHost(head.host)) return head.refuse("bad_host", "invalid Host") > 0;
  return true;
}

/**
 * Splits `http://authority/path` (RFC 9112 section 3.2.2), whose authority replaces Host. OPTIONS of an authority
 * alone asks about the server, which is `*` (section 3.2.4).
 */
function absoluteForm(head: RequestHead): boolean {
  const match = /^https?:\/\/([^/?]+)(.*)$/i.exec(head.target);
  const authority = match?.[1];
  if (match === null || authority === undefined || !isHost(authority)) return false;
  const rest = match[2] as string;
  head.authority = authority;
  head.secureTarget = head.target.charCodeAt(4) !== COLON;
  if (rest === "" && head.method === "OPTIONS") head.target = "*";
  else head.target = rest.startsWith("/") ? rest : `/${rest}`;
  return true;
}
