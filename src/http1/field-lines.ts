/**
 * Field lines of heads and trailers (RFC 9112 section 5), and what the fields of framing and connection say (sections 6
 * and 9). Hot; guarded by bench/http1.ts.
 */
import { type Head, INCOMPLETE, RequestHead } from "./head.ts";
import { FIELD, fieldNameIn } from "./headers.ts";
import { COLON, CR, isAll, LF, SP, skip, TAB, TOKEN, VALUE } from "./syntax.ts";

/** Each option names a field that is looked for among all others. */
const MAX_CONNECTION_OPTIONS = 32;

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
export function checkFraming(head: Head): boolean {
  if (head.chunked && head.contentLength !== -1)
    return head.refuse("bad_framing", "Content-Length beside Transfer-Encoding") > 0;
  if (head.chunked && head.minor === 0)
    return head.refuse("bad_framing", "Transfer-Encoding in HTTP/1.0") > 0;
  head.keepAlive = !head.saysClose && (head.minor === 1 || head.saysKeepAlive);
  return true;
}

function isBlank(code: number): boolean {
  return code === SP || code === TAB;
}
