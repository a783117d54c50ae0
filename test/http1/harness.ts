/**
 * Drives the codec's parsers over bytes that arrive in any pieces, as the connections do, and says what was
 * read: the messages, where each ended, and how it ended.
 */
import type { ErrorCode } from "../../src/errors.ts";
import { BodyReader, type BodySink } from "../../src/http1/body.ts";
import { type HeadLimits, INCOMPLETE, RequestHead, ResponseHead } from "../../src/http1/head.ts";
import { HeaderList } from "../../src/http1/headers.ts";
import { parseRequestHead, parseResponseHead } from "../../src/http1/parse.ts";
import { PartialHead } from "../../src/http1/partial-head.ts";

export type Fields = [name: string, value: string][];

/** One message as a parser understood it. Bytes are latin1. */
export interface Message {
  /** Method and target, or status and reason. */
  line: string;
  minor: number;
  fields: Fields;
  body: string;
  trailers: Fields;
  keepAlive: boolean;
}

/**
 * How reading ended. `open`: between messages, more may come; `partial`: within a message; `closed`: after a
 * message that ends its connection.
 */
export type End = "open" | "partial" | "closed" | "refused";

export interface Reading {
  /** Messages that were read whole. */
  messages: Message[];
  end: End;
  /** The message whose body has not ended; null if even its head has not. */
  partial: Message | null;
  /** Why it was refused; empty otherwise. */
  code: ErrorCode | "";
}

export const LIMITS: HeadLimits = { maxHeadBytes: 16_384, maxHeaders: 100, maxUrlBytes: 8192 };

class Collector implements BodySink {
  message: Message;

  constructor(message: Message) {
    this.message = message;
  }

  onBody(piece: Buffer): void {
    this.message.body += piece.toString("latin1");
  }

  onBodyEnd(trailers: HeaderList | null): void {
    this.message.trailers = trailers?.entries() ?? [];
  }
}

/** Cuts `bytes` at the offsets, which ascend. */
export function cut(bytes: Buffer, ...offsets: number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const offset of [...offsets, bytes.length]) {
    if (offset > from) pieces.push(bytes.subarray(from, offset));
    from = Math.max(from, offset);
  }
  return pieces;
}

export function everyByte(bytes: Buffer): Buffer[] {
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}

/** Reads requests from a connection until it would be closed. */
export function readRequests(pieces: readonly Buffer[], limits: HeadLimits = LIMITS): Reading {
  const head = new RequestHead(new HeaderList());
  return read(pieces, limits, {
    parse: (text) => parseRequestHead(text, 0, head, limits),
    code: () => head.error,
    begin: (body) => {
      body.start(head.contentLength, head.chunked, false);
      return message(`${head.method} ${head.target}`, head);
    },
  });
}

/** Reads the response to one request, and the 1xx answers before it; then the connection ends. */
export function readResponse(
  pieces: readonly Buffer[],
  method = "GET",
  limits: HeadLimits = LIMITS,
): Reading {
  const head = new ResponseHead(new HeaderList());
  const reading = read(pieces, limits, {
    parse: (text) => parseResponseHead(text, 0, head, limits),
    code: () => head.error,
    begin: (body) => {
      if (head.status === 101) return null; // nobody asked for another protocol
      const made = message(`${head.status} ${head.reason}`, head);
      if (head.status < 200) {
        body.start(0, false, false);
        return { ...made, keepAlive: true };
      }
      if (method === "HEAD" || head.status === 204 || head.status === 304) body.start(0, false, false);
      else body.start(head.contentLength, head.chunked, true);
      return { ...made, keepAlive: false };
    },
  });
  if (reading.end === "open") reading.end = "partial"; // the connection ended before the final response
  // keepAlive served to stop the reading after the final response; what the head said is not compared here.
  for (const read of reading.messages) read.keepAlive = false;
  return reading;
}

/**
 * What a reading means once the connection has ended: a head that never comes is as lost as one that is refused. A fault
 * in a line shows with the end of that line, which may not come.
 */
export function settled(reading: Reading): Reading {
  if (reading.end !== "partial" || reading.partial !== null) return reading;
  return { ...reading, end: "refused", code: "upstream_invalid" };
}

interface Side {
  parse(text: string): number;
  code(): ErrorCode;
  /** Prepares for the body and returns what is known of the message; null if it is not wanted. */
  begin(body: BodyReader): Message | null;
}

function message(line: string, head: RequestHead | ResponseHead): Message {
  return {
    line,
    minor: head.minor,
    fields: head.headers.entries(),
    body: "",
    trailers: [],
    keepAlive: head.keepAlive,
  };
}

function read(pieces: readonly Buffer[], limits: HeadLimits, side: Side): Reading {
  const reading: Reading = { messages: [], end: "open", partial: null, code: "" };
  const body = new BodyReader();
  let collector: Collector | null = null;
  const partial = new PartialHead();

  const refuse = (code: ErrorCode): Reading => ({ ...reading, end: "refused", partial: null, code });
  const complete = (made: Message): boolean => {
    reading.messages.push(made);
    collector = null;
    return made.keepAlive;
  };

  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      if (collector !== null) {
        at = body.read(piece, at, collector);
        if (body.error !== null) return refuse("bad_chunk");
        if (body.ended && !complete(collector.message)) return { ...reading, end: "closed" };
        continue;
      }
      const used = partial.find(at === 0 ? piece : piece.subarray(at), limits.maxHeadBytes + 2, side.parse);
      if (used < 0) return refuse(side.code());
      if (used === INCOMPLETE) break;
      at += used;
      const made = side.begin(body);
      if (made === null) return refuse("upstream_invalid");
      if (!body.ended) collector = new Collector(made);
      else if (!complete(made)) return { ...reading, end: "closed" };
    }
  }
  const open = collector as Collector | null;
  if (open === null) return { ...reading, end: partial.length === 0 ? "open" : "partial" };
  if (body.close(open)) {
    reading.messages.push(open.message);
    return { ...reading, end: "closed" };
  }
  return { ...reading, end: "partial", partial: open.message };
}
