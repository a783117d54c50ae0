/**
 * An exchange that is proxied: it hears what client and upstream do, and hands it to the way up (forward.ts)
 * or the way back (respond.ts).
 */
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { ClientConnection, UpstreamOwner } from "../http1/client-connection.ts";
import type { HeaderList } from "../http1/headers.ts";
import type { ResponseHead } from "../http1/parse.ts";
import type { RequestOwner, ServerConnection } from "../http1/server-connection.ts";
import type { Peer } from "../upstream/balancer.ts";
import type { DataPlane } from "./data-plane.ts";
import { Exchange } from "./exchange.ts";
import { flushBody, sendBody, sendBodyEnd, sendRequest, upstreamFailed } from "./forward.ts";
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
  /** Whether a client that waits with its body was told to go on. */
  invited = false;
  /** Text of the response that waits to be written with what follows in the same tick. */
  out = "";
  /** Whether the response's head was handed to the client's connection. */
  headSent = false;
  chunkedOut = false;
  /** Whether the response goes out without a body, whatever the upstream sends. */
  bodiless = false;
  /** Whether the end of the connection is the end of the response's body. */
  endsAtClose = false;
  /** Whether pieces of the response go straight through; false while a hook is waited for. */
  ready = false;
  /** Whether the response is collected for the `response` phase. */
  collecting = false;
  /** What of the response's body waits. */
  readonly held = new HeldBody();
  responseEnded = false;
  trailers: HeaderList | null = null;
  finished = false;
  #buffering: {
    held: HeldBody;
    resolve(body: Uint8Array): void;
    reject(error: GatewayError): void;
  } | null = null;

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
    this.chain = data.chain(this.snapshot);
  }

  /** Reads the whole body for a plugin, up to the cap. */
  bufferRequestBody(): Promise<Uint8Array | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>();
    if (this.#buffering !== null || this.finished)
      return Promise.reject(new GatewayError("internal", "the body is being read already"));
    this.#buffering = { held: new HeldBody(), resolve, reject };
    if (this.request.expectContinue) {
      this.invited = true;
      this.client.writeText("HTTP/1.1 100 Continue\r\n\r\n");
    }
    this.client.startBody();
    return promise;
  }

  // The client's side.

  onBody(piece: Buffer): void {
    if (this.finished) return;
    this.bodyBytes += piece.length;
    const { maxBodyBytes, bodyBufferMaxBytes } = this.plane.settings;
    const max = this.#buffering === null ? maxBodyBytes : bodyBufferMaxBytes;
    if (max > 0 && this.bodyBytes > max) {
      const error = new GatewayError("body_too_large", `body over ${max} bytes`);
      this.client.keepAlive = false;
      this.client.pauseBody();
      return this.#buffering === null ? fail(this, error) : this.#buffering.reject(error);
    }
    if (this.#buffering === null) sendBody(this, piece);
    else this.#buffering.held.add(piece);
  }

  onBodyFlush(): void {
    flushBody(this);
  }

  onBodyEnd(trailers: HeaderList | null): void {
    if (this.finished) return;
    if (this.#buffering === null) return sendBodyEnd(this, trailers);
    const { held, resolve } = this.#buffering;
    this.#buffering = null;
    this.request.body = held.take();
    resolve(this.request.body);
  }

  onClientGone(code: ErrorCode, detail: string): void {
    this.#buffering?.reject(new GatewayError(code, detail));
    this.#buffering = null;
    clientGone(this, new GatewayError(code, detail));
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
    this.client.startBody();
  }

  onUpstreamError(code: ErrorCode, detail: string, fresh: boolean): void {
    upstreamFailed(this, new GatewayError(code, detail), fresh);
  }
}
