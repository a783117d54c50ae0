/**
 * The upstream's side of the proxy: one connection, one request at a time, kept for the next when both
 * messages have ended properly.
 */

import { isIPv6 } from "node:net";
import { performance } from "node:perf_hooks";
import type { TLSSocket } from "node:tls";
import type { ErrorCode } from "../errors.ts";
import type { UpstreamTls } from "../tls/upstream-tls.ts";
import { BodyReader, type BodySink } from "./body.ts";
import type { Deadlines, Guarded } from "./deadlines.ts";
import { contain } from "./fault.ts";
import { type HeadLimits, INCOMPLETE, ResponseHead } from "./head.ts";
import { HeaderList } from "./headers.ts";
import { parseResponseHead } from "./parse.ts";
import { PartialHead } from "./partial-head.ts";
import { connectPlain, failPlain } from "./plain-wire.ts";
import { StreamWire } from "./stream-wire.ts";
import type { ConnectingOwner, Wire, WireOwner } from "./wire.ts";

/** Where a connection goes. Connections with equal places may serve each other's requests. */
export interface Place {
  /** Address, never a name: names are resolved before. */
  readonly address: string;
  readonly port: number;
  /** Null for plain TCP. */
  readonly tls: UpstreamTls | null;
}

/** What a request in progress hears of its upstream. */
export interface UpstreamOwner {
  onUpstreamConnected(): void;
  /** A 1xx answer other than 101. */
  onUpstreamInformation(head: ResponseHead): void;
  onUpstreamHead(head: ResponseHead): void;
  /**
   * The upstream answers 101 to a request that asked for it. `surplus` came after the head, and is valid during the
   * call alone; nothing more is read. The owner gives the connection up by `switchTo` or `abandon`.
   */
  onUpstreamSwitch(head: ResponseHead, surplus: Buffer): void;
  /** A piece of the body, valid during the call alone: who keeps it, copies it. */
  onUpstreamBody(piece: Buffer): void;
  onUpstreamEnd(trailers: HeaderList | null): void;
  /** What one read brought is handed over: whatever was gathered may be written now. */
  onUpstreamFlush(): void;
  /** The upstream takes more of the request again. */
  onUpstreamDrain(): void;
  /** `fresh` is false when a kept connection failed before it answered a byte: it may have been stale. */
  onUpstreamError(code: ErrorCode, detail: string, fresh: boolean): void;
}

export interface UpstreamTimeouts {
  readonly connectMs: number;
  readonly readMs: number;
  readonly writeMs: number;
}

/** What the pool does with connections that have nothing to do. */
export interface ConnectionPool {
  readonly place: Place;
  readonly limits: HeadLimits;
  readonly maxRequests: number;
  readonly idleTimeoutMs: number;
  keep(connection: ClientConnection): boolean;
  forget(connection: ClientConnection): void;
}

/** Answers 1xx to one request: each is passed on, so an upstream that never comes to the point is cut off. */
const MAX_INFORMATIONS = 32;

export class ClientConnection implements Guarded, BodySink, ConnectingOwner {
  readonly wire: Wire;
  readonly head = new ResponseHead(new HeaderList());
  readonly pool: ConnectionPool;
  deadline: number;
  connected = false;
  requests = 0;
  readonly #deadlines: Deadlines;
  readonly #body = new BodyReader();
  #owner: UpstreamOwner | null = null;
  #timeouts: UpstreamTimeouts;
  readonly #partial = new PartialHead();
  readonly #parse = (text: string) => parseResponseHead(text, 0, this.head, this.pool.limits);
  #awaitingHead = true;
  /** 1xx answers to the present request. */
  #informations = 0;
  #isHeadRequest = false;
  /** Whether the present request asks for another protocol. */
  #maySwitch = false;
  #answered = false;
  #closed = false;
  #keepAlive = true;
  #requestEnded = false;
  /** Bytes that the upstream had taken when that was last looked at. */
  #taken = 0;
  #trailers: HeaderList | null = null;

  constructor(pool: ConnectionPool, deadlines: Deadlines, owner: UpstreamOwner, timeouts: UpstreamTimeouts) {
    this.pool = pool;
    this.#owner = owner;
    this.#timeouts = timeouts;
    this.#deadlines = deadlines;
    this.deadline = performance.now() + timeouts.connectMs;
    this.wire = open(pool.place, this);
    deadlines.add(this);
  }

  get closed(): boolean {
    return this.#closed || this.wire.closed;
  }

  /** A kept connection serves another request. */
  reuse(owner: UpstreamOwner, timeouts: UpstreamTimeouts): void {
    this.#owner = owner;
    this.#timeouts = timeouts;
    this.wire.resume();
  }

  /**
   * A request is about to be written. `isHead`: its response has no body whatever it declares. `maySwitch`: it asks
   * for another protocol.
   */
  begin(isHead: boolean, maySwitch: boolean): void {
    this.requests++;
    this.#isHeadRequest = isHead;
    this.#maySwitch = maySwitch;
    this.#awaitingHead = true;
    this.#informations = 0;
    this.#answered = false;
    this.#requestEnded = false;
    // While the client still sends, it is not the upstream that is waited for.
    this.deadline = Number.POSITIVE_INFINITY;
  }

  /** The whole request is written. */
  endRequest(): void {
    this.#requestEnded = true;
    // Where the system has not taken it all, `wroteInPart` has said how long the upstream has.
    if (!this.wire.blocked) this.#wait();
  }

  /** The system did not take everything: it has `writeMs` to take more. */
  wroteInPart(): void {
    this.#taken = this.wire.takenBytes;
    this.#wait();
  }

  /** Sets the deadline for what the upstream has to do next. */
  #wait(): void {
    const { wire } = this;
    // It may wait for its answer to be read before it reads on, and while the client sends, nobody waits for it.
    if (wire.paused || !(wire.blocked || this.#requestEnded)) this.deadline = Number.POSITIVE_INFINITY;
    else this.deadline = performance.now() + (wire.blocked ? this.#timeouts.writeMs : this.#timeouts.readMs);
  }

  /** The owner cannot take more of the response for now. */
  pause(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.wire.pause();
  }

  resume(): void {
    // A wire is read from the moment it is connected; before that, there is nothing to go on with.
    if (!this.connected || !this.wire.paused) return;
    this.wire.resume();
    this.#wait();
  }

  /** The connection speaks another protocol from now on: `owner` hears its wire. */
  switchTo(owner: WireOwner): void {
    this.#owner = null;
    this.#closed = true;
    this.#deadlines.delete(this);
    this.wire.own(owner);
  }

  /** The owner has no more use for this connection, whatever state it is in. */
  abandon(): void {
    this.#owner = null;
    this.wire.destroy();
  }

  destroy(): void {
    this.wire.destroy();
  }

  onDeadline(): void {
    if (this.#owner === null) return this.#drop();
    if (!this.connected) return this.#fail("upstream_connect_timeout", "connecting took too long");
    if (this.wire.blocked && this.wire.takenBytes > this.#taken) return this.wroteInPart(); // slow, but it reads
    this.#fail("upstream_timeout", "the upstream did not answer in time");
  }

  onBody(piece: Buffer): void {
    this.#owner?.onUpstreamBody(piece);
  }

  onBodyEnd(trailers: HeaderList | null): void {
    this.#trailers = trailers;
  }

  /** The response is over. `surplus`: bytes follow that belong to no message. */
  #end(surplus: boolean): void {
    const owner = this.#owner;
    const trailers = this.#trailers;
    this.#trailers = null;
    if (owner === null) return; // abandoned while the last piece was handed over
    if (surplus) this.#keepAlive = false;
    if (this.#requestEnded) this.#release();
    else this.abandon(); // an answer before the end of the request: the rest of it would be taken for the next
    owner.onUpstreamEnd(trailers);
  }

  onConnected(): void {
    this.connected = true;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#owner?.onUpstreamConnected();
  }

  onRead(chunk: Buffer): void {
    if (this.#owner === null || this.requests === 0) {
      // An upstream that speaks unasked: whatever it means, it is not an answer to the next request.
      return this.#drop();
    }
    if (this.deadline !== Number.POSITIVE_INFINITY) this.#wait();
    let at = 0;
    while (at < chunk.length) {
      if (this.#awaitingHead) {
        at = this.#readHead(chunk, at);
        if (at < 0) return;
      } else {
        at = this.#body.read(chunk, at, this);
        if (this.#body.error !== null) return this.#fail("upstream_invalid", this.#body.error);
        if (this.#body.ended) return this.#end(at < chunk.length);
      }
    }
    this.#owner?.onUpstreamFlush();
  }

  /** Returns the index after the head; -1 if there is nothing more to do with this chunk. */
  #readHead(chunk: Buffer, at: number): number {
    this.#answered = true;
    const rest = at === 0 ? chunk : chunk.subarray(at);
    const used = this.#partial.find(rest, this.pool.limits.maxHeadBytes + 2, this.#parse);
    if (used === INCOMPLETE) return -1;
    if (used < 0) {
      this.#fail("upstream_invalid", this.head.errorDetail);
      return -1;
    }
    const next = at + used;
    const { head } = this;
    if (head.status < 200) {
      if (head.status === 101) {
        if (this.#maySwitch) return this.#switch(head, chunk.subarray(next));
        this.#fail("upstream_invalid", "101 without having been asked to switch protocols");
        return -1;
      }
      if (++this.#informations > MAX_INFORMATIONS) {
        this.#fail("upstream_invalid", `more than ${MAX_INFORMATIONS} answers 1xx to one request`);
        return -1;
      }
      this.#owner?.onUpstreamInformation(head);
      return this.#owner === null ? -1 : next;
    }
    this.#awaitingHead = false;
    this.#keepAlive = head.keepAlive;
    if (this.#isHeadRequest || head.status === 204 || head.status === 304) this.#body.start(0, false, false);
    else this.#body.start(head.contentLength, head.chunked, true);
    if (this.#body.endsAtClose) this.#keepAlive = false;
    const owner = this.#owner as UpstreamOwner;
    const bodiless = this.#body.ended;
    owner.onUpstreamHead(head);
    if (bodiless && this.#owner === owner) {
      this.#end(next < chunk.length);
      return -1;
    }
    return this.#owner === null ? -1 : next;
  }

  #switch(head: ResponseHead, surplus: Buffer): -1 {
    this.pause();
    this.#owner?.onUpstreamSwitch(head, surplus);
    return -1;
  }

  onDrain(): void {
    if (this.#owner === null) return;
    this.#wait();
    this.#owner.onUpstreamDrain();
  }

  onEnd(): void {
    const underWay = this.#owner !== null && !this.#awaitingHead;
    if (underWay && this.#body.endsAtClose && this.wire.cutOff)
      return this.#fail("upstream_closed", "TLS ended without close_notify: the response may be cut short");
    if (underWay && this.#body.close(this)) return this.#end(false);
    this.#fail("upstream_closed", "the upstream closed the connection");
  }

  /** Both messages are over: the connection goes back to the pool or away. */
  #release(): void {
    this.#owner = null;
    this.#partial.clear();
    this.wire.resume(); // or it would not be noticed when the upstream closes it
    this.deadline = performance.now() + this.pool.idleTimeoutMs;
    if (!this.#keepAlive || this.requests >= this.pool.maxRequests || !this.pool.keep(this))
      this.wire.destroy();
  }

  #fail(code: ErrorCode, detail: string): void {
    const owner = this.#owner;
    this.#owner = null;
    this.#drop();
    if (owner === null) return;
    const asked = this.connected ? code : code === "upstream_closed" ? "upstream_connect" : code;
    const { address, port } = this.pool.place;
    // The reasons of TLS come in lines, with places in OpenSSL's own source.
    const reason = `${isIPv6(address) ? `[${address}]` : address}:${port}: ${detail.split("\n", 1)[0]}`;
    owner.onUpstreamError(asked, reason, this.requests <= 1 || this.#answered);
  }

  #drop(): void {
    this.pool.forget(this);
    this.wire.destroy();
  }

  onBroken(reason: string): void {
    this.#fail("upstream_closed", reason);
  }

  onClosed(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadlines.delete(this);
    this.#fail("upstream_closed", "the upstream closed the connection");
  }
}

function open({ address, port, tls: secure }: Place, owner: ConnectingOwner): Wire {
  if (secure === null) return connectPlain(address, port, owner);
  let socket: TLSSocket;
  try {
    socket = secure.connect(address, port);
  } catch (error) {
    // Certificates and authorities are read when they are needed first, and OpenSSL may refuse them.
    return failPlain(`TLS: ${(error as Error).message}`, owner);
  }
  const wire = new StreamWire(socket, owner);
  socket.once("secureConnect", () => {
    try {
      socket.setNoDelay(true);
      wire.watchEnd();
      wire.resume();
      owner.onConnected();
    } catch (error) {
      contain(error, wire);
    }
  });
  return wire;
}
