/**
 * The contract between a plugin and the gateway. A plugin written against this file runs natively when the
 * operator ships it and in an isolate when a tenant uploads it: the same source, the same behaviour.
 *
 * Whatever may have to wait is a `MaybePromise`: natively it is there at once, in a guest it crosses a
 * process boundary. `whenReady` serves both without a microtask where none is needed.
 */
import type { RecordingSink } from "./recording.ts";
import type { Reply } from "./reply.ts";
import type { ConfigOf, Field } from "./schema.ts";

export type MaybePromise<T> = T | Promise<T>;

/** Continues with a value that may have to be waited for; synchronous when it is there already. */
export function whenReady<T, R>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<R>,
): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** Header fields of a message. Names compare without case; order and spelling are kept as received. */
export interface Headers {
  /** The first value, or undefined. `name` must be lower-case. */
  get(name: string): string | undefined;
  /** All values in order. `name` must be lower-case. */
  getAll(name: string): string[];
  /** `name` must be lower-case. */
  has(name: string): boolean;
  /** Replaces every value of `name` by one. */
  set(name: string, value: string): void;
  /** Adds a value beside those that are there. */
  add(name: string, value: string): void;
  remove(name: string): void;
  /** Every field, `[name, value]`, in order. */
  entries(): [string, string][];
}

/** The request as the upstream will get it: what one plugin changes, the next one sees. */
export interface PluginRequest {
  /** 32 hexadecimal digits, also sent as `X-Kong-Request-Id`. */
  readonly id: string;
  method: string;
  readonly scheme: string;
  /** Host without port, lower-case. */
  readonly host: string;
  readonly port: number;
  /** Path as the client sent it, without the query. */
  readonly path: string;
  /** Path that goes upstream; null until a plugin sets it (then the service's path is not prepended). */
  upstreamPath: string | null;
  /** Raw query string without `?`; empty if there is none. */
  query: string;
  readonly clientIp: string;
  readonly clientPort: number;
  readonly headers: Headers;
  /** Milliseconds since the epoch at which the head arrived. */
  readonly startedAt: number;
  /** What the route's regular expression captured: `"0"` is the whole match, then groups by number and name. */
  readonly uriCaptures: Readonly<Record<string, string>> | null;
  /**
   * The whole body. Asking for it makes the gateway buffer it (up to the cap that applies); null if the
   * request has none. Only in `access`.
   */
  readBody(): MaybePromise<Uint8Array | null>;
  /** Replaces the body; Content-Length follows by itself. */
  setBody(body: Uint8Array): void;
}

/** The response on its way to the client. */
export interface PluginResponse {
  status: number;
  readonly headers: Headers;
  /** Who made it: the service, a plugin's reply (`exit`), or the gateway (`error`). */
  readonly source: "service" | "exit" | "error";
  /** The whole body; only in the `response` phase, null elsewhere. */
  readonly body: Uint8Array | null;
  /** Replaces the whole body; only in the `response` phase. */
  setBody(body: Uint8Array): void;
}

export interface Consumer {
  readonly id: string;
  readonly username: string | null;
  readonly custom_id: string | null;
}

export interface Credential {
  readonly id: string;
  readonly consumer: Consumer;
}

/** What was measured about a request; complete in the `log` phase. Times in ms, -1 where there is none. */
export interface Measures {
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** From the first byte of the request to the last of the response. */
  readonly totalMs: number;
  /** From sending the request upstream to the head of its response. */
  readonly upstreamMs: number;
  /** What the gateway itself took before it sent the request upstream. */
  readonly gatewayMs: number;
}

export interface Named {
  readonly id: string;
  readonly name: string | null;
}

/** One request's way through the gateway, as its plugins see it. */
export interface Context {
  readonly request: PluginRequest;
  readonly response: PluginResponse;
  readonly workspace: string;
  /** Null before the route is matched. */
  readonly route: Named | null;
  readonly service: (Named & { readonly host: string }) | null;
  readonly consumer: Consumer | null;
  readonly credential: { readonly id: string } | null;
  /** Makes the consumer known: from here on the plugins configured for it apply. */
  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void;
  /** JSON values that plugins of one request share. */
  readonly vars: Record<string, unknown>;
  readonly measures: Measures;
}

/** A counter of a fixed window. */
export interface Window {
  /** Identifies the counter within the plugin and workspace. */
  readonly key: string;
  /** A whole number from 1 on. */
  readonly limit: number;
  /** When the window ends, ms since the epoch, at most 366 days ahead: the counter starts anew after it. */
  readonly endsAt: number;
}

/** A request that a plugin makes. */
export interface FetchRequest {
  /** Absolute, `http:` or `https:`, without user and password. */
  readonly url: string;
  /** GET (the default), HEAD, POST, PUT, PATCH, DELETE or OPTIONS. */
  readonly method?: string;
  /** Host, framing and hop-by-hop fields are the gateway's to write. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Text goes as UTF-8. */
  readonly body?: Uint8Array | string | null;
}

/** What a fetch was answered. A body is as the server sent it: whoever asks for an encoding decodes it. */
export interface FetchAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/** Values that a plugin keeps from one request to another, by its workspace and name. The last write wins. */
export interface KeyValues {
  /** Null if there is no such key, or its time is over. */
  get(key: string): MaybePromise<Uint8Array | null>;
  /**
   * Keeps a value of at most 64 KiB under a key of 1 to 256 bytes. Text goes as UTF-8. `ttlMs` is how long, a
   * whole number from 1 on; for ever without it. Rejects if it does not fit into the plugin's quota.
   */
  set(
    key: string,
    value: Uint8Array | string,
    options?: { readonly ttlMs?: number | undefined },
  ): MaybePromise<void>;
  delete(key: string): MaybePromise<void>;
}

/** What a plugin may ask of the gateway. In a guest each is a host call that a grant must allow. */
export interface Host {
  /** Id of the plugin entity that this instance serves. */
  readonly pluginId: string;
  log(level: "debug" | "info" | "warn" | "error", message: string): void;
  /** Milliseconds since the epoch; frozen during a hook call in a guest. */
  now(): number;
  /** A random UUID. */
  uuid(): string;
  /** Random bytes that nobody can guess; a guest gets at most 4096 in one hook call. */
  random(length: number): Uint8Array;
  /** Finds the holder of a secret by the credential's type (`key-auth`) and key, in this workspace. */
  findCredential(type: string, key: string): MaybePromise<Credential | null>;
  /** Finds a consumer by id or username, in this workspace. */
  findConsumer(idOrName: string): MaybePromise<Consumer | null>;
  /**
   * Takes one from each window, or from none if one of them is exhausted. Exact over all threads of a
   * gateway. Returns what remains in each window; -1 for one that was exhausted.
   */
  takeFromWindows(windows: readonly Window[]): MaybePromise<readonly number[]>;
  /** Adds to a counter metric. */
  count(metric: string, help: string, labels: Readonly<Record<string, string>>, by: number): void;
  /** Records a value in a histogram metric with these upper bounds. */
  observe(
    metric: string,
    help: string,
    buckets: readonly number[],
    labels: Readonly<Record<string, string>>,
    value: number,
  ): void;
  /**
   * Sends a request, to a host that `http_hosts` grants, and reads its whole answer. Up to three redirects are
   * followed, each only where the grant allows it. Rejects if there is no answer in time or it is too long. What a
   * guest sends ends with the call that it was sent in; built-ins may end it by `signal`.
   */
  fetch(request: FetchRequest, signal?: AbortSignal): MaybePromise<FetchAnswer>;
  /** What the plugin keeps; the grant is `kv_bytes`. */
  readonly kv: KeyValues;
  /** A secret that the operator has put there for this workspace, by a name that `secrets` grants; null if none. */
  secret(name: string): MaybePromise<string | null>;
  /** Where requests are recorded; built-ins alone have it. */
  readonly recordings?: RecordingSink | undefined;
}

export type HookResult = MaybePromise<Reply | undefined | void>;

/**
 * The phases of a request, in order. A hook that is absent is not paid for; one that returns no promise is
 * not waited for. A Reply returned in rewrite, access or response is sent to the client in place of what
 * would have come.
 */
export interface Hooks {
  rewrite?(ctx: Context): HookResult;
  access?(ctx: Context): HookResult;
  /** Sees the whole response at once; the gateway buffers it. Excludes the two filters. */
  response?(ctx: Context): HookResult;
  headerFilter?(ctx: Context): MaybePromise<void>;
  /** Once for each chunk, in order, and once with an empty last chunk. What it returns is sent instead. */
  bodyFilter?(ctx: Context, chunk: Uint8Array, last: boolean): MaybePromise<Uint8Array | void>;
  log?(ctx: Context): MaybePromise<void>;
  /**
   * Its hooks of the response look on and change nothing: `response` runs only where another plugin has the gateway
   * buffer the response, and `bodyFilter` does not change how it is framed. For built-ins alone.
   */
  readonly observes?: boolean;
}

export const PHASES = ["rewrite", "access", "response", "header_filter", "body_filter", "log"] as const;
export type Phase = (typeof PHASES)[number];

export interface PluginDefinition<S extends Field = Field> {
  readonly name: string;
  readonly version: string;
  /** Higher runs earlier; Kong's scale. */
  readonly priority: number;
  readonly schema: S;
  /** Scopes that the plugin cannot be configured for. */
  readonly forbids?: readonly ("route" | "service" | "consumer")[];
  /**
   * Names of the headers and query parameters in which clients send it their credentials. Guests of the workspace
   * see none of them unless their manifest names it.
   */
  credentials?(config: ConfigOf<S>): readonly string[];
  /**
   * Prepares one configured instance. Work is done here once; hooks only decide. The gateway may have several
   * instances of one configured plugin at a time: one for each of its threads, or for each process that runs guests.
   */
  create(config: ConfigOf<S>, host: Host): Hooks;
}

/** Declares a plugin; checks its name and priority when the module is loaded. */
export function definePlugin<const S extends Field>(definition: PluginDefinition<S>): PluginDefinition<S> {
  if (!/^[a-z][a-z0-9-]{0,63}$/.test(definition.name))
    throw new TypeError(`plugin name '${definition.name}': use lower-case letters, digits and '-'`);
  if (!Number.isInteger(definition.priority))
    throw new TypeError(`plugin '${definition.name}': priority must be an integer`);
  return definition;
}
