/**
 * Heads of messages as text. A head and a small body leave in one write of one latin1 string, which costs a
 * third of two writes; larger bodies go as they came. Hot; guarded by bench/http1.ts.
 */
import { STATUS_CODES } from "node:http";
import { FIELD, type FieldKind, type FieldName, type HeaderList } from "./headers.ts";
import type { Wire } from "./wire.ts";

/** Bodies up to this many bytes are joined to their head. */
export const JOIN_MAX = 16384;

/** `200 OK` and the like. An upstream's own phrase is kept. */
export function statusLine(status: number, reason: string): string {
  return `HTTP/1.1 ${status} ${reason === "" ? (STATUS_CODES[status] ?? "Unknown") : reason}\r\n`;
}

/** Kinds that are left out when a head is forwarded: fields of one hop and of framing. */
const DROPPED = new Uint8Array(16);
for (const kind of [
  FIELD.connection,
  FIELD.contentLength,
  FIELD.transferEncoding,
  FIELD.hop,
  FIELD.te,
  FIELD.upgrade,
])
  DROPPED[kind] = 1;

/**
 * The fields of a message that travel on, as lines. Left out: fields of one hop, framing (the writer states its
 * own), and kinds marked in `also`.
 */
export function fieldLines(headers: HeaderList, also: Uint8Array): string {
  const { names, values, length } = headers;
  let out = "";
  for (let i = 0; i < length; i++) {
    const name = names[i] as FieldName;
    if (DROPPED[name.kind] === 1 || also[name.kind] === 1) continue;
    out += (out === "" ? name.start : name.next) + (values[i] as string);
  }
  return out === "" ? "" : `${out}\r\n`;
}

/** Value of the first field of a kind, or null. */
export function fieldOfKind(headers: HeaderList, kind: FieldKind): string | null {
  const { names, values, length } = headers;
  for (let i = 0; i < length; i++) if ((names[i] as FieldName).kind === kind) return values[i] as string;
  return null;
}

/**
 * Writes a head, which may be empty, and a piece of body, which the wire keeps. Returns false when the wire wants
 * to drain first.
 */
export function writeWithHead(wire: Wire, head: string, body: Buffer): boolean {
  if (body.length <= JOIN_MAX) return wire.writeText(head + body.toString("latin1"));
  return wire.writeAround(head, body, "");
}

/**
 * Writes a head, which may be empty, and a piece of a body that is passed on, as one chunk of chunked coding if it is
 * `chunked`. The piece is the caller's again after the call.
 */
export function writePiece(wire: Wire, head: string, piece: Buffer, chunked: boolean): boolean {
  const before = chunked ? `${head}${piece.length.toString(16)}\r\n` : head;
  const after = chunked ? "\r\n" : "";
  if (piece.length <= JOIN_MAX) return wire.writeText(before + piece.toString("latin1") + after);
  return wire.writeCopy(before, piece, after);
}

/**
 * Fields that may not stand in a trailer section (RFC 9110 section 6.5.1), beside those that the codec knows by
 * kind: routing, authentication, control. A recipient that merges trailers into the head must not be misled.
 */
const NOT_IN_TRAILERS = new Set(
  (
    "content-encoding content-range cache-control max-forwards authorization proxy-authorization cookie " +
    "set-cookie www-authenticate proxy-authenticate range if-match if-none-match if-modified-since " +
    "if-unmodified-since if-range"
  ).split(" "),
);

/** What the gateway itself says about the consumer: an upstream that merges trailers must not take it from a client. */
const IDENTITY = /^x-(?:consumer|credential|anonymous)-/;

/** The last chunk with its trailers. */
export function lastChunk(trailers: HeaderList | null): string {
  if (trailers === null) return "0\r\n\r\n";
  let lines = "";
  for (let i = 0; i < trailers.length; i++) {
    const name = trailers.names[i] as FieldName;
    if (name.kind === FIELD.other && !NOT_IN_TRAILERS.has(name.lower) && !IDENTITY.test(name.lower))
      lines += `${name.start}${trailers.values[i]}\r\n`;
  }
  return `0\r\n${lines}\r\n`;
}
