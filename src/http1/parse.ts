/**
 * Heads of HTTP/1.1 messages (RFC 9112 sections 2 to 6): one latin1 string, scanned once, nothing guessed.
 *
 * Stricter than Node's own parser on purpose. Whatever two recipients could frame differently is refused, so
 * that no request can hide in another: bare CR or LF, obs-fold, white space around a name, two lengths, a
 * length beside a coding, any coding but `chunked`. Hot; guarded by bench/http1.ts.
 */
import type { ErrorCode } from "../errors.ts";
import { isHost } from "./authority.ts";
import { FIELD, fieldNameIn, type HeaderList } from "./headers.ts";
import { COLON, CR, isAll, LF, SP, TAB, TARGET, TOKEN, VALUE } from "./syntax.ts";

/** Bounds of one head. */
export interface HeadLimits {
  /** Bytes of the whole head, from the first of the start line to the empty line. */
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  readonly maxUrlBytes: number;
}

/** Each option names a field that is looked for among all others. */
const MAX_CONNECTION_OPTIONS = 32;

/** The head has not ended yet. */
export const INCOMPLETE = 0;

/** What both kinds of head say about the message. Filled by the parser; valid after it returned an end. */
export class Head {
  /** Replaced when somebody keeps the fields beyond the message: then the parser goes on with another list. */
  headers: HeaderList;
  /** Minor version: 0 or 1. */
  minor = 1;
  /** Bytes of the body as declared; -1 if no length was. */
  contentLength = -1;
  chunked = false;
  /** Whether the sender keeps the connection (RFC 9112 section 9.3). */
  keepAlive = true;
  /** Names listed in Connection beyond close and keep-alive, lower-case; null if none. */
  connectionOptions: string[] | null = null;
  /** Whether Connection lists `close`, and `keep-alive`. */
  saysClose = false;
  saysKeepAlive = false;
  /** Why parsing ended with -1. */
  error: ErrorCode = "bad_request";
  errorDetail = "";

  constructor(headers: HeaderList) {
    this.headers = headers;
  }

  reset(): void {
    this.headers.clear();
    this.minor = 1;
    this.contentLength = -1;
    this.chunked = false;
    this.keepAlive = true;
    this.connectionOptions = null;
    this.saysClose = false;
    this.saysKeepAlive = false;
  }

  refuse(error: ErrorCode, detail: string): -1 {
    this.error = error;
    this.errorDetail = detail;
    return -1;
  }
}

export class RequestHead extends Head {
  method = "";
  /** The request target as sent. */
  target = "";
  /** Authority of an absolute target, which then stands for Host; null for the origin form. */
  authority: string | null = null;
  /** Value of the one Host field; null if there is none (HTTP/1.0 only). */
  host: string | null = null;
  expectContinue = false;
  /** Whether an absolute target of `https` was asked for. */
  secureTarget = false;

  override reset(): void {
    super.reset();
    // What is refused half read must not be taken for the request before it.
    this.method = "";
    this.target = "";
    this.authority = null;
    this.host = null;
    this.expectContinue = false;
    this.secureTarget = false;
  }
}

export class ResponseHead extends Head {
  status = 0;
  reason = "";
}

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

/** The index of the first character from `at` on that is not in the class. */
function skip(text: string, at: number, chars: Uint8Array): number {
  const { length } = text;
  let end = at;
  while (end < length && chars[text.charCodeAt(end)] === 1) end++;
  return end;
}

function isBlank(code: number): boolean {
  return code === SP || code === TAB;
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

/**
 * Parses field lines up to and with the empty line (RFC 9112 section 5); also used for trailers.
 * @returns the index after the empty line, INCOMPLETE or -1.
 */
export function parseFields(text: string, from: number, head: Head, maxHeaders: number): number {
  const headers = head.headers;
  const length = text.length;
  let at = from;
  for (;;) {
    if (at >= length) return INCOMPLETE;
    let code = text.charCodeAt(at);
    if (code === CR) {
      if (at + 1 >= length) return INCOMPLETE;
      return text.charCodeAt(at + 1) === LF ? at + 2 : head.refuse("bad_header", "bare CR");
    }
    const nameStart = at;
    let hash = 0;
    for (; at < length; at++) {
      code = text.charCodeAt(at);
      if (TOKEN[code] !== 1) break;
      hash = (Math.imul(hash, 31) + code) | 0;
    }
    if (at >= length) return INCOMPLETE;
    if (code !== COLON || at === nameStart) {
      const folded = at === nameStart && (code === SP || code === TAB);
      return head.refuse("bad_header", folded ? "folded header line" : "invalid header name");
    }
    const name = fieldNameIn(text, nameStart, at, hash);
    at++;
    while (isBlank(text.charCodeAt(at))) at++;
    const valueStart = at;
    at = skip(text, at, VALUE);
    code = text.charCodeAt(at);
    if (at + 1 >= length) {
      if (at < length && code !== CR) return head.refuse("bad_header", "control character in a header value");
      return INCOMPLETE;
    }
    if (code !== CR || text.charCodeAt(at + 1) !== LF)
      return head.refuse("bad_header", "control character in a header value");
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd--;
    if (headers.length === maxHeaders)
      return head.refuse("head_too_large", `more than ${maxHeaders} headers`);
    const value = text.substring(valueStart, valueEnd);
    headers.push(name, value);
    if (name.kind !== FIELD.other) {
      // Recipients differ in what they trim around a coding: llhttp does not take "chunked" and a tab for chunked.
      if (name.kind === FIELD.transferEncoding && (valueEnd < at || text.charCodeAt(valueStart - 1) === TAB))
        return head.refuse("bad_framing", "white space around a transfer coding");
      if (!known(head, name.kind, value)) return -1;
    }
    at += 2;
  }
}

/** Takes note of the fields that decide framing and connection. Returns false if one is refused. */
function known(head: Head, kind: number, value: string): boolean {
  switch (kind) {
    case FIELD.contentLength: {
      if (head.contentLength !== -1) return head.refuse("bad_framing", "more than one Content-Length") > 0;
      const length = parseLength(value);
      if (length < 0) return head.refuse("bad_framing", "invalid Content-Length") > 0;
      head.contentLength = length;
      return true;
    }
    case FIELD.transferEncoding:
      if (head.chunked) return head.refuse("bad_framing", "more than one Transfer-Encoding") > 0;
      if (value.toLowerCase() !== "chunked") return refuseCoding(head, value);
      head.chunked = true;
      return true;
    case FIELD.connection:
      return connection(head, value);
    case FIELD.host:
      if (head instanceof RequestHead) {
        if (head.host !== null) return head.refuse("bad_host", "more than one Host") > 0;
        head.host = value;
      }
      return true;
    case FIELD.expect:
      if (head instanceof RequestHead) {
        if (value.toLowerCase() !== "100-continue")
          return head.refuse("expectation_failed", "only 'Expect: 100-continue' is supported") > 0;
        head.expectContinue = true;
      }
      return true;
    default:
      return true;
  }
}

/**
 * Codings before a final `chunked` would only have to be understood; anything else leaves the end of the body in
 * doubt, which is another status (RFC 9112 sections 6.1 and 6.3).
 */
function refuseCoding(head: Head, value: string): false {
  const codings = elements(value);
  if (codings.indexOf("chunked") === codings.length - 1)
    head.refuse("transfer_coding", "only the transfer coding 'chunked' is supported");
  else head.refuse("bad_framing", "the last transfer coding is not 'chunked', once");
  return false;
}

/** 1*DIGIT that is exact as a number; -1 for anything else (RFC 9110 section 8.6). */
function parseLength(value: string): number {
  if (value.length === 0 || value.length > 16) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return -1;
    length = length * 10 + digit;
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : -1;
}

/** The elements of a list, lower-case. Blanks are SP and HTAB alone: `trim` would take NBSP for one, too. */
function elements(value: string): string[] {
  return value.split(",").map((element) => {
    let start = 0;
    let end = element.length;
    while (start < end && isBlank(element.charCodeAt(start))) start++;
    while (end > start && isBlank(element.charCodeAt(end - 1))) end--;
    return element.substring(start, end).toLowerCase();
  });
}

/** Reads a Connection field; `keepAlive` itself is decided when the head has ended. */
function connection(head: Head, value: string): boolean {
  if (value === "keep-alive" || value === "Keep-Alive") return pushOption(head, "keep-alive");
  if (value === "close") return pushOption(head, "close");
  for (const option of elements(value)) {
    if (option === "") continue;
    if (!isAll(option, TOKEN)) return head.refuse("bad_header", "invalid Connection option") > 0;
    if (!pushOption(head, option)) return false;
  }
  return true;
}

function pushOption(head: Head, option: string): boolean {
  if (option === "close") head.saysClose = true;
  else if (option === "keep-alive") head.saysKeepAlive = true;
  else if (head.connectionOptions === null) head.connectionOptions = [option];
  else if (head.connectionOptions.length < MAX_CONNECTION_OPTIONS) head.connectionOptions.push(option);
  else return head.refuse("bad_header", `more than ${MAX_CONNECTION_OPTIONS} Connection options`) > 0;
  return true;
}

/** The rules over the whole head that requests and responses share. */
function checkFraming(head: Head): boolean {
  if (head.chunked && head.contentLength !== -1)
    return head.refuse("bad_framing", "Content-Length beside Transfer-Encoding") > 0;
  if (head.chunked && head.minor === 0)
    return head.refuse("bad_framing", "Transfer-Encoding in HTTP/1.0") > 0;
  head.keepAlive = !head.saysClose && (head.minor === 1 || head.saysKeepAlive);
  return true;
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
