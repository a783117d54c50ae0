/** The end of an exchange, however it comes: what it held is let go, it is logged, and its connection goes on. */
import { performance } from "node:perf_hooks";
import { newHeaders, releaseHeaders } from "../http1/headers.ts";
import type { ProxyExchange } from "./proxy-exchange.ts";
import { runLog } from "./run.ts";

/** An upstream in the middle of something cannot be used for anything else. */
export function leaveUpstream(x: ProxyExchange): void {
  const { upstream } = x;
  x.upstream = null;
  x.turn++;
  x.ready = false;
  x.held.take();
  x.collected?.release();
  x.collected = null;
  upstream?.abandon();
}

/** After the last byte: log, then the connection's next request. */
export function finish(x: ProxyExchange, cut = false): void {
  if (x.finished) return;
  x.finished = true;
  x.finishedAt = performance.now();
  // An early answer leaves a request half sent: its upstream is of no more use.
  if (x.upstream !== null) leaveUpstream(x);
  if (x.whole !== null || x.collected !== null || x.request.bodyReplaced) x.dropBodies();
  if (x.chain.log.length > 0) runLog(x, x.chain, (error) => x.plane.onError(x, error));
  x.plane.onFinished(x);
  // Somebody may still hold this exchange: the connection's next request gets fields of its own.
  if (x.suspended) x.client.head.headers = newHeaders();
  else {
    releaseHeaders(x.response.headers);
    x.client.head.reset(); // an idle connection holds nothing of its last request
  }
  if (cut) x.client.abort();
  else x.client.finish();
}
