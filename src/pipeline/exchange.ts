/**
 * One request and its response on their way through the gateway: what the pipeline knows of them, and what
 * plugins see as their context. An exchange serves one request; nothing of it is shared with another.
 */
import { performance } from "node:perf_hooks";
import type { Consumer, Context, Measures, Named, PluginRequest, PluginResponse } from "@gatehouse/sdk";
import type { RequestHead } from "../http1/head.ts";
import { type HeaderList, newHeaders } from "../http1/headers.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import { normalizePath } from "../router/path.ts";
import type { Peer } from "../upstream/balancer.ts";
import type { Chain, Drawing } from "./chain.ts";
import type { Forwarded } from "./client-address.ts";
import type { DataPlane } from "./data-plane.ts";
import type { Drawn } from "./gates.ts";
import type { RouteEntry, Snapshot } from "./snapshot.ts";

/**
 * Fields that stay whatever Connection lists: Host and Expect are for every recipient; TE and Upgrade are always
 * listed, and read when the request goes up, where the gateway lists its own.
 */
const KEPT = new Set(["host", "expect", "te", "upgrade"]);

export class ExchangeRequest implements PluginRequest {
  readonly id: string;
  method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  /** What a trusted proxy in front said; null without one. */
  readonly forwarded: Forwarded | null;
  readonly path: string;
  /** The path that routes are matched against. */
  readonly normalPath: string;
  upstreamPath: string | null = null;
  query: string;
  /** Whether the target ended in `?`: an empty query goes upstream as it came, one that a plugin emptied does not. */
  readonly hasQuery: boolean;
  /** Method and query as the client sent them. */
  readonly givenMethod: string;
  readonly givenQuery: string;
  readonly clientIp: string;
  readonly clientPort: number;
  readonly headers: HeaderList;
  uriCaptures: Readonly<Record<string, string>> | null = null;
  /** Value of Host as the client sent it, or the authority of an absolute target. */
  readonly authority: string;
  readonly contentLength: number;
  readonly chunked: boolean;
  readonly isHead: boolean;
  readonly minor: number;
  readonly expectContinue: boolean;
  /** What other protocol the client asks for: the value of Upgrade, or null without one that counts. */
  readonly upgrade: string | null;
  /** A body that was read whole or set by a plugin; sent in place of what the client sends. */
  body: Uint8Array | null = null;
  /** Whether a plugin set the body. */
  bodyReplaced = false;
  readonly #exchange: Exchange;

  constructor(exchange: Exchange, client: ServerConnection, head: RequestHead, id: string) {
    this.#exchange = exchange;
    this.id = id;
    this.method = head.method;
    this.isHead = head.method === "HEAD";
    const { target } = head;
    const question = target.indexOf("?");
    this.hasQuery = question >= 0 && question === target.length - 1;
    this.path = question < 0 ? target : target.substring(0, question);
    this.query = question < 0 ? "" : target.substring(question + 1);
    this.givenMethod = this.method;
    this.givenQuery = this.query;
    this.normalPath = normalizePath(this.path);
    this.authority = head.authority ?? head.host ?? "";
    this.host = hostOf(this.authority);
    this.port = client.wire.localPort;
    this.headers = head.headers;
    // In HTTP/1.0, and unless Connection lists it, the field means nothing (RFC 9110 section 7.8).
    this.upgrade =
      head.connectionOptions?.includes("upgrade") && head.minor === 1
        ? head.headers.getAll("upgrade").join()
        : null;
    // Fields that the client's Connection lists end here, before plugins add their own: nobody can strip those.
    for (const option of head.connectionOptions ?? []) if (!KEPT.has(option)) head.headers.remove(option);
    const forwarded = client.trusted ? exchange.plane.trust.read(head.headers, client.proxied) : null;
    this.forwarded = forwarded;
    const real = forwarded?.client ?? null;
    this.clientIp = real === null ? client.remoteAddress : real.address;
    this.clientPort = real === null ? client.wire.remotePort : real.port;
    this.scheme = forwarded?.scheme ?? (client.tls === null ? "http" : "https");
    this.contentLength = head.contentLength;
    this.chunked = head.chunked;
    this.minor = head.minor;
    // In HTTP/1.0 the expectation means nothing (RFC 9110 section 10.1.1).
    this.expectContinue = head.expectContinue && head.minor === 1;
  }

  get startedAt(): number {
    return Math.round(performance.timeOrigin + this.#exchange.startedAt);
  }

  /** Whether a body is declared. */
  get hasBody(): boolean {
    return this.chunked || this.contentLength > 0;
  }

  readBody(): Uint8Array | null | Promise<Uint8Array | null> {
    if (this.body !== null || !this.hasBody) return this.body;
    return this.#exchange.bufferRequestBody();
  }

  setBody(body: Uint8Array): void {
    this.body = body;
    this.bodyReplaced = true;
  }
}

export class ExchangeResponse implements PluginResponse {
  status = 0;
  /** The upstream's own phrase, and the status that it is for: a plugin may set another one. */
  reason = "";
  reasonStatus = 0;
  /** Minor version in which the upstream spoke. */
  minor = 1;
  headers = newHeaders();
  source: "service" | "exit" | "error" = "error";
  body: Uint8Array | null = null;
  bodyReplaced = false;
  /** Length of the body as the upstream declared it; -1 if it did not. */
  contentLength = -1;
  /** Whether the upstream's answer is one without a body, whatever it declares. */
  unsent = false;

  setBody(body: Uint8Array): void {
    this.body = asBuffer(body);
    this.bodyReplaced = true;
  }
}

/** The state that every phase works on. The phases themselves are functions in this folder. */
export abstract class Exchange implements Context, Drawing {
  readonly plane: DataPlane;
  /** The configuration as it was when the request came; later changes do not reach it. */
  readonly snapshot: Snapshot;
  readonly client: ServerConnection;
  readonly request: ExchangeRequest;
  readonly response = new ExchangeResponse();
  /** Milliseconds of `performance.now()`. */
  readonly startedAt = performance.now();
  chain: Chain;
  /** Which versions of plugins it gets, where there are two of one. */
  drawn: Drawn | null = null;
  entry: RouteEntry | null = null;
  /** The prefix or match of the route's path. */
  matchedPath = "";
  consumer: Consumer | null = null;
  credential: { readonly id: string } | null = null;
  /** Set by `authenticate`, cleared once the chain was chosen anew. */
  consumerChanged = false;
  /** Whether a hook was waited for: the objects of this exchange may be held by somebody. */
  suspended = false;
  /** Counts the ways that this exchange has taken: what was waited for on an earlier one comes too late. */
  turn = 0;
  peer: Peer | null = null;
  upstreamStartedAt = -1;
  upstreamHeadAt = -1;
  finishedAt = -1;
  /** Bytes of the client's body, as far as they were read. */
  bodyBytes = 0;
  /** Bytes of the client's head. */
  readonly headBytes: number;
  /** Bytes of the response, head and body, without the framing of chunks. */
  responseBytes = 0;
  #vars: Record<string, unknown> | null = null;

  constructor(plane: DataPlane, client: ServerConnection) {
    this.plane = plane;
    this.snapshot = plane.snapshot;
    this.snapshot.inFlight++;
    this.client = client;
    this.chain = plane.snapshot.globalChain;
    this.headBytes = client.headBytes;
    this.request = new ExchangeRequest(this, client, client.head, plane.requestIds.next());
    if (this.chain.choose !== null) this.chain = this.chain.choose(this);
  }

  abstract bufferRequestBody(): Promise<Uint8Array | null>;

  get vars(): Record<string, unknown> {
    this.#vars ??= {};
    return this.#vars;
  }

  get workspace(): string {
    return this.entry === null ? "default" : this.entry.workspace;
  }

  get route(): Named | null {
    return this.entry === null ? null : this.entry.route;
  }

  get service(): (Named & { readonly host: string }) | null {
    return this.entry?.service?.entity ?? null;
  }

  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void {
    this.consumer = consumer;
    this.credential = credential;
    this.consumerChanged = true;
  }

  get measures(): Measures {
    const end = this.finishedAt < 0 ? performance.now() : this.finishedAt;
    const sent = this.upstreamStartedAt;
    const upstreamMs = sent < 0 || this.upstreamHeadAt < 0 ? -1 : Math.round(this.upstreamHeadAt - sent);
    return {
      requestBytes: this.headBytes + this.bodyBytes,
      responseBytes: this.responseBytes,
      totalMs: Math.round(end - this.startedAt),
      upstreamMs,
      gatewayMs: Math.round((sent < 0 ? end : sent) - this.startedAt),
    };
  }

  /** Values of a request header, for the router. */
  headerValues(lower: string): readonly string[] {
    return this.request.headers.getAll(lower);
  }
}

/** Plugins may hand over any bytes; what writes them relies on Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Host without port, lower-case; brackets of an IPv6 literal stay. */
export function hostOf(authority: string): string {
  const colon = authority.charCodeAt(0) === 91 ? authority.indexOf("]") + 1 : authority.indexOf(":");
  const host = colon > 0 && colon < authority.length ? authority.substring(0, colon) : authority;
  return host.toLowerCase();
}
