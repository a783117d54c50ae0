/**
 * The one place where hooks are called. A hook that returns no promise is not waited for: a chain of such
 * hooks runs without a microtask. A hook that throws fails its request, and the log names plugin and phase.
 */
import type { Phase, Reply } from "@gatehouse/sdk";
import { type ErrorCode, GatewayError } from "../errors.ts";
import { type Chain, type HookEntry, runsAfter } from "./chain.ts";
import { asBuffer, type Exchange } from "./exchange.ts";

/** How a phase went: nothing to say, an answer to send instead, or a failure that becomes an answer. */
export type Outcome = Reply | undefined;

/** Wraps what a hook threw, naming where. The guest's own kinds of failure pass through. */
export function hookError(error: unknown, entry: HookEntry, phase: Phase): GatewayError {
  const where = `plugin '${entry.name}', phase ${phase}`;
  if (error instanceof GatewayError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const { failure, retryAfterMs } = (error ?? {}) as { failure?: unknown; retryAfterMs?: unknown };
  const kind = typeof failure === "string" ? ` (${failure})` : "";
  const code = FAILED[String(failure)] ?? "plugin_failed";
  return new GatewayError(code, `${where}${kind}: ${message}`, {
    cause: error,
    ...(typeof retryAfterMs === "number" ? { retryAfterS: Math.max(1, Math.ceil(retryAfterMs / 1000)) } : {}),
  });
}

/** Failures of guests that are no fault of the call itself: it may help to come back. */
export const FAILED: Readonly<Record<string, ErrorCode>> = {
  suspended: "plugin_unavailable",
  unavailable: "plugin_unavailable",
  busy: "plugin_unavailable",
  budget: "plugin_budget",
};

/** Runs hooks of a phase that may answer. Hot; guarded by bench/bench.ts `policy`. */
export function runRewrite(x: Exchange, from = 0): Outcome | Promise<Outcome> {
  const hooks = x.chain.rewrite;
  for (let i = from; i < hooks.length; i++) {
    const entry = hooks[i] as HookEntry;
    let result: unknown;
    try {
      result = entry.hooks.rewrite?.(x);
    } catch (error) {
      throw hookError(error, entry, "rewrite");
    }
    if (result === undefined) continue;
    if (!(result instanceof Promise)) return result as Reply;
    return waitFor(x, result, entry, "rewrite").then((reply) => reply ?? runRewrite(x, i + 1));
  }
  return undefined;
}

/**
 * Runs access hooks. Once a hook has made the consumer known, the rest of the chain is chosen anew, because
 * plugins may be configured for that consumer (Kong's order of scopes).
 */
export function runAccess(x: Exchange, from = 0): Outcome | Promise<Outcome> {
  let hooks = x.chain.access;
  for (let i = from; i < hooks.length; i++) {
    const entry = hooks[i] as HookEntry;
    let result: unknown;
    try {
      result = entry.hooks.access?.(x);
    } catch (error) {
      throw hookError(error, entry, "access");
    }
    if (result === undefined) {
      if (!x.consumerChanged) continue;
      i = reselect(x, entry) - 1;
      hooks = x.chain.access;
      continue;
    }
    if (!(result instanceof Promise)) return result as Reply;
    return waitFor(x, result, entry, "access").then(
      (reply) => reply ?? runAccess(x, x.consumerChanged ? reselect(x, entry) : i + 1),
    );
  }
  return undefined;
}

/** Chooses the chain for the consumer that is known now; returns where its access hooks go on. */
function reselect(x: Exchange, after: HookEntry): number {
  x.consumerChanged = false;
  x.chain = x.chain.forConsumer(x.consumer?.id ?? null, after);
  const at = x.chain.access.findIndex((entry) => runsAfter(entry, after));
  return at < 0 ? x.chain.access.length : at;
}

export function runResponse(x: Exchange, from = 0): Outcome | Promise<Outcome> {
  const hooks = x.chain.response;
  for (let i = from; i < hooks.length; i++) {
    const entry = hooks[i] as HookEntry;
    let result: unknown;
    try {
      result = entry.hooks.response?.(x);
    } catch (error) {
      throw hookError(error, entry, "response");
    }
    if (result === undefined) continue;
    if (!(result instanceof Promise)) return result as Reply;
    return waitFor(x, result, entry, "response").then((reply) => reply ?? runResponse(x, i + 1));
  }
  return undefined;
}

export function runHeaderFilter(x: Exchange, from = 0): undefined | Promise<undefined> {
  const hooks = x.chain.headerFilter;
  for (let i = from; i < hooks.length; i++) {
    const entry = hooks[i] as HookEntry;
    let result: unknown;
    try {
      result = entry.hooks.headerFilter?.(x);
    } catch (error) {
      throw hookError(error, entry, "header_filter");
    }
    if (!(result instanceof Promise)) continue;
    return waitFor(x, result, entry, "header_filter").then(() => runHeaderFilter(x, i + 1));
  }
  return undefined;
}

/** Passes one chunk through every body filter, each seeing what the one before it made of it. */
export function runBodyFilter(x: Exchange, chunk: Buffer, last: boolean, from = 0): Buffer | Promise<Buffer> {
  const hooks = x.chain.bodyFilter;
  let current = chunk;
  for (let i = from; i < hooks.length; i++) {
    const entry = hooks[i] as HookEntry;
    let result: unknown;
    try {
      result = entry.hooks.bodyFilter?.(x, current, last);
    } catch (error) {
      throw hookError(error, entry, "body_filter");
    }
    if (result instanceof Promise) {
      const before = current;
      return waitFor(x, result, entry, "body_filter").then((made) =>
        runBodyFilter(x, made === undefined ? before : bytesOf(made), last, i + 1),
      );
    }
    if (result !== undefined) current = bytesOf(result);
  }
  return current;
}

/** Log hooks run after the last byte. One that fails is logged and does not keep the others from running. */
export function runLog(x: Exchange, chain: Chain, onError: (error: GatewayError) => void): void {
  for (const entry of chain.log) {
    try {
      const result = entry.hooks.log?.(x);
      if (result instanceof Promise) {
        x.suspended = true;
        result.catch((error) => onError(hookError(error, entry, "log")));
      }
    } catch (error) {
      onError(hookError(error, entry, "log"));
    }
  }
}

/** Waits for a hook. The rest of its phase does not run if the exchange has taken another way meanwhile. */
function waitFor<T>(x: Exchange, result: Promise<T>, entry: HookEntry, phase: Phase): Promise<T> {
  x.suspended = true;
  const { turn } = x;
  return result.then(
    (value) => {
      if (x.turn !== turn) throw new GatewayError("internal", "the exchange went another way");
      return value;
    },
    (error) => Promise.reject(hookError(error, entry, phase)),
  );
}

function bytesOf(value: unknown): Buffer {
  if (value instanceof Uint8Array) return asBuffer(value);
  throw new TypeError("bodyFilter returned something that is not bytes");
}
