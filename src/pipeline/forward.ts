/**
 * The way up: picks a target, gets a connection, writes the request, streams its body, and tries another
 * target where nothing was sent.
 */
import { performance } from "node:perf_hooks";
import { decimal } from "@gatehouse/sdk";
import { GatewayError } from "../errors.ts";
import type { ClientConnection } from "../http1/client-connection.ts";
import { FIELD, type HeaderList } from "../http1/headers.ts";
import { isAll, isToken, TARGET } from "../http1/syntax.ts";
import { fieldLines, fieldOfKind, JOIN_MAX, lastChunk, writePiece, writeWithHead } from "../http1/write.ts";
import { escapePath, upstreamPath } from "../router/path.ts";
import type { Peer } from "../upstream/balancer.ts";
import { asBuffer } from "./exchange.ts";
import { attempt, whenDone } from "./handle.ts";
import type { ProxyExchange } from "./proxy-exchange.ts";
import { fail } from "./respond.ts";
import type { ServiceEntry } from "./snapshot.ts";
import { expectedAccept } from "./upgrade.ts";
import { BodySender, type WholeBody } from "./whole-body.ts";

/** Methods that may be sent twice without harm (RFC 9110 section 9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"]);

/** Kinds that the gateway states itself in a request. */
const OWN = new Uint8Array(16);
OWN[FIELD.host] = 1;
OWN[FIELD.forwarded] = 1;
OWN[FIELD.gateway] = 1;

export function forward(x: ProxyExchange): void {
  const service = x.entry?.service;
  if (service === null || service === undefined) throw new GatewayError("no_service");
  const peer = service.balancer.pick(x.tried);
  if (peer instanceof Promise) whenDone(x, peer, (found) => connect(x, service, found));
  else connect(x, service, peer);
}

function connect(x: ProxyExchange, service: ServiceEntry, peer: Peer): void {
  x.peer = peer;
  x.attempts++;
  const kept = peer.origin.take(x, service.timeouts);
  if (kept === null) {
    x.upstream = peer.origin.connect(x, service.timeouts);
    return;
  }
  x.upstream = kept;
  sendRequest(x);
}

/** Writes the request to a connection that is ready. Hot; guarded by bench/bench.ts `plain`. */
export function sendRequest(x: ProxyExchange): void {
  const { request, upstream } = x;
  if (upstream === null) return;
  x.accept = x.webSocket ? expectedAccept(request) : null;
  upstream.begin(request.method === "HEAD", x.accept !== null);
  x.sent = true;
  x.upstreamStartedAt = performance.now();
  const head = requestHead(x);
  if (request.body !== null) {
    guard(x, writeWithHead(upstream.wire, head, asBuffer(request.body)));
    upstream.endRequest();
  } else if (x.whole !== null) {
    guard(x, upstream.wire.writeText(head));
    sendStored(x, x.whole, upstream);
  } else if (!request.hasBody) {
    guard(x, upstream.wire.writeText(head));
    upstream.endRequest();
  } else {
    x.upstreamHead = head;
    x.bodyGoesUp = true;
    // A client that waits to be told waits for the upstream: until then the time is the upstream's.
    const waits = request.expectContinue && !x.invited;
    if (waits && !request.headers.has("expect"))
      inviteClient(x); // a plugin took the question away
    else if (waits) upstream.deadline = performance.now() + readTimeoutMs(x);
    x.client.startBody(!waits || x.invited);
    flushBody(x);
  }
}

/** Tells a client that waits with its body to go on. */
export function inviteClient(x: ProxyExchange): void {
  x.invited = true;
  x.client.writeText("HTTP/1.1 100 Continue\r\n\r\n");
}

/** A body that lies on disk goes up. */
function sendStored(x: ProxyExchange, body: WholeBody, upstream: ClientConnection): void {
  x.sender?.stop(); // that of the attempt before
  const sender = new BodySender(body, (piece) => {
    if (x.upstream !== upstream) {
      sender.stop(); // answered early, or another attempt is made
      return false;
    }
    const flows = writePiece(upstream.wire, "", piece, false);
    if (!flows) upstream.wroteInPart();
    return flows;
  });
  x.sender = sender;
  if (!upstream.wire.blocked) sendOn(x);
}

/** The upstream takes more of a body that lies on disk. */
export function sendOn(x: ProxyExchange): void {
  const { sender, upstream } = x;
  sender?.run().then(
    (done) => {
      if (!done || x.sender !== sender || x.upstream !== upstream) return;
      x.sender = null;
      upstream?.endRequest();
    },
    (error: GatewayError) => {
      if (x.sender === sender && x.upstream === upstream) fail(x, error);
    },
  );
}

/** A piece of the client's body goes up, small ones gathered until the end of the read that brought them. */
export function sendBody(x: ProxyExchange, piece: Buffer): void {
  const { upstream } = x;
  if (upstream === null || !x.bodyGoesUp) return;
  if (x.request.expectContinue) upstream.deadline = Number.POSITIVE_INFINITY;
  const { chunked } = x.request;
  const { length } = piece;
  if (length <= JOIN_MAX && x.upstreamHead.length <= JOIN_MAX) {
    const text = piece.toString("latin1");
    x.upstreamHead += chunked ? `${length.toString(16)}\r\n${text}\r\n` : text;
    return;
  }
  const head = x.upstreamHead;
  x.upstreamHead = "";
  guard(x, writePiece(upstream.wire, head, piece, chunked));
}

/** Writes what was gathered. */
export function flushBody(x: ProxyExchange): void {
  const { upstream, upstreamHead } = x;
  if (upstream === null || upstreamHead === "") return;
  x.upstreamHead = "";
  guard(x, upstream.wire.writeText(upstreamHead));
}

function readTimeoutMs(x: ProxyExchange): number {
  return x.entry?.service?.timeouts.readMs ?? 0;
}

export function sendBodyEnd(x: ProxyExchange, trailers: HeaderList | null): void {
  const { upstream } = x;
  if (upstream === null || !x.bodyGoesUp) return;
  if (x.request.chunked) x.upstreamHead += lastChunk(trailers);
  flushBody(x);
  upstream.endRequest();
}

/** Back-pressure towards the client: it is read again once the upstream has taken what it got. */
function guard(x: ProxyExchange, flows: boolean): void {
  if (flows) return;
  x.upstream?.wroteInPart();
  x.client.pauseBody();
}

/** What plugins wrote into the request line is held to what a client may send. */
function checkLine({
  method,
  givenMethod,
  query,
  givenQuery,
  upstreamPath: path,
}: ProxyExchange["request"]): void {
  const sound =
    (method === givenMethod || isToken(method)) &&
    (query === givenQuery || query === "" || isAll(query, TARGET)) &&
    (path === null || path.startsWith("/"));
  if (!sound)
    throw new GatewayError("plugin_failed", "a plugin set a method, path or query that cannot be sent");
}

/** `OPTIONS *` asks about a server as a whole (RFC 9112 section 3.2.4); a service below a path is asked about that. */
function starPath(servicePath: string | null): string {
  return servicePath === null || servicePath === "" || servicePath === "/" ? "*" : escapePath(servicePath);
}

/** Fields of one hop, which say that they are (RFC 9110 sections 7.8 and 10.1.4); in Kong's words. */
function connectionLines(trailers: boolean, upgrade: boolean): string {
  if (!upgrade)
    return trailers ? "Connection: keep-alive, TE\r\nTE: trailers\r\n" : "Connection: keep-alive\r\n";
  return trailers
    ? "Connection: keep-alive, Upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n"
    : "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
}

/** Who the client is. For a client that says nothing of others before it, one text for all its requests. */
function clientLines({ client, request }: ProxyExchange): string {
  const { forwarded, clientIp, scheme } = request;
  const others =
    fieldOfKind(request.headers, FIELD.forwarded) === null ? [] : request.headers.getAll("x-forwarded-for");
  const plain = forwarded === null && others.length === 0;
  if (plain && client.introduction !== "") return client.introduction;
  // As Kong has it: a chain that has begun goes on with the peer, a new one begins with the client.
  const chain = others.length === 0 ? clientIp : [...others, client.remoteAddress].join(", ");
  const lines =
    `X-Forwarded-For: ${chain}\r\nX-Real-IP: ${clientIp}\r\n` +
    `X-Forwarded-Proto: ${scheme}\r\nX-Forwarded-Port: ${forwarded?.port ?? request.port}\r\n`;
  if (plain) client.introduction = lines;
  return lines;
}

function requestHead(x: ProxyExchange): string {
  const { request, plane, peer } = x;
  checkLine(request);
  const entry = x.entry as NonNullable<typeof x.entry>;
  const service = entry.service as ServiceEntry;
  let path: string;
  if (request.upstreamPath !== null) path = escapePath(request.upstreamPath);
  else if (request.path === "*") path = starPath(service.path);
  else path = escapePath(upstreamPath(service.path, request.normalPath, x.matchedPath, entry.stripPath));
  const query =
    request.query !== "" || (request.hasQuery && request.upstreamPath === null) ? `?${request.query}` : "";
  const client = x.client;
  const { headers } = plane.settings;
  const given = fieldOfKind(request.headers, FIELD.host);
  // A Host that a plugin has set goes up as it is.
  const host =
    given !== null && given !== request.authority && given !== client.head.host
      ? given
      : entry.preserveHost && request.authority !== ""
        ? request.authority
        : (service.hostHeader ?? (peer as Peer).authority);
  const { forwarded } = request;
  const te = fieldOfKind(request.headers, FIELD.te);
  const trailers = te !== null && /(^|,)\s*trailers\s*($|,|;)/i.test(te);
  let head =
    `${request.method} ${path}${query} HTTP/1.1\r\nHost: ${host}\r\n` +
    connectionLines(trailers, x.accept !== null) +
    clientLines(x) +
    `X-Forwarded-Path: ${forwarded?.path ?? request.path}\r\n`;
  const forwardedHost = forwarded?.host ?? request.host;
  if (forwardedHost !== "") head += `X-Forwarded-Host: ${forwardedHost}\r\n`; // HTTP/1.0 may have none
  const stripped = entry.stripPath && x.matchedPath !== "" && x.matchedPath !== "/";
  const prefix = forwarded?.prefix ?? (stripped ? escapePath(x.matchedPath) : null);
  if (prefix !== null) head += `X-Forwarded-Prefix: ${prefix}\r\n`;
  if (headers.requestIdUpstream) head += `X-Kong-Request-Id: ${request.id}\r\n`;
  // A body that is here already, and one that does not exist, go up without asking first (RFC 9110 section 10.1.1).
  const here = request.body !== null || x.whole !== null || !request.hasBody;
  if (request.expectContinue ? here : request.minor === 0) request.headers.remove("expect");
  head += fieldLines(request.headers, OWN);
  head += plane.settings.viaLines[request.minor === 0 ? 0 : 1];
  if (request.body !== null) return `${head}Content-Length: ${decimal(request.body.length)}\r\n\r\n`;
  if (x.whole !== null) return `${head}Content-Length: ${decimal(x.whole.length)}\r\n\r\n`;
  if (request.chunked) return `${head}Transfer-Encoding: chunked\r\n\r\n`;
  if (request.contentLength >= 0) return `${head}Content-Length: ${decimal(request.contentLength)}\r\n\r\n`;
  return `${head}\r\n`;
}

/**
 * The upstream failed. Another attempt is made where nothing was sent, and where a kept connection turned out
 * to be stale for a request that may be repeated and is at hand whole.
 */
export function upstreamFailed(x: ProxyExchange, error: GatewayError, fresh: boolean): void {
  x.upstream = null;
  if (x.finished) return;
  const { request } = x;
  const retries = x.entry?.service?.retries ?? 0;
  const replayable = request.body !== null || x.whole !== null || !request.hasBody;
  const stale = x.sent && !fresh && replayable && IDEMPOTENT.has(request.method);
  const unsent = !x.sent && (error.kind as { retry?: boolean }).retry === true && x.attempts <= retries;
  if (x.upstreamHeadAt < 0 && (stale || unsent)) {
    x.sent = false;
    if (unsent && x.peer !== null) x.tried = [...(x.tried ?? []), x.peer];
    return attempt(x, forward);
  }
  fail(x, error);
}
