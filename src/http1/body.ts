/**
 * Bodies of HTTP/1.1 messages (RFC 9112 sections 6 and 7): finds where a body ends and hands out its bytes as
 * slices of what was read, without copying. Chunked coding is a strict state machine over bytes: anything that
 * two recipients could read differently ends the message.
 */

import { parseFields } from "./field-lines.ts";
import { Head } from "./head.ts";
import { HeaderList } from "./headers.ts";
import { CR, LF, TOKEN, VALUE } from "./syntax.ts";

/** Receives a body as it is read. */
export interface BodySink {
  /** A piece of the body; valid during the call and as long as the buffer that it is a view of. */
  onBody(piece: Buffer): void;
  /** The body has ended; `trailers` is null if there were none. */
  onBodyEnd(trailers: HeaderList | null): void;
}

const MODE = { none: 0, length: 1, chunked: 2, untilClose: 3 } as const;

const STATE = {
  size: 0,
  extension: 1,
  quoted: 2,
  quotedPair: 3,
  sizeLf: 4,
  data: 5,
  dataCr: 6,
  dataLf: 7,
  trailers: 8,
} as const;

/** Bytes of chunk extensions in one body. They carry nothing that the gateway reads; RFC 9112 7.1.1 asks for a bound. */
const MAX_EXTENSION_BYTES = 4096;
/** Bytes of a trailer section. */
const MAX_TRAILER_BYTES = 8192;
const MAX_TRAILERS = 50;
/** Hexadecimal digits of a chunk size: 2^52 - 1 is exact as a number. */
const MAX_SIZE_DIGITS = 13;

export class BodyReader {
  /** Whether the whole body was read. */
  ended = true;
  /** Why the body is refused; null while it is sound. */
  error: string | null = null;
  #mode: number = MODE.none;
  #state: number = STATE.size;
  #remaining = 0;
  #digits = 0;
  #extensionBytes = 0;
  /** Whether the extension token being read has any character, so that `;` and `=` are not left hanging. */
  #extensionPart = 0;
  #trailerText = "";

  /** Prepares for a body as its head declares it. */
  start(contentLength: number, chunked: boolean, untilClose: boolean): void {
    this.error = null;
    this.ended = false;
    if (chunked) {
      this.#mode = MODE.chunked;
      this.#state = STATE.size;
      this.#remaining = 0;
      this.#digits = 0;
      this.#extensionBytes = 0;
      this.#trailerText = "";
    } else if (contentLength > 0) {
      this.#mode = MODE.length;
      this.#remaining = contentLength;
    } else if (untilClose && contentLength < 0) {
      this.#mode = MODE.untilClose;
    } else {
      this.#mode = MODE.none;
      this.ended = true;
    }
  }

  /** Whether the end of the connection is the end of this body. */
  get endsAtClose(): boolean {
    return this.#mode === MODE.untilClose && !this.ended;
  }

  /**
   * Reads `buffer` from `at`.
   * @returns the index after the last byte that belongs to this body; `error` is set if it is refused.
   */
  read(buffer: Buffer, at: number, sink: BodySink): number {
    if (this.ended) return at;
    if (this.#mode === MODE.chunked) return this.#chunked(buffer, at, sink);
    if (this.#mode === MODE.untilClose) {
      if (at < buffer.length) sink.onBody(at === 0 ? buffer : buffer.subarray(at));
      return buffer.length;
    }
    const take = Math.min(this.#remaining, buffer.length - at);
    this.#remaining -= take;
    if (this.#remaining === 0) this.ended = true;
    if (take > 0) sink.onBody(take === buffer.length ? buffer : buffer.subarray(at, at + take));
    if (this.ended) sink.onBodyEnd(null);
    return at + take;
  }

  /** The connection has ended. Returns whether that is a proper end of this body. */
  close(sink: BodySink): boolean {
    if (this.ended) return true;
    if (this.#mode !== MODE.untilClose) return false;
    this.ended = true;
    sink.onBodyEnd(null);
    return true;
  }

  #refuse(reason: string, at: number): number {
    this.error = reason;
    this.ended = true;
    return at;
  }

  #chunked(buffer: Buffer, from: number, sink: BodySink): number {
    let at = from;
    const end = buffer.length;
    while (at < end) {
      if (this.#state === STATE.data) {
        const take = Math.min(this.#remaining, end - at);
        this.#remaining -= take;
        if (this.#remaining === 0) this.#state = STATE.dataCr;
        sink.onBody(buffer.subarray(at, at + take));
        at += take;
        continue;
      }
      if (this.#state === STATE.trailers) return this.#trailers(buffer, at, sink);
      const problem = this.#byte(buffer[at++] as number);
      if (problem !== null) return this.#refuse(problem, at);
    }
    return at;
  }

  /** One byte of chunk framing. Returns what is wrong with it, or null. */
  #byte(code: number): string | null {
    switch (this.#state) {
      case STATE.size: {
        const digit = hexDigit(code);
        if (digit >= 0) {
          if (++this.#digits > MAX_SIZE_DIGITS) return "chunk size too large";
          this.#remaining = this.#remaining * 16 + digit;
          return null;
        }
        if (this.#digits === 0) return "invalid chunk size";
        if (code === CR) this.#state = STATE.sizeLf;
        else if (code === 59 /* ; */) {
          this.#state = STATE.extension;
          this.#extensionPart = 0;
        } else return "invalid chunk size";
        return null;
      }
      case STATE.extension:
        return this.#extension(code);
      case STATE.quoted:
        if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return "chunk extensions too long";
        if (code === 34 /* " */) {
          this.#state = STATE.extension;
          this.#extensionPart = 3;
        } else if (code === 92 /* \ */) this.#state = STATE.quotedPair;
        else if (VALUE[code] === 0) return "invalid chunk extension";
        return null;
      case STATE.quotedPair:
        if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return "chunk extensions too long";
        if (VALUE[code] === 0) return "invalid chunk extension";
        this.#state = STATE.quoted;
        return null;
      case STATE.sizeLf:
        if (code !== LF) return "bare CR in chunk size";
        this.#state = this.#remaining === 0 ? STATE.trailers : STATE.data;
        this.#digits = 0;
        return null;
      case STATE.dataCr:
        if (code !== CR) return "chunk data longer than its size";
        this.#state = STATE.dataLf;
        return null;
      default:
        if (code !== LF) return "bare CR after chunk data";
        this.#state = STATE.size;
        return null;
    }
  }

  /**
   * `;name`, `;name=token`, `;name="quoted"`. The part counts where we are: 0 name expected, 1 in the name,
   * 2 value expected, 4 in the value, 3 after a quoted value.
   */
  #extension(code: number): string | null {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return "chunk extensions too long";
    const part = this.#extensionPart;
    if (TOKEN[code] === 1 && part !== 3) {
      this.#extensionPart = part === 0 ? 1 : part === 2 ? 4 : part;
      return null;
    }
    if (code === 61 /* = */ && part === 1) this.#extensionPart = 2;
    else if (code === 34 /* " */ && part === 2) this.#state = STATE.quoted;
    else if (part === 0 || part === 2) return "invalid chunk extension";
    else if (code === 59 /* ; */) this.#extensionPart = 0;
    else if (code === CR) this.#state = STATE.sizeLf;
    else return "invalid chunk extension";
    return null;
  }

  #trailers(buffer: Buffer, at: number, sink: BodySink): number {
    const before = this.#trailerText.length;
    const room = MAX_TRAILER_BYTES - before;
    const text = this.#trailerText + buffer.toString("latin1", at, Math.min(buffer.length, at + room));
    // Scanned anew only when a line has ended, so that a byte at a time costs no more than all at once.
    if (before > 0 && text.indexOf("\n", before) < 0 && buffer.length - at < room) {
      this.#trailerText = text;
      return buffer.length;
    }
    const head = new Head(new HeaderList());
    const parsed = parseFields(text, 0, head, MAX_TRAILERS);
    if (parsed < 0) return this.#refuse(`trailers: ${head.errorDetail}`, at);
    if (parsed === 0) {
      if (buffer.length - at >= room) return this.#refuse("trailers too long", at);
      this.#trailerText = text;
      return buffer.length;
    }
    // A recipient that merges trailers into the head would frame the message anew (RFC 9110 section 6.5.1).
    if (head.contentLength >= 0 || head.chunked) return this.#refuse("trailers: a field of framing", at);
    this.ended = true;
    sink.onBodyEnd(head.headers.length > 0 ? head.headers : null);
    return at + parsed - before;
  }
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  if (code >= 65 && code <= 70) return code - 55;
  return -1;
}
