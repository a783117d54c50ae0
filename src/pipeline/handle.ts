/**
 * The way of a request, on one screen:
 *
 *     accept → parse head → rewrite → match route → access → pick target → send upstream
 *            ← write ← bodyFilter ← headerFilter (or response, buffered) ← parse head ← upstream
 *     and always, after the last byte: log
 *
 * A phase that nobody hooked costs one comparison. An answer of a plugin goes straight to the response line;
 * an error becomes an answer; whatever happens, `log` runs. The way up is here and in forward.ts, the way back
 * in respond.ts, and hooks are called in run.ts alone.
 */
import { reply as makeReply, type Reply } from "@gatehouse/sdk";
import { GatewayError } from "../errors.ts";
import type { RequestHandler } from "../http1/request-handler.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import type { DataPlane } from "./data-plane.ts";
import { forward } from "./forward.ts";
import { countForward } from "./max-forwards.ts";
import { ProxyExchange } from "./proxy-exchange.ts";
import { fail, reply } from "./respond.ts";
import { runAccess, runRewrite } from "./run.ts";
import type { RouteMatch } from "./snapshot.ts";

type Step = (x: ProxyExchange) => void;

/** A head has arrived. */
export function handle(x: ProxyExchange): void {
  attempt(x, rewrite);
}

function rewrite(x: ProxyExchange): void {
  x.checkRequest();
  if (x.chain.rewrite.length === 0) return match(x);
  advance(x, runRewrite(x), match);
}

function match(x: ProxyExchange): void {
  const found = x.snapshot.match(x);
  if (found === null || !mayAnswer(x, found)) throw new GatewayError("no_route");
  const { quotas } = x.plane;
  if (quotas !== null) {
    const { workspaceId, workspace } = found.data;
    const refused = quotas.refuse(workspaceId, workspace);
    if (refused !== null) {
      // It is the workspace's, and none of its plugins sees it.
      x.entry = found.data;
      return reply(x, refused);
    }
  }
  x.take(found);
  const { httpsStatus } = found.data;
  if (httpsStatus !== 0 && x.request.scheme !== "https") return toHttps(x, httpsStatus);
  if (x.chain.access.length === 0) return send(x);
  advance(x, runAccess(x), send);
}

/** A port that belongs to a workspace is nobody else's. */
function mayAnswer({ plane, request }: ProxyExchange, { data }: RouteMatch): boolean {
  return plane.owners.mayAnswer(data.workspaceId, request.host, request.port);
}

function send(x: ProxyExchange): void {
  const waiting = x.settleBody();
  if (waiting === undefined) settled(x);
  else whenDone(x, waiting, () => settled(x));
}

function settled(x: ProxyExchange): void {
  const { method } = x.request;
  const answer = method === "OPTIONS" || method === "TRACE" ? countForward(x.request) : undefined;
  if (answer === undefined) forward(x);
  else reply(x, answer);
}

/** The route is for https alone: Kong's 426, or the redirect that the route asks for. */
function toHttps(x: ProxyExchange, status: number): void {
  if (status === 426) throw new GatewayError("https_required");
  const { host, path, query, hasQuery } = x.request;
  const target = query !== "" || hasQuery ? `${path}?${query}` : path;
  reply(x, makeReply(status, null, { Location: `https://${host}${target}` }));
}

/** Goes on with the next step, now or when the phase is done; an answer ends the way up. */
function advance(
  x: ProxyExchange,
  outcome: Reply | undefined | Promise<Reply | undefined>,
  next: Step,
): void {
  if (outcome === undefined) next(x);
  else if (!(outcome instanceof Promise)) reply(x, outcome);
  else whenDone(x, outcome, (answer) => (answer === undefined ? next(x) : reply(x, answer)));
}

/**
 * Goes on once something that the exchange waits for is done. If it has taken another way meanwhile (the
 * client left, the upstream failed), that something comes too late and does nothing.
 */
export function whenDone<T>(x: ProxyExchange, waiting: Promise<T>, next: (value: T) => void): void {
  const { turn } = x;
  waiting.then(
    (value) => {
      if (x.turn === turn) attempt(x, () => next(value));
    },
    (error) => {
      if (x.turn === turn) attempt(x, () => fail(x, asGatewayError(error)));
    },
  );
}

/** Takes a step unless the request is over; what it throws becomes an answer. */
export function attempt(x: ProxyExchange, step: Step): void {
  if (x.finished) return;
  try {
    step(x);
  } catch (error) {
    fail(x, asGatewayError(error));
  }
}

export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new GatewayError("internal", message, { cause: error });
}

/** The door between connections and the pipeline: one for each data thread. */
export function requestHandler(
  plane: DataPlane,
  onClosed: (connection: ServerConnection) => void,
): RequestHandler {
  return {
    onRequest(connection) {
      handle(new ProxyExchange(plane, connection));
    },
    onRefused(connection, code, detail) {
      const x = new ProxyExchange(plane, connection);
      attempt(x, () => fail(x, new GatewayError(code, detail)));
    },
    onCut: plane.onCut,
    onClosed,
  };
}
