/**
 * The client's side of the proxy: one connection, one request at a time. Requests that arrive early
 * (pipelining) wait in the socket and are answered in order.
 *
 * The connection parses heads and bodies and writes answers; what a request means is the handler's business.
 */
import { performance } from "node:perf_hooks";
import type { ErrorCode } from "../errors.ts";
import { BodyReader, type BodySink } from "./body.ts";
import type { Deadlines, Guarded } from "./deadlines.ts";
import { HeaderList } from "./headers.ts";
import { type HeadLimits, INCOMPLETE, parseRequestHead, RequestHead } from "./parse.ts";
import type { Wire, WireOwner } from "./wire.ts";
import { lastChunk, writeChunk, writeWithHead } from "./write.ts";

export interface ServerLimits extends HeadLimits {
  /** From the first byte of a head to its end. */
  readonly headTimeoutMs: number;
  /** Between two reads of a body. */
  readonly bodyTimeoutMs: number;
  /** Of a connection that waits for its next request. */
  readonly idleTimeoutMs: number;
  /** For the client to take what was written. */
  readonly writeTimeoutMs: number;
}

/** What happens to a request; one handler serves all connections of a thread. */
export interface RequestHandler {
  /** A head has come. The handler takes the request and, in the end, calls `finish` or `abort`. */
  onRequest(connection: ServerConnection): void;
  /** What came is not a request; the handler answers, and the connection is closed. */
  onRefused(connection: ServerConnection, code: ErrorCode, detail: string): void;
  onClosed(connection: ServerConnection): void;
}

/** What a request in progress hears of its client. */
export interface RequestOwner extends BodySink {
  /** The client has left, or its body broke the protocol (`code`). */
  onClientGone(code: ErrorCode, detail: string): void;
  /** What one read brought of the body is handed over: whatever was gathered may be written now. */
  onBodyFlush(): void;
  /** The client takes more of the response again. */
  onClientDrain(): void;
}

/** Bytes of a request body that are read and dropped after an early answer, to keep the connection. */
const DISCARD_MAX_BYTES = 256 * 1024;
/** Requests of one read that are answered in a row before other connections get their turn. */
const PIPELINE_BURST = 32;
/** How long a connection that is being closed is still read, so that the answer is not lost to a reset. */
const LINGER_MS = 2000;

const PHASE = { head: 0, exchange: 1, discard: 2, closing: 3, switched: 4 } as const;
const NOTHING = Buffer.alloc(0);

export class ServerConnection implements Guarded, BodySink, WireOwner {
  readonly wire: Wire;
  readonly head = new RequestHead(new HeaderList());
  readonly body = new BodyReader();
  readonly limits: ServerLimits;
  deadline: number;
  /** Whether another request may follow the present one; announced in its response. */
  keepAlive = true;
  /** Set once the process drains: no further request. */
  draining = false;
  /** Whether the peer is a proxy whose word on the client is believed. Set by whoever accepts. */
  trusted = false;
  requests = 0;
  /** Bytes of the head that was read last. */
  headBytes = 0;
  bytesRead = 0;
  readonly remoteAddress: string;

  #phase: number = PHASE.head;
  #handler: RequestHandler;
  #deadlines: Deadlines;
  #owner: RequestOwner | null = null;
  /** Start of a head whose end has not come. */
  #headText = "";
  /** Bytes read beyond what could be used yet. */
  #rest: Buffer | null = null;
  #flowing = false;
  #running = false;
  #discarded = 0;
  #closed = false;

  constructor(wire: Wire, handler: RequestHandler, deadlines: Deadlines, limits: ServerLimits) {
    this.wire = wire;
    this.limits = limits;
    this.#handler = handler;
    this.#deadlines = deadlines;
    this.remoteAddress = wire.remoteAddress;
    this.deadline = performance.now() + limits.idleTimeoutMs;
    deadlines.add(this);
    wire.own(this);
    wire.resume();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether no request is in progress. */
  get idle(): boolean {
    return this.#phase === PHASE.head && this.#headText === "" && this.#rest === null;
  }

  /** Whether a head has begun and not ended. */
  get readingHead(): boolean {
    return this.#phase === PHASE.head && !this.idle;
  }

  /** The request in progress belongs to `owner` from now on. */
  own(owner: RequestOwner): void {
    this.#owner = owner;
  }

  /** Starts to deliver the body to the owner. */
  startBody(): void {
    if (this.#flowing || this.body.ended) return;
    this.#flowing = true;
    const rest = this.#rest;
    this.#rest = null;
    this.deadline = performance.now() + this.limits.bodyTimeoutMs;
    if (rest !== null) this.#onBodyBytes(rest);
    if (this.#flowing) this.wire.resume();
  }

  /** The owner cannot take more of the body for now. */
  pauseBody(): void {
    if (this.body.ended || this.#phase !== PHASE.exchange) return;
    this.#flowing = false;
    this.deadline = Number.POSITIVE_INFINITY;
    this.wire.pause();
  }

  /** Writes text that is latin1 already. */
  writeText(text: string): boolean {
    return this.#guardWrite(this.wire.writeText(text));
  }

  /** Writes a piece of body after `head`, which may be empty. Returns false if the client must drain first. */
  writePiece(head: string, piece: Buffer, chunked: boolean): boolean {
    const write = chunked ? writeChunk : writeWithHead;
    return this.#guardWrite(write(this.wire, head, piece));
  }

  writeLastChunk(head: string, trailers: HeaderList | null): void {
    this.#guardWrite(this.wire.writeText(head + lastChunk(trailers)));
  }

  /** Whether what was written has not been taken yet. */
  get blocked(): boolean {
    return this.wire.blocked;
  }

  /** The response is written. The connection goes on with the next request or closes. */
  finish(): void {
    this.#owner = null;
    this.#flowing = false;
    if (this.#closed) return;
    if (!this.body.ended && this.body.error === null) {
      this.#phase = PHASE.discard;
      this.#discarded = 0;
      // A slow reader that still takes its answer has the time for that.
      const { writeTimeoutMs } = this.limits;
      this.deadline = performance.now() + (this.wire.blocked ? writeTimeoutMs : LINGER_MS);
      if (!this.keepAlive) return this.#close();
      const rest = this.#rest;
      this.#rest = null;
      if (rest !== null) this.#discard(rest);
      this.wire.resume();
      return;
    }
    if (!this.keepAlive || this.body.error !== null) return this.#close();
    this.#next();
  }

  /**
   * The connection speaks another protocol from now on: `owner` hears its wire, which stands still until it is
   * resumed, and calls `onClosed` in the end. Returns what was read beyond the head, one read at most.
   */
  switchTo(owner: WireOwner): Buffer {
    const rest = this.#rest ?? NOTHING;
    this.#rest = null;
    this.#owner = null;
    this.#phase = PHASE.switched;
    this.#deadlines.delete(this);
    this.wire.pause();
    this.wire.own(owner);
    return rest;
  }

  /** Ends the connection without another byte: the client sees that the response is cut short. */
  abort(): void {
    this.#owner = null;
    this.#phase = PHASE.closing;
    this.wire.destroy();
  }

  /** No further request; closes at once if none is in progress. */
  drain(): void {
    this.draining = true;
    this.keepAlive = false;
    if (this.idle) this.#close();
  }

  onDeadline(): void {
    if (this.#phase === PHASE.head) {
      if (this.#headText === "") return this.#close();
      return this.#refused("request_timeout", "the head did not arrive in time");
    }
    if (this.#phase === PHASE.exchange && !this.wire.blocked) {
      const owner = this.#owner;
      if (owner) return owner.onClientGone("request_timeout", "the body did not arrive in time");
    }
    this.wire.destroy();
  }

  /** Receives the body that nobody wants any more. */
  onBody(piece: Buffer): void {
    this.#discarded += piece.length;
  }

  onBodyEnd(): void {}

  #guardWrite(flows: boolean): boolean {
    if (!flows) this.deadline = performance.now() + this.limits.writeTimeoutMs;
    return flows;
  }

  onDrain(): void {
    if (this.#phase === PHASE.head) {
      this.deadline = performance.now() + this.limits.idleTimeoutMs;
      this.#run();
    } else if (this.#phase === PHASE.exchange) {
      const reading = this.#flowing && !this.body.ended;
      this.deadline = reading ? performance.now() + this.limits.bodyTimeoutMs : Number.POSITIVE_INFINITY;
      this.#owner?.onClientDrain();
    }
  }

  onRead(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    if (this.#phase === PHASE.head) {
      this.#rest = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
      this.#run();
    } else if (this.#phase === PHASE.discard) this.#discard(chunk);
    else if (this.#phase === PHASE.exchange) {
      if (this.#flowing && !this.body.ended) this.#onBodyBytes(chunk);
      else {
        this.#rest = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
        this.wire.pause();
      }
    }
    // What could not be used yet is kept beyond this call, and the chunk is not.
    if (this.#rest !== null && this.#rest.buffer === chunk.buffer) this.#rest = Buffer.from(this.#rest);
  }

  /** Takes requests from what was read, one after the other. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    let burst = 0;
    while (this.#phase === PHASE.head && this.#rest !== null && !this.#closed) {
      if (this.wire.blocked) {
        this.wire.pause(); // who does not read its answers is not read, either
        break;
      }
      if (++burst > PIPELINE_BURST) {
        this.wire.pause();
        setImmediate(() => this.#run());
        break;
      }
      const chunk: Buffer = this.#rest;
      this.#rest = null;
      if (!this.#readHead(chunk)) break;
    }
    this.#running = false;
    if (this.#phase === PHASE.head && this.#rest === null && !this.#closed) this.wire.resume();
  }

  /** Returns whether a whole head was found and handed on. */
  #readHead(chunk: Buffer): boolean {
    const before = this.#headText.length;
    const window = Math.min(chunk.length, this.limits.maxHeadBytes + 2 - before);
    const text =
      before === 0
        ? chunk.toString("latin1", 0, window)
        : this.#headText + chunk.toString("latin1", 0, window);
    // A head that comes in drops is parsed anew only when a line has ended.
    if (before > 0 && window === chunk.length && text.indexOf("\n", before) < 0) {
      this.#headText = text;
      return false;
    }
    const end = parseRequestHead(text, 0, this.head, this.limits);
    if (end === INCOMPLETE) {
      if (before === 0) this.deadline = performance.now() + this.limits.headTimeoutMs;
      this.#headText = text;
      return false;
    }
    this.#headText = "";
    if (end < 0) {
      this.#refused(this.head.error, this.head.errorDetail);
      return false;
    }
    this.headBytes = end;
    const used = end - before;
    if (used < chunk.length) this.#rest = chunk.subarray(used);
    this.body.start(this.head.contentLength, this.head.chunked, false);
    this.#phase = PHASE.exchange;
    this.#flowing = false;
    this.keepAlive = this.head.keepAlive && !this.draining;
    this.deadline = Number.POSITIVE_INFINITY;
    this.requests++;
    this.#handler.onRequest(this);
    return true;
  }

  #onBodyBytes(chunk: Buffer): void {
    const owner = this.#owner;
    if (owner === null) return;
    this.deadline = performance.now() + this.limits.bodyTimeoutMs;
    const end = this.body.read(chunk, 0, owner);
    if (this.#owner === owner && this.body.error === null) owner.onBodyFlush();
    if (this.#phase === PHASE.discard) return this.#afterDiscard(chunk, end); // answered while it was read
    if (this.body.error !== null) {
      this.keepAlive = false;
      owner.onClientGone("bad_chunk", this.body.error);
      return;
    }
    if (!this.body.ended || this.#phase === PHASE.closing) return;
    this.#flowing = false;
    if (end < chunk.length) this.#rest = chunk.subarray(end);
    // The request may have been finished while its body was read: then the next one is due.
    if (this.#phase === PHASE.head) this.#run();
    else if (!this.wire.blocked) this.deadline = Number.POSITIVE_INFINITY;
  }

  #discard(chunk: Buffer): void {
    this.#afterDiscard(chunk, this.body.read(chunk, 0, this));
  }

  #afterDiscard(chunk: Buffer, end: number): void {
    if (this.body.error !== null || this.#discarded > DISCARD_MAX_BYTES) return this.#close();
    if (!this.body.ended) return;
    if (end < chunk.length) this.#rest = chunk.subarray(end);
    this.#next();
  }

  #next(): void {
    this.#phase = PHASE.head;
    this.deadline = performance.now() + this.limits.idleTimeoutMs;
    if (this.draining && this.#rest === null) return this.#close();
    if (!this.#running) this.#run();
  }

  #refused(code: ErrorCode, detail: string): void {
    this.keepAlive = false;
    this.#phase = PHASE.exchange;
    this.body.start(0, false, false);
    this.#rest = null;
    this.#handler.onRefused(this, code, detail);
  }

  /** The client has said its last. What was answered already still goes out; the socket ends after it. */
  onEnd(): void {
    if (this.#owner !== null || !this.wire.blocked) return this.#gone("client closed the connection");
    this.#phase = PHASE.closing;
    this.deadline = performance.now() + this.limits.writeTimeoutMs;
  }

  onBroken(reason: string): void {
    this.#gone(reason);
  }

  #gone(detail: string): void {
    const owner = this.#owner;
    this.#owner = null;
    if (owner !== null) owner.onClientGone("client_closed", detail);
    this.wire.destroy();
  }

  /** Says goodbye, then drops what still comes for a moment: a reset would destroy the answer on its way. */
  #close(): void {
    if (this.#phase === PHASE.closing) return;
    this.#phase = PHASE.closing;
    this.#rest = null;
    this.#headText = "";
    const lingerMs = this.wire.blocked ? this.limits.writeTimeoutMs : LINGER_MS;
    this.deadline = performance.now() + lingerMs;
    this.wire.end();
    this.wire.resume();
  }

  onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadlines.delete(this);
    const owner = this.#owner;
    this.#owner = null;
    owner?.onClientGone("client_closed", "client closed the connection");
    this.#handler.onClosed(this);
  }
}
