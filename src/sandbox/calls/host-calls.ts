/**
 * Executes a guest's host calls on the data thread, against its grants. Arguments come from a process that
 * a guest may have taken over: every one is checked, and a call that no grant allows is a violation.
 */
import {
  type Consumer,
  type Credential,
  type FetchAnswer,
  type FetchRequest,
  type Host,
  type MaybePromise,
  type Window,
  whenReady,
} from "@gatehouse/sdk";
import type { HostCall } from "../protocol/engine.ts";
import type { GuestGrants } from "./grants.ts";
import { HostCallError } from "./host-call-error.ts";
import { HOST_CALL_LIMITS } from "./host-call-limits.ts";
import { Violation } from "./verdict.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
const METRIC = /^[a-zA-Z_][a-zA-Z0-9_]{0,127}$/;
const MAX_LABELS = 32;
const MAX_WINDOWS = 16;
const MAX_KEY = 4096;
/** The longest window is a leap year; a day more for clocks that differ. */
const MAX_WINDOW_MS = 367 * 86_400_000;
/** A guest's clock stands still during a call, so a window may end before it is counted. */
const MAX_ENDED_MS = 60_000;

/** What one hook call has asked for. */
export class HostCallTally {
  logLines = 0;
  /** Fetches under way. */
  fetching = 0;
  #end: AbortController | null = null;

  /** Aborted when the call ends: nobody waits for what it has sent any more. */
  get ended(): AbortSignal {
    this.#end ??= new AbortController();
    return this.#end.signal;
  }

  end(): void {
    this.#end?.abort();
  }
}

/**
 * Returns what the guest waits for. Throws a Violation for a call that is not granted or malformed; what could not
 * be done for another reason rejects, with a HostCallError if the guest may know the reason.
 */
export function executeHostCall(
  call: HostCall,
  grants: GuestGrants,
  host: Host,
  tally: HostCallTally,
): MaybePromise<unknown> {
  const { args } = call;
  switch (call.method) {
    case "log": {
      const level = LEVELS.find((one) => one === args[0]);
      if (level === undefined) throw new Violation("log() with an unknown level");
      const line = text(args[1], HOST_CALL_LIMITS.logCharacters, "log");
      // A plugin that logs without the grant is not broken: its lines go nowhere.
      if (grants.log && tally.logLines++ <= HOST_CALL_LIMITS.logLines) host.log(level, line);
      return;
    }
    case "count":
      if (grants.metrics)
        host.count(metric(args[0]), text(args[1], 256, "count"), labels(args[2]), number(args[3], "count"));
      return;
    case "observe":
      if (grants.metrics)
        host.observe(
          metric(args[0]),
          text(args[1], 256, "observe"),
          list(args[2], 64, "observe").map((bound) => number(bound, "observe")),
          labels(args[3]),
          number(args[4], "observe"),
        );
      return;
    case "findCredential":
      need(grants.consumer, "findCredential", "consumer");
      return host.findCredential(
        text(args[0], 256, "findCredential"),
        text(args[1], MAX_KEY, "findCredential"),
      );
    case "findConsumer":
      need(grants.consumer, "findConsumer", "consumer");
      return host.findConsumer(text(args[0], 1024, "findConsumer"));
    case "takeFromWindows":
      need(grants.kvBytes > 0, "takeFromWindows", "kv_bytes");
      return host.takeFromWindows(list(args[0], MAX_WINDOWS, "takeFromWindows").map(window));
    case "fetch":
      need(grants.httpHosts.length > 0, "fetch", "http_hosts");
      return fetchFor(fetchRequest(args[0]), host, tally);
    case "kvGet":
      need(grants.kvBytes > 0, "kvGet", "kv_bytes");
      return whenReady(host.kv.get(kvKey(args[0])), (value) => (value === null ? null : base64(value)));
    case "kvSet": {
      need(grants.kvBytes > 0, "kvSet", "kv_bytes");
      const ttlMs = args[2] === null ? undefined : ttl(args[2]);
      return host.kv.set(kvKey(args[0]), fromBase64(args[1], HOST_CALL_LIMITS.kvValueBytes, "kvSet"), {
        ttlMs,
      });
    }
    case "kvDelete":
      need(grants.kvBytes > 0, "kvDelete", "kv_bytes");
      return host.kv.delete(kvKey(args[0]));
    case "secret": {
      const name = text(args[0], HOST_CALL_LIMITS.secretNameCharacters, "secret");
      need(grants.secrets.includes(name), "secret", `secrets: [${/^[\w.-]+$/.test(name) ? name : "..."}]`);
      return host.secret(name);
    }
    default:
      throw new Violation("a host call that does not exist");
  }
}

function fetchFor(request: FetchRequest, host: Host, tally: HostCallTally): MaybePromise<unknown> {
  if (tally.fetching >= HOST_CALL_LIMITS.fetches)
    return Promise.reject(
      new HostCallError(`more than ${HOST_CALL_LIMITS.fetches} fetches at the same time`),
    );
  const answer = host.fetch(request, tally.ended);
  if (!(answer instanceof Promise)) return crossing(answer);
  tally.fetching++;
  return answer.then(crossing).finally(() => tally.fetching--);
}

function crossing({ status, headers, body }: FetchAnswer): object {
  return { status, headers, body: base64(body) };
}

/**
 * Microseconds that a data thread has for a host call, about as much as it takes with its answer. They are charged to the
 * workspace's CPU budget: a guest that has the gateway work for it pays for that too.
 */
const COSTS_US: Readonly<Record<string, number>> = { fetch: 80, kvGet: 40, kvSet: 50, kvDelete: 40 };
const OTHER_COST_US = 10;

/** Each window of one call, and so many characters of its key, cost a microsecond: keys are hashed and compared. */
const WINDOW_COST_US = 1;
const KEY_CHARACTERS_PER_US = 300;

/** Asked before the arguments are checked: they may be anything. */
export function costOf({ method, args }: Pick<HostCall, "method" | "args">): number {
  const fixed = Object.hasOwn(COSTS_US, method) ? (COSTS_US[method] as number) : OTHER_COST_US;
  if (method !== "takeFromWindows" || !Array.isArray(args[0])) return fixed;
  let us = fixed;
  // What is longer is refused as a whole.
  for (const asked of args[0].slice(0, MAX_WINDOWS)) {
    const key = (asked as { key?: unknown } | null)?.key;
    us += WINDOW_COST_US + (typeof key === "string" ? Math.ceil(key.length / KEY_CHARACTERS_PER_US) : 0);
  }
  return us;
}

/** Bytes that a data thread reads from elsewhere in vain, or writes to a guest, in a microsecond, about. */
export const BYTES_MOVED_IN_1_US = 250;

/** The same for an outcome that does not cross: an answer that nobody waits for any more, or why there is none. */
export function costOfUnused(outcome: unknown): number {
  const bytes =
    outcome instanceof HostCallError
      ? outcome.bytesRead
      : ((outcome as { body?: string } | null | undefined)?.body?.length ?? 0);
  return Math.floor(bytes / BYTES_MOVED_IN_1_US);
}

/** Why a host call failed, as the guest is told. */
export function reasonFor(method: string, error: unknown): string {
  return error instanceof HostCallError ? error.message : `${method} failed`;
}

/** The consumers in a host call's answer: those that the guest may then make known. */
export function consumerIn(method: string, answer: unknown): Consumer | null {
  if (answer === null || answer === undefined) return null;
  if (method === "findCredential") return (answer as Credential).consumer;
  return method === "findConsumer" ? (answer as Consumer) : null;
}

function need(granted: boolean, method: string, grant: string): void {
  if (!granted) throw new Violation(`${method}() without the grant ${grant}`);
}

function text(value: unknown, max: number, method: string): string {
  if (typeof value !== "string" || value.length > max)
    throw new Violation(`${method}() with something that is no string of at most ${max} characters`);
  return value;
}

function number(value: unknown, method: string): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Violation(`${method}() with something that is no number`);
  return value;
}

function list(value: unknown, max: number, method: string): unknown[] {
  if (!Array.isArray(value) || value.length > max)
    throw new Violation(`${method}() with something that is no list of at most ${max}`);
  return value;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function fromBase64(value: unknown, maxBytes: number, method: string): Uint8Array {
  if (typeof value !== "string" || value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    throw new Violation(`${method}() with something that is no base64`);
  const bytes = Buffer.from(value, "base64");
  if (bytes.length > maxBytes)
    throw new Violation(`${method}() with ${bytes.length} bytes, at most ${maxBytes}`);
  return bytes;
}

function kvKey(value: unknown): string {
  const { kvKeyBytes } = HOST_CALL_LIMITS;
  if (typeof value !== "string" || value === "" || Buffer.byteLength(value) > kvKeyBytes)
    throw new Violation(`a key that is no string of 1 to ${kvKeyBytes} bytes`);
  return value;
}

function ttl(value: unknown): number {
  const { kvTtlMs } = HOST_CALL_LIMITS;
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > kvTtlMs)
    throw new Violation(`kvSet() with a time that is no whole number from 1 to ${kvTtlMs}`);
  return value as number;
}

/** Types and sizes; what the request says is for whoever sends it to check. */
function fetchRequest(value: unknown): FetchRequest {
  const { url, method, headers, body } = (value ?? {}) as Record<string, unknown>;
  const { fetchUrlCharacters, fetchHeaders, fetchHeaderBytes, fetchBodyBytes } = HOST_CALL_LIMITS;
  let left: number = fetchHeaderBytes;
  const field = (part: unknown): string => {
    const read = text(part, left, "a header of fetch");
    left -= read.length;
    return read;
  };
  return {
    url: text(url, fetchUrlCharacters, "fetch"),
    method: text(method, 32, "fetch"),
    headers: list(headers, fetchHeaders, "fetch").map((pair) => {
      const [name, content] = list(pair, 2, "a header of fetch");
      return [field(name), field(content)] as const;
    }),
    body: body === null || body === undefined ? null : fromBase64(body, fetchBodyBytes, "fetch"),
  };
}

function metric(value: unknown): string {
  if (typeof value !== "string" || !METRIC.test(value)) throw new Violation("a metric with an unusable name");
  return value;
}

function labels(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) throw new Violation("labels that are no object");
  const entries = Object.entries(value);
  if (entries.length > MAX_LABELS) throw new Violation(`more than ${MAX_LABELS} labels`);
  const out: Record<string, string> = {};
  for (const [name, label] of entries) {
    if (!METRIC.test(name)) throw new Violation("a label with an unusable name");
    out[name] = text(label, 256, "a label");
  }
  return out;
}

function window(value: unknown): Window {
  const { key, limit, endsAt } = (value ?? {}) as Record<string, unknown>;
  const made = {
    key: text(key, 1024, "takeFromWindows"),
    limit: number(limit, "takeFromWindows"),
    endsAt: number(endsAt, "takeFromWindows"),
  };
  const fault = windowFault(made, Date.now());
  if (fault !== null) throw new Violation(fault);
  return made;
}

/**
 * What is wrong with a window that nobody would count by, or null. A limit of none is in force at once, and a
 * window without a near end holds its place in the counters for ever: both would only be made to fill them.
 */
export function windowFault({ limit, endsAt }: Window, now: number): string | null {
  if (!Number.isInteger(limit) || limit < 1) return "a window whose limit is no count from 1 on";
  if (!(endsAt > now - MAX_ENDED_MS && endsAt <= now + MAX_WINDOW_MS))
    return "a window that ends neither in the next 366 days nor just now";
  return null;
}
