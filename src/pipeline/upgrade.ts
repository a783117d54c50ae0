/**
 * Requests that ask for another protocol on their connection (RFC 9110 section 7.8). WebSocket is served, as a
 * tunnel (tunnel.ts); everything else is refused.
 *
 * Both handshakes are checked in full (RFC 6455 sections 4.2.1 and 4.1): what this side takes for a tunnel must be
 * one for the client and for the upstream too. A gateway that believes in a switch which the upstream has refused
 * passes the client's next bytes up unread, and with them any request that the client likes to hide there.
 */
import { hash } from "node:crypto";
import { GatewayError } from "../errors.ts";
import type { ResponseHead } from "../http1/head.ts";
import type { HeaderList } from "../http1/headers.ts";
import type { ExchangeRequest } from "./exchange.ts";
import { finish, leaveUpstream } from "./finish.ts";
import { attempt, whenDone } from "./handle.ts";
import type { ProxyExchange } from "./proxy-exchange.ts";
import { answerWhole, fail, takeHead } from "./respond.ts";
import { responseHead } from "./response-head.ts";
import { runHeaderFilter } from "./run.ts";
import type { ServiceEntry } from "./snapshot.ts";
import { Tunnel } from "./tunnel.ts";

const NOTHING = Buffer.alloc(0);
/** The only version there is (RFC 6455 section 4.1). */
const VERSION = "13";
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
/** RFC 6455 section 1.3. */
const ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/**
 * An offer that asks for nothing (RFC 7540 section 3.2): clients add it to ordinary requests, some to all of them,
 * and an ordinary answer is how a server declines.
 */
const OFFER = "h2c";

/**
 * Judges what a request asks for. `upgrade` is its Upgrade field.
 * @returns whether it is a WebSocket handshake
 * @throws {GatewayError} 400, 426 or 501 if the request asks for something that it cannot have
 */
export function asksForWebSocket(request: ExchangeRequest, upgrade: string): boolean {
  const protocols = upgrade
    .split(",")
    .map((protocol) => protocol.trim().toLowerCase())
    .filter((protocol) => protocol !== "");
  if (!protocols.includes("websocket")) {
    if (protocols.every((protocol) => protocol === OFFER)) return false;
    throw new GatewayError("upgrade_refused", "an upgrade to something else than WebSocket");
  }
  const { headers } = request;
  if (request.method !== "GET") throw bad("a method other than GET");
  if (request.hasBody) throw bad("a body");
  if (headers.getAll("sec-websocket-key").length !== 1 || soundKey(headers) === null)
    throw bad("not one Sec-WebSocket-Key of 16 bytes");
  const versions = headers.getAll("sec-websocket-version");
  if (versions.length !== 1) throw bad("not one Sec-WebSocket-Version");
  if (versions[0] !== VERSION)
    throw new GatewayError("websocket_version", "a version of WebSocket other than 13");
  return true;
}

function bad(what: string): GatewayError {
  return new GatewayError("websocket_handshake", `a WebSocket handshake with ${what}`);
}

function soundKey(headers: HeaderList): string | null {
  const key = headers.get("sec-websocket-key");
  return key !== undefined && KEY.test(key) ? key : null;
}

/**
 * What the upstream must answer to prove that it has understood the handshake. Null if plugins have made another
 * request of it: that is sent as one.
 */
export function expectedAccept(request: ExchangeRequest): string | null {
  const { headers } = request;
  const key = soundKey(headers);
  const still =
    key !== null &&
    request.method === "GET" &&
    request.body === null &&
    headers.has("upgrade") &&
    headers.get("sec-websocket-version") === VERSION;
  return still ? hash("sha1", key + ACCEPT_SUFFIX, "base64") : null;
}

/** What is wrong with a 101 from the upstream, or null. */
export function switchFault(head: ResponseHead, accept: string): string | null {
  const { headers } = head;
  if (head.minor !== 1) return "101 in HTTP/1.0";
  if (head.chunked || head.contentLength > 0) return "101 with a body"; // RFC 9110 section 8.6
  if (headers.getAll("upgrade").join().toLowerCase() !== "websocket")
    return "101 that does not name websocket alone";
  if (!head.connectionOptions?.includes("upgrade")) return "101 without 'Connection: Upgrade'";
  const accepts = headers.getAll("sec-websocket-accept");
  if (accepts.length !== 1 || accepts[0] !== accept) return "101 with a wrong Sec-WebSocket-Accept";
  return null;
}

/**
 * The upstream goes over to WebSocket. Header filters see the 101; there is no body for the other phases of a
 * response, and `log` comes when the tunnel is closed.
 */
export function receiveSwitch(x: ProxyExchange, head: ResponseHead, surplus: Buffer): void {
  // Whatever becomes of it, what the client sends from now on may be for the other protocol.
  x.client.keepAlive = false;
  const fault = switchFault(head, x.accept as string);
  if (fault !== null) return fail(x, new GatewayError("upstream_invalid", fault));
  takeHead(x, head);
  const early = Buffer.from(surplus); // filters may take their time
  attempt(x, () => {
    const waiting = x.chain.headerFilter.length === 0 ? undefined : runHeaderFilter(x);
    if (waiting === undefined) beginTunnel(x, early);
    else whenDone(x, waiting, () => beginTunnel(x, early));
  });
}

/** The 101 goes to the client, and both connections to the tunnel. */
function beginTunnel(x: ProxyExchange, early: Buffer): void {
  const { client, upstream, response, plane } = x;
  const service = x.entry?.service as ServiceEntry;
  if (upstream === null) return;
  if (response.status !== 101) {
    // A filter has made something else of it: there is nothing to switch to.
    leaveUpstream(x);
    response.body = NOTHING;
    response.bodyReplaced = true;
    return answerWhole(x);
  }
  x.switching = true;
  x.headSent = true;
  client.writeText(responseHead(x, "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  const timeouts = {
    idleMs: service.timeouts.readMs,
    clientWriteMs: plane.settings.limits.writeTimeoutMs,
    upstreamWriteMs: service.timeouts.writeMs,
  };
  const tunnel = new Tunnel(client.wire, upstream.wire, plane.deadlines, timeouts, () => {
    x.bodyBytes = tunnel.client.bytes;
    x.responseBytes += tunnel.upstream.bytes;
    finish(x, true);
    client.onClosed();
  });
  x.upstream = null;
  upstream.switchTo(tunnel.upstream);
  tunnel.start(client.switchTo(tunnel.client), early);
}
