/** One recorded request through one version of a plugin: every phase that it hooks, as the pipeline calls them. */
import type { Hooks, MaybePromise, Phase, RecordedResponse, Reply } from "@gatehouse/sdk";
import { hookError } from "../pipeline/run.ts";
import type { Failure } from "../sandbox/protocol/engine.ts";
import type { RecordedContext } from "./recorded-context.ts";

type Fields = readonly (readonly [name: string, value: string])[];

export interface PlayedFailure {
  readonly phase: Phase;
  readonly failure: Failure | "throw";
  readonly message: string;
}

/** What came of it. */
export interface Played {
  /** What would have gone upstream; null if it was answered before. */
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query: string;
    readonly headers: Fields;
    readonly body: Uint8Array | null;
  } | null;
  /** What the client would have got; null if no answer of the service was recorded. */
  readonly response: {
    readonly status: number;
    /** The service, the plugin's reply (`exit`), or the gateway in place of a plugin that failed (`error`). */
    readonly source: "service" | "exit" | "error";
    readonly headers: Fields;
    readonly body: Uint8Array | null;
  } | null;
  readonly failures: readonly PlayedFailure[];
}

const CHUNK_BYTES = 64 * 1024;
const EMPTY = new Uint8Array();

/**
 * @param recorded what the service answered; null if that is not known.
 * @param plugin its name, for messages.
 * @param failures gets those that the plugin's `fail: open` passes over, while it runs.
 */
export async function play(
  ctx: RecordedContext,
  recorded: RecordedResponse | null,
  plugin: string,
  hooks: Hooks,
  failures: PlayedFailure[],
): Promise<Played> {
  let request: Played["request"] = null;
  let phase: Phase = "rewrite";
  const run = async <T>(name: Phase, hook: (() => MaybePromise<T>) | null): Promise<T | undefined> => {
    phase = name;
    return hook === null ? undefined : await hook();
  };
  const asks = (
    name: Phase,
    hook: ((of: RecordedContext) => MaybePromise<Reply | undefined | void>) | undefined,
  ) => run(name, hook === undefined ? null : () => hook(ctx));
  try {
    const reply = (await asks("rewrite", hooks.rewrite)) ?? (await asks("access", hooks.access));
    if (reply) ctx.takeReply(reply);
    else {
      const { method, upstreamPath, path, query, headers, body } = ctx.request;
      request = { method, path: upstreamPath ?? path, query, headers: headers.entries(), body };
      if (recorded === null) return { request, response: null, failures };
      ctx.takeRecorded(recorded);
      const answer = await asks("response", hooks.response);
      if (answer) ctx.takeReply(answer);
    }
    const { headerFilter, bodyFilter, log } = hooks;
    if (headerFilter) await run("header_filter", () => headerFilter(ctx));
    if (bodyFilter) ctx.response.body = (await run("body_filter", () => filtered(ctx, bodyFilter))) ?? null;
    if (log) await run("log", () => log(ctx));
    const { status, source, headers, body } = ctx.response;
    return { request, response: { status, source, headers: headers.entries(), body }, failures };
  } catch (error) {
    const { failure } = error as { failure?: Failure };
    // What a plugin that fails closed was told of already is among them.
    if (failure === undefined)
      failures.push({ phase, failure: "throw", message: String(error).slice(0, 500) });
    const { status } = hookError(error, { name: plugin, priority: 0, hooks }, phase).kind;
    return { request, response: { status, source: "error", headers: [], body: null }, failures };
  }
}

/** As a body of the service comes: in pieces, and an empty last one. */
async function filtered(
  ctx: RecordedContext,
  bodyFilter: NonNullable<Hooks["bodyFilter"]>,
): Promise<Uint8Array> {
  const body = ctx.response.body ?? EMPTY;
  const out: Uint8Array[] = [];
  // Outside of `response` nobody sees it whole.
  ctx.response.body = null;
  for (let at = 0; at < body.length; at += CHUNK_BYTES) {
    const chunk = body.subarray(at, at + CHUNK_BYTES);
    out.push((await bodyFilter(ctx, chunk, false)) ?? chunk);
  }
  out.push((await bodyFilter(ctx, EMPTY, true)) ?? EMPTY);
  return new Uint8Array(Buffer.concat(out));
}
