/**
 * An exchange that is proxied: it hears what client and upstream do, and hands it to the way up (forward.ts)
 * or the way back (respond.ts).
 */
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { ClientConnection, UpstreamOwner } from "../http1/client-connection.ts";
import type { ResponseHead } from "../http1/head.ts";
import type { HeaderList } from "../http1/headers.ts";
import type { RequestOwner } from "../http1/request-handler.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import { JOIN_MAX } from "../http1/write.ts";
import type { Peer } from "../upstream/balancer.ts";
import type { DataPlane } from "./data-plane.ts";
import { asBuffer, Exchange } from "./exchange.ts";
import {
  flushBody,
  inviteClient,
  sendBody,
  sendBodyEnd,
  sendOn,
  sendRequest,
  upstreamFailed,
} from "./forward.ts";
import { attempt } from "./handle.ts";
import { HeldBody } from "./held-body.ts";
import {
  clientDrained,
  clientGone,
  fail,
  flush,
  inform,
  receiveBody,
  receiveEnd,
  receiveHead,
} from "./respond.ts";
import type { RouteMatch } from "./snapshot.ts";
import { asksForWebSocket, receiveSwitch } from "./upgrade.ts";
import { type BodySender, WholeBody } from "./whole-body.ts";

export class ProxyExchange extends Exchange implements RequestOwner, UpstreamOwner {
  upstream: ClientConnection | null = null;
  /** Text of the upstream request that waits to be written with what follows in the same read. */
  upstreamHead = "";
  /** Whether a part of the request was written to the present upstream connection. */
  sent = false;
  /** Peers that were tried, once one has failed. */
  tried: Peer[] | null = null;
  attempts = 0;
  /** Whether the client asks for a WebSocket. */
  webSocket = false;
  /** The Sec-WebSocket-Accept that the upstream owes; null when it was not asked for a WebSocket. */
  accept: string | null = null;
  /** What is answered with an error. */
  error: ErrorCode | null = null;
  /** Whether client and upstream go over to another protocol. */
  switching = false;
  /** Whether the client's body goes up as it comes. */
  bodyGoesUp = false;
  /** Whether a client that waits with its body was told to go on. */
  invited = false;
  /** Text of the response that waits to be written with what follows in the same tick. */
  out = "";
  /** Whether the response's head was handed to the client's connection. */
  headSent = false;
  chunkedOut = false;
  /** Whether the response goes out without a body, whatever the upstream sends. */
  bodiless = false;
  /** Bytes of the response's body that were announced and not handed on yet. */
  owed = 0;
  /** Whether the end of the connection is the end of the response's body. */
  endsAtClose = false;
  /** Whether pieces of the response go straight through; false while a hook is waited for. */
  ready = false;
  /** The request's body, once a plugin has asked for it. */
  whole: WholeBody | null = null;
  /** The response's body, if it is collected for the `response` phase. */
  collected: WholeBody | null = null;
  /** Sends the request's body from disk. */
  sender: BodySender | null = null;
  /** Sends the response's body from disk. */
  answerer: BodySender | null = null;
  /** What of the response's body waits. */
  readonly held = new HeldBody();
  responseEnded = false;
  trailers: HeaderList | null = null;
  finished = false;
  /** Bytes of a request's body that a plugin made, as the store counts them. */
  #madeBytes = 0;
  /** Who waits for the request's body. */
  #reader: { resolve(body: Uint8Array): void; reject(error: GatewayError): void } | null = null;
  /** Why it cannot be had. */
  #readError: GatewayError | null = null;

  constructor(plane: DataPlane, client: ServerConnection) {
    super(plane, client);
    client.own(this);
  }

  /** Refuses what no upstream should be bothered with. */
  checkRequest(): void {
    // A resource of https is served over TLS, or to a proxy that has seen to that (RFC 9110 section 7.4).
    if (this.client.head.secureTarget && this.request.scheme !== "https" && !this.client.trusted) {
      this.client.keepAlive = false;
      throw new GatewayError("misdirected", "an absolute target of https on a connection without TLS");
    }
    const { upgrade } = this.request;
    if (upgrade !== null) {
      const { keepAlive } = this.client;
      this.client.keepAlive = false; // if it is refused
      this.webSocket = asksForWebSocket(this.request, upgrade);
      this.client.keepAlive = keepAlive;
    }
    const asked = this.client.tls?.serverName ?? null;
    // A connection that was made for one tenant's name does not reach another's (RFC 9110 section 15.5.20).
    if (asked !== null && !this.plane.owners.same(asked, this.request.host)) {
      this.client.keepAlive = false;
      throw new GatewayError("misdirected", "SNI and Host belong to different workspaces");
    }
    const max = this.plane.settings.maxBodyBytes;
    if (max > 0 && this.request.contentLength > max) {
      this.client.keepAlive = false;
      throw new GatewayError("body_too_large", `Content-Length over ${max}`);
    }
  }

  /** The route is found. */
  take(found: RouteMatch): void {
    const { data } = found;
    this.entry = data;
    this.matchedPath = found.matchedPath;
    this.request.uriCaptures = found.captures;
    const chain = data.chain(this.snapshot);
    this.chain = chain.choose === null ? chain : chain.choose(this);
  }

  /** Reads the whole body for a plugin, up to the cap. */
  bufferRequestBody(): Promise<Uint8Array | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    promise.catch(() => {}); // a hook may look at it later, and the client may leave before
    if (this.#readError !== null) {
      reject(this.#readError);
      return promise;
    }
    if (this.whole !== null || this.sent || this.finished) {
      reject(new GatewayError("internal", "the body was read already, or is being read"));
      return promise;
    }
    this.#reader = { resolve, reject };
    this.whole = new WholeBody(this.plane.bodies, {
      onRoom: () => this.client.startBody(),
      onStorageFailed: (error) => this.#refuseBody(error),
    });
    if (this.request.contentLength > this.#maxBodyBytes()) {
      this.#refuseBody(tooLarge(this.#maxBodyBytes()));
      return promise;
    }
    if (this.request.expectContinue) inviteClient(this);
    this.client.startBody();
    return promise;
  }

  /**
   * The plugins have seen the body. What they have replaced is dropped; what they made stays in memory, where the
   * upstream may be slow to take it, or goes to disk when memory is short, and then there is something to wait for.
   * What lies on disk goes up from there, and is in memory no more.
   */
  settleBody(): Promise<void> | undefined {
    if (this.#readError !== null) throw this.#readError; // whatever a plugin made of it, there is no body to send
    const { whole, request } = this;
    if (request.bodyReplaced) {
      whole?.release();
      this.whole = null;
      return this.#keepMade(asBuffer(request.body as Uint8Array));
    }
    if (whole?.spilled) {
      request.body = null;
      whole.unload();
    }
    return undefined;
  }

  #keepMade(body: Buffer): Promise<void> | undefined {
    const { bodies } = this.plane;
    if (body.length <= JOIN_MAX || bodies.hasRoom(body.length)) {
      this.#madeBytes = body.length;
      bodies.held += body.length;
      return undefined;
    }
    this.request.body = null;
    this.whole = WholeBody.toDisk(bodies, body);
    return this.whole.stored();
  }

  /** Nobody reads what was held any more. */
  dropBodies(): void {
    this.sender?.stop();
    this.answerer?.stop();
    this.whole?.release();
    this.collected?.release();
    this.plane.bodies.held -= this.#madeBytes;
    this.#madeBytes = 0;
  }

  #maxBodyBytes(): number {
    const { maxBodyBytes, bodyBufferMaxBytes } = this.plane.settings;
    const max = maxBodyBytes > 0 ? maxBodyBytes : Number.POSITIVE_INFINITY;
    return this.#reader === null ? max : Math.min(max, bodyBufferMaxBytes);
  }

  /** The body that a plugin waits for cannot be had. */
  #refuseBody(error: GatewayError): void {
    const reader = this.#reader;
    if (reader === null) return;
    this.#reader = null;
    this.#readError = error;
    this.whole?.release();
    this.whole = null;
    this.client.keepAlive = false;
    this.client.pauseBody();
    reader.reject(error);
  }

  // The client's side.

  onBody(piece: Buffer): void {
    if (this.finished || this.#readError !== null) return;
    this.bodyBytes += piece.length;
    const max = this.#maxBodyBytes();
    if (this.bodyBytes > max) {
      if (this.#reader !== null) return this.#refuseBody(tooLarge(max));
      this.client.keepAlive = false;
      this.client.pauseBody();
      return fail(this, tooLarge(max));
    }
    if (this.#reader === null) sendBody(this, piece);
    else if (this.whole?.add(piece) === false) this.client.pauseBody();
  }

  onBodyFlush(): void {
    flushBody(this);
  }

  onBodyEnd(trailers: HeaderList | null): void {
    if (this.finished) return;
    const { whole } = this;
    if (this.#reader === null || whole === null) return sendBodyEnd(this, trailers);
    if (!whole.spilled) return this.#read(whole.bytes);
    whole.load().then(
      (bytes) => this.#read(bytes),
      (error: GatewayError) => this.#refuseBody(error),
    );
  }

  /** The body is there. */
  #read(bytes: Buffer): void {
    const reader = this.#reader;
    this.#reader = null;
    this.request.body = bytes;
    reader?.resolve(bytes);
  }

  onClientGone(code: ErrorCode, detail: string): void {
    const error = new GatewayError(code, detail);
    this.#refuseBody(error);
    clientGone(this, error);
  }

  onClientDrain(): void {
    clientDrained(this);
  }

  // The upstream's side.

  onUpstreamConnected(): void {
    attempt(this, sendRequest);
  }

  onUpstreamInformation(head: ResponseHead): void {
    inform(this, head);
  }

  onUpstreamHead(head: ResponseHead): void {
    receiveHead(this, head);
  }

  onUpstreamSwitch(head: ResponseHead, surplus: Buffer): void {
    receiveSwitch(this, head, surplus);
  }

  onUpstreamBody(piece: Buffer): void {
    receiveBody(this, piece);
  }

  onUpstreamEnd(trailers: HeaderList | null): void {
    receiveEnd(this, trailers);
  }

  onUpstreamFlush(): void {
    flush(this);
  }

  onUpstreamDrain(): void {
    if (this.sender !== null) sendOn(this);
    else if (this.bodyGoesUp) this.client.startBody();
  }

  onUpstreamError(code: ErrorCode, detail: string, fresh: boolean): void {
    upstreamFailed(this, new GatewayError(code, detail), fresh);
  }
}

const tooLarge = (max: number) => new GatewayError("body_too_large", `body over ${max} bytes`);
