/** The head of a response as the client gets it: what the upstream or a plugin says, and the gateway's own fields. */
import { performance } from "node:perf_hooks";
import type { ErrorCode } from "../errors.ts";
import { FIELD } from "../http1/headers.ts";
import { fieldLines, fieldOfKind, statusLine } from "../http1/write.ts";
import { ALLOW } from "./max-forwards.ts";
import type { ProxyExchange } from "./proxy-exchange.ts";

const NONE = new Uint8Array(16);
/** Kinds that the gateway states itself in a response: a gateway behind this one may have sent its own. */
const OWN = new Uint8Array(16);
OWN[FIELD.gateway] = 1;

/** Fields that the status of an error asks for (RFC 9110 sections 15.5.6 and 15.5.22). */
const ERROR_LINES: { readonly [code in ErrorCode]?: string } = {
  method_refused: `Allow: ${ALLOW}\r\n`,
  https_required: "Upgrade: TLS/1.2, HTTP/1.1\r\nConnection: Upgrade\r\n",
  websocket_version: "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
};

/** Head of the response with the gateway's own fields (Kong's `headers` setting). */
export function responseHead(x: ProxyExchange, framing: string): string {
  const { response, client, plane, request } = x;
  const { headers, serverLine, viaLines } = plane.settings;
  const proxied = response.source === "service";
  // A client that was not told to go on may send its body or the next request: nobody could tell which.
  if (request.expectContinue && !x.invited && x.bodyBytes === 0 && !client.body.ended)
    client.keepAlive = false;
  let head =
    statusLine(response.status, response.status === response.reasonStatus ? response.reason : "") +
    fieldLines(response.headers, headers.requestId ? OWN : NONE) +
    framing;
  if (response.source === "error" && x.error !== null) head += ERROR_LINES[x.error] ?? "";
  if (!client.keepAlive && !x.switching) head += "Connection: close\r\n";
  else if (request.minor === 0) head += "Connection: keep-alive\r\n";
  // An upstream without a clock is helped out (RFC 9110 section 6.6.1).
  if (fieldOfKind(response.headers, FIELD.date) === null) head += dateLine();
  if (serverLine !== "" && fieldOfKind(response.headers, FIELD.server) === null) head += serverLine;
  if (proxied) {
    head += viaLines[response.minor === 0 ? 0 : 1];
    if (headers.upstreamStatus) head += `X-Kong-Upstream-Status: ${response.status}\r\n`;
    if (headers.upstreamLatency)
      head += `X-Kong-Upstream-Latency: ${Math.round(x.upstreamHeadAt - x.upstreamStartedAt)}\r\n`;
    if (headers.proxyLatency)
      head += `X-Kong-Proxy-Latency: ${Math.round(x.upstreamStartedAt - x.startedAt)}\r\n`;
  } else if (headers.responseLatency)
    head += `X-Kong-Response-Latency: ${Math.round(performance.now() - x.startedAt)}\r\n`;
  if (headers.requestId) head += `X-Kong-Request-Id: ${request.id}\r\n`;
  x.responseBytes += head.length + 2;
  return `${head}\r\n`;
}

let dateSecond = -1;
let date = "";

/** The Date field, made once a second. */
function dateLine(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    date = `Date: ${new Date(now).toUTCString()}\r\n`;
  }
  return date;
}
