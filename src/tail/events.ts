/**
 * What a tail of plugins tells: a line of JSON for each request that a plugin has seen, with its calls and what it
 * logged. Nothing of headers, bodies or queries is in it: keys travel there.
 */
import type { Failure } from "../sandbox/protocol/engine.ts";

export const TAIL_LEVELS = ["debug", "info", "warn", "error"] as const;
export type TailLevel = (typeof TAIL_LEVELS)[number];

/** One call of a hook, or all chunks of a body filter. */
export interface TailCall {
  readonly phase: string;
  readonly outcome: "continue" | "reply" | "failed";
  /** Calls that this stands for; 1 but for `body_filter`. */
  readonly calls: number;
  /** From asking to the verdict, waiting for a cordon included. */
  readonly wall_ms: number;
  readonly cpu_ms: number;
  /** Units of fuel, WASM; 0 for isolates. */
  readonly fuel: number;
  readonly memory_bytes: number;
  readonly host_calls: number;
  /** Of the reply; null if it gave none. */
  readonly reply_status: number | null;
  /** Why it failed, in one word and in a sentence; null if it did not. */
  readonly failure: Failure | null;
  readonly message: string | null;
}

export interface TailLine {
  readonly level: TailLevel;
  readonly phase: string;
  readonly message: string;
}

export interface TailRequest {
  readonly kind: "request";
  /** When its head arrived, RFC 3339. */
  readonly at: string;
  readonly request_id: string;
  readonly workspace: string;
  readonly plugin: string;
  readonly version: string;
  /** Name of the route, or its id; null if none was matched. */
  readonly route: string | null;
  readonly method: string;
  readonly path: string;
  /** What the client was answered; 0 if nothing was. */
  readonly status: number;
  readonly total_ms: number;
  readonly calls: readonly TailCall[];
  readonly logs: readonly TailLine[];
  /** Lines that were too many to be told. */
  readonly logs_left_out: number;
}

/** Requests that were not told, because there were too many or whoever reads was too slow. */
export interface TailDropped {
  readonly kind: "dropped";
  readonly workspace: string;
  readonly requests: number;
}

export type TailEvent = TailRequest | TailDropped;

/** What is watched: plugins of a workspace, or one of them by its name without a version. */
export interface TailWatch {
  readonly workspace: string;
  readonly plugin: string | null;
}

/** Which requests a reader wants to hear of. */
export interface TailFilter extends TailWatch {
  /** Those with a line of that level or a higher one; a call that failed counts as an error. */
  readonly level: TailLevel | null;
  /** Name or id. */
  readonly route: string | null;
  /** Lowest and highest status. */
  readonly status: readonly [from: number, to: number] | null;
}

/** What of an event a reader hears; null for nothing. */
export function filtered(event: TailEvent, filter: TailFilter): TailEvent | null {
  if (event.workspace !== filter.workspace) return null;
  if (event.kind === "dropped") return event;
  const { plugin, route, status, level } = filter;
  if (plugin !== null && event.plugin !== plugin) return null;
  if (route !== null && event.route !== route) return null;
  if (status !== null && (event.status < status[0] || event.status > status[1])) return null;
  if (level === null) return event;
  const from = TAIL_LEVELS.indexOf(level);
  const logs = event.logs.filter((line) => TAIL_LEVELS.indexOf(line.level) >= from);
  if (logs.length === 0 && !event.calls.some(({ outcome }) => outcome === "failed")) return null;
  return { ...event, logs };
}
