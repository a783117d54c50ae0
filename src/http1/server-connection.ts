/**
 * The client's side of the proxy: one connection, one request at a time. Requests that arrive early
 * (pipelining) wait in the socket and are answered in order.
 *
 * The connection parses heads and bodies and writes answers; what a request means is the handler's business.
 */
import type { ErrorCode } from "../errors.ts";
import type { ProxiedFrom } from "../proxy-protocol/header.ts";
import { AnswerSide } from "./answer-side.ts";
import { BodyReader, type BodySink } from "./body.ts";
import type { Deadlines } from "./deadlines.ts";
import { contain } from "./fault.ts";
import { INCOMPLETE, RequestHead } from "./head.ts";
import { HeaderList } from "./headers.ts";
import { parseRequestHead } from "./parse.ts";
import { PartialHead } from "./partial-head.ts";
import type { RequestHandler, RequestOwner, ServerLimits } from "./request-handler.ts";
import type { TlsSession, Wire, WireOwner } from "./wire.ts";

/** Bytes of a request body that are read and dropped after an early answer, to keep the connection. */
const DISCARD_MAX_BYTES = 256 * 1024;
/** Requests of one read that are answered in a row before other connections get their turn. */
const PIPELINE_BURST = 32;
/** How long a connection that is being closed is still read, so that the answer is not lost to a reset. */
const LINGER_MS = 2000;

const PHASE = { head: 0, exchange: 1, discard: 2, closing: 3, switched: 4 } as const;
const NOTHING = Buffer.alloc(0);

export class ServerConnection extends AnswerSide implements BodySink, WireOwner {
  readonly head = new RequestHead(new HeaderList());
  readonly body = new BodyReader();
  /** Whether another request may follow the present one; announced in its response. */
  keepAlive = true;
  /** Set once the process drains: no further request. */
  draining = false;
  /** Whether the peer is a proxy whose word on the client is believed. Set by whoever accepts. */
  trusted = false;
  /** What the peer said of its client by the PROXY protocol. Set by whoever accepts. */
  proxied: ProxiedFrom | null = null;
  /** Where it is counted among all connections. Set by whoever accepts. */
  seat = 0;
  /** What TLS agreed on; null on a plain connection. Set by whoever accepts. */
  tls: TlsSession | null = null;
  requests = 0;
  /** What upstreams are told of this client, once it was written; kept by whoever forwards. */
  introduction = "";
  /** Bytes of the head that was read last. */
  headBytes = 0;
  bytesRead = 0;
  readonly remoteAddress: string;

  #phase: number = PHASE.head;
  #handler: RequestHandler;
  #deadlines: Deadlines;
  #owner: RequestOwner | null = null;
  readonly #partial = new PartialHead();
  readonly #parse = (text: string) => parseRequestHead(text, 0, this.head, this.limits);
  /** Bytes read beyond what could be used yet. */
  #rest: Buffer | null = null;
  #flowing = false;
  #running = false;
  #discarded = 0;

  constructor(wire: Wire, handler: RequestHandler, deadlines: Deadlines, limits: ServerLimits) {
    super(wire, limits);
    this.#handler = handler;
    this.#deadlines = deadlines;
    this.remoteAddress = wire.remoteAddress;
    deadlines.add(this.patience);
    wire.own(this);
    wire.resume();
  }

  /** Whether no request is in progress. */
  get idle(): boolean {
    return this.#phase === PHASE.head && !this.#partial.begun && this.#rest === null;
  }

  /** Whether a head has begun and not ended. */
  get readingHead(): boolean {
    return this.#phase === PHASE.head && !this.idle;
  }

  /** The request in progress belongs to `owner` from now on. */
  own(owner: RequestOwner): void {
    this.#owner = owner;
  }

  /** Starts to deliver the body to the owner. A client that is not `invited` yet may wait until it is. */
  startBody(invited = true): void {
    if (this.#flowing || this.body.ended) return;
    this.#flowing = true;
    const rest = this.#rest;
    this.#rest = null;
    if (invited) this.invite();
    if (rest !== null) this.#onBodyBytes(rest);
    if (this.#flowing) this.wire.resume();
  }

  /** The client was told to send its body: from now on it is waited for. */
  invite(): void {
    if (!this.#flowing || this.body.ended) return;
    this.patience.awaitBody();
  }

  /** The owner cannot take more of the body for now. */
  pauseBody(): void {
    if (this.body.ended || this.#phase !== PHASE.exchange) return;
    this.#flowing = false;
    this.patience.bodyPaused();
    this.wire.pause();
  }

  /** The response is written. The connection goes on with the next request or closes. */
  finish(): void {
    this.#owner = null;
    this.#flowing = false;
    if (this.closed) return;
    if (!this.body.ended && this.body.error === null) {
      this.#phase = PHASE.discard;
      this.#discarded = 0;
      this.patience.bodyEnded();
      this.patience.expect(LINGER_MS);
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
    this.#deadlines.delete(this.patience);
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

  onReaderTooSlow(): void {
    this.#cut("client_slow", "the client takes its answer too slowly");
  }

  onBodyTooSlow(): void {
    const owner = this.#owner;
    if (owner === null) this.wire.destroy();
    else owner.onClientGone("request_timeout", "the body came too slowly, or did not go on");
  }

  onLate(): void {
    if (this.#phase !== PHASE.head) return this.wire.destroy();
    if (!this.#partial.begun) return this.#close();
    // What is wrong with it says more than that it is late.
    if (this.#parse(this.#partial.text()) < 0) this.#refused(this.head.error, this.head.errorDetail);
    else this.#refused("request_timeout", "the head did not arrive in time");
  }

  /** Receives the body that nobody wants any more. */
  onBody(piece: Buffer): void {
    this.#discarded += piece.length;
  }

  onBodyEnd(): void {}

  onDrain(): void {
    this.patience.readerCaughtUp();
    this.taken();
    if (this.#phase === PHASE.exchange) {
      this.#owner?.onClientDrain();
      return;
    }
    this.patience.expect(this.#phase === PHASE.head ? this.limits.idleTimeoutMs : LINGER_MS);
    if (this.#phase === PHASE.head) this.#run();
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
    while (this.#phase === PHASE.head && this.#rest !== null && !this.closed) {
      if (this.wire.blocked) {
        this.wire.pause(); // who does not read its answers is not read, either
        break;
      }
      if (++burst > PIPELINE_BURST) {
        this.wire.pause();
        setImmediate(() => this.#runOn());
        break;
      }
      const chunk: Buffer = this.#rest;
      this.#rest = null;
      if (!this.#readHead(chunk)) break;
    }
    this.#running = false;
    if (this.#phase === PHASE.head && this.#rest === null && !this.closed) this.wire.resume();
  }

  #runOn(): void {
    try {
      this.#run();
    } catch (error) {
      contain(error, this.wire);
    }
  }

  /** Returns whether a whole head was found and handed on. Hot; guarded by bench/bench.ts `plain`. */
  #readHead(chunk: Buffer): boolean {
    const { limits } = this;
    const before = this.#partial.length;
    const begun = before > 0 && this.#partial.begun;
    const used = this.#partial.find(chunk, limits.maxHeadBytes + 2, this.#parse);
    if (used === INCOMPLETE) {
      if (!begun && this.#partial.begun) this.patience.expect(limits.headTimeoutMs);
      return false;
    }
    if (used < 0) {
      this.#refused(this.head.error, this.head.errorDetail);
      return false;
    }
    this.headBytes = before + used;
    if (used < chunk.length) this.#rest = chunk.subarray(used);
    this.body.start(this.head.contentLength, this.head.chunked, false);
    this.patience.rest();
    this.#phase = PHASE.exchange;
    this.#flowing = false;
    this.requests++;
    this.keepAlive = this.head.keepAlive && !this.draining && this.requests < limits.maxRequests;
    this.#handler.onRequest(this);
    return true;
  }

  #onBodyBytes(chunk: Buffer): void {
    const owner = this.#owner;
    if (owner === null) return;
    this.patience.bodyMoved(chunk.length);
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
    this.patience.bodyEnded();
    if (end < chunk.length) this.#rest = chunk.subarray(end);
    // The request may have been finished while its body was read: then the next one is due.
    if (this.#phase === PHASE.head) this.#run();
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
    this.patience.expect(this.limits.idleTimeoutMs);
    if (this.draining && this.#rest === null) return this.#close();
    if (!this.#running) this.#run();
  }

  #refused(code: ErrorCode, detail: string): void {
    this.keepAlive = false;
    this.#phase = PHASE.exchange;
    this.body.start(0, false, false);
    this.#partial.clear();
    this.#rest = null;
    this.patience.expectNothing();
    this.#handler.onRefused(this, code, detail);
  }

  /** The client has said its last. What was answered already still goes out; the socket ends after it. */
  onEnd(): void {
    if (this.#owner !== null || !this.wire.blocked) return this.#gone("client closed the connection");
    this.#phase = PHASE.closing;
    this.patience.expectNothing();
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

  /** The client had its time. What waits for it is dropped at once, also what the system holds of it. */
  #cut(code: ErrorCode, detail: string): void {
    const owner = this.#owner;
    this.#owner = null;
    this.#phase = PHASE.closing;
    this.wire.reset();
    if (owner !== null) owner.onClientGone(code, detail);
    else this.#handler.onCut(this, code, detail);
  }

  /** Says goodbye, then drops what still comes for a moment: a reset would destroy the answer on its way. */
  #close(): void {
    if (this.#phase === PHASE.closing) return;
    this.#phase = PHASE.closing;
    this.#rest = null;
    this.#partial.clear();
    this.patience.bodyEnded();
    this.patience.expect(LINGER_MS);
    this.wire.end();
    this.wire.resume();
  }

  onClosed(): void {
    if (this.closed) return;
    this.closed = true;
    this.#deadlines.delete(this.patience);
    this.taken();
    const owner = this.#owner;
    this.#owner = null;
    owner?.onClientGone("client_closed", "client closed the connection");
    this.#handler.onClosed(this);
  }
}
