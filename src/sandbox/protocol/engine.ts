/**
 * What a cordon's process needs of an engine (isolate or WASM), and the plain data that crosses between a
 * data thread and a guest. Both ends import these types; neither end of the crossing trusts the other's values.
 */
import type { MaybePromise, Phase } from "@gatehouse/sdk";

export type EngineKind = "isolate" | "wasm";

/** Why a call did not end with a verdict. One word each in log, ledger and metric. */
export const FAILURES = [
  "fuel", //        WASM ran out of fuel
  "timeout", //     isolate ran out of CPU time
  "deadline", //    the parent's wall clock ran out: the cordon was killed
  "memory", //      the guest or its cordon passed a memory limit
  "trap", //        WASM trapped
  "throw", //       the guest threw
  "violation", //   the guest answered something that its contract does not allow
  "load", //        the guest could not be instantiated or configured
  "crashed", //     the cordon died by itself
  "suspended", //   the plugin is held back after repeated failures
  "unavailable", // no cordon could be had
  "busy", //        the plugin has as many open calls as it may
  "budget", //      its workspace's guests have used up their CPU time
] as const;
export type Failure = (typeof FAILURES)[number];

/** What the gateway alone can know: a cordon that says so is lying. */
export const GATEWAYS_OWN: ReadonlySet<Failure> = new Set([
  "deadline",
  "suspended",
  "unavailable",
  "busy",
  "budget",
]);

/** An edit of header fields, in the order in which it is applied. */
export type HeaderEdit =
  | readonly ["set" | "add", name: string, value: string]
  | readonly ["remove", name: string];

export interface RequestEdit {
  headers?: HeaderEdit[];
  method?: string;
  path?: string;
  query?: string;
  body?: Uint8Array;
}

export interface ResponseEdit {
  headers?: HeaderEdit[];
  status?: number;
  body?: Uint8Array;
}

/** What a guest wants done. The data thread checks every value of it before it touches the request. */
export interface Verdict {
  request?: RequestEdit;
  response?: ResponseEdit;
  /** Replaces the chunk of a body_filter call. */
  chunk?: Uint8Array;
  reply?: { status: number; headers: [string, string][]; body: Uint8Array };
  /** New values of the request's shared vars; null removes one. */
  vars?: Record<string, unknown>;
  /** Makes a consumer known (isolate guests with the consumer grant). */
  authenticated?: { consumer: string | null; credential: string | null };
}

/** One hook call, with only those parts of the request that the manifest's grants allow. */
export interface GuestCall {
  phase: Phase;
  /** The gateway's request id. */
  requestId: string;
  /** Milliseconds since the epoch, frozen for the call. */
  now: number;
  workspace: string;
  request: {
    method: string;
    scheme: string;
    host: string;
    port: number;
    path: string;
    upstreamPath: string | null;
    query: string;
    clientIp: string;
    clientPort: number;
    startedAt: number;
    uriCaptures: Record<string, string> | null;
    headers: [string, string][];
    body: Uint8Array | null;
  };
  response: {
    status: number;
    source: "service" | "exit" | "error";
    headers: [string, string][];
    body: Uint8Array | null;
  } | null;
  chunk: { data: Uint8Array; last: boolean } | null;
  route: { id: string; name: string | null } | null;
  service: { id: string; name: string | null; host: string } | null;
  consumer: { id: string; username: string | null; custom_id: string | null } | null;
  credential: { id: string } | null;
  vars: Record<string, unknown>;
  measures: {
    requestBytes: number;
    responseBytes: number;
    totalMs: number;
    upstreamMs: number;
    gatewayMs: number;
  };
}

/** What a guest in WebAssembly is told of it. */
export type ShownCall = Pick<
  GuestCall,
  "phase" | "requestId" | "now" | "request" | "response" | "chunk" | "consumer" | "vars"
>;

/** What a guest asks of the gateway in the middle of a call. */
export interface HostCall {
  /** Counts from 0 within one hook call; the reply carries it back. */
  seq: number;
  /** Name of the Host method. */
  method: string;
  args: unknown[];
  /** Whether the guest waits for a reply. */
  waits: boolean;
}

export interface Usage {
  cpuMicros: number;
  /** Units of fuel; 0 for isolates. */
  fuel: number;
  memoryBytes: number;
}

/** How one turn of the engine on a call ended: with a verdict, with a failure, or waiting for host calls. */
export type Turn =
  | { kind: "verdict"; verdict: Verdict; hostCalls: HostCall[]; usage: Usage }
  | { kind: "waiting"; hostCalls: HostCall[]; usage: Usage }
  | { kind: "failure"; failure: Failure; message: string; hostCalls: HostCall[]; usage: Usage };

/**
 * A turn as an engine gives it: as data, or written already (the text of turn-text.ts) by the guest's own
 * runtime. `waits` tells whether the call goes on.
 */
export type EngineTurn = Turn | { kind: "written"; text: string; waits: boolean; usage: Usage };

export interface GuestLimits {
  memoryBytes: number;
  /** CPU of one turn, isolates. */
  cpuMs: number;
  /** Units of fuel of one call, WASM. */
  fuel: number;
  /** Wall time of one call, waiting included; the parent enforces it. */
  wallMs: number;
  /** Bytes of everything that one verdict carries. */
  outputBytes: number;
  headerCount: number;
  headerBytes: number;
  hostCalls: number;
  /** Instances of a WASM guest in one cordon: as many of its calls can wait for the host there. */
  instances: number;
  /** Calls of one plugin that may be open at once on one data thread; the parent enforces it. */
  concurrentCalls: number;
}

/** What a guest's grants let it wait for: outbound requests, stored values, secrets. */
export type HostAsk = "fetch" | "kv" | "secret";

/** One configured plugin in a cordon. */
export interface GuestConfig {
  digest: string;
  runtime: "isolate" | "extism";
  phases: Phase[];
  instance: "resident" | "per-request";
  pluginId: string;
  /** The plugin entity's config as validated JSON. */
  config: unknown;
  /** A WASM guest with none of them never waits, and is run without what waiting costs. */
  asks: HostAsk[];
  limits: GuestLimits;
}

/**
 * One engine in a cordon. It takes calls as it can use them best: as data, or as the text that came. A turn runs until the guest ends or waits, and nothing else happens in the meantime:
 * where it is a promise, that settles in microtasks alone. An engine never throws for what a guest does; a guest
 * that cannot be loaded or configured fails its calls with `load`.
 */
export interface Engine<Call = GuestCall, Told extends EngineTurn = Turn> {
  /** Keeps an artifact, found by its digest until it was unloaded as often as it was loaded. */
  load(digest: string, artifact: Uint8Array): void;
  /** Whoever loaded it needs it no more: none of its instances is left. */
  unload(digest: string): void;
  configure(instance: number, config: GuestConfig): void;
  release(instance: number): void;
  /** Starts a hook call. `call` ids are unique among open calls. */
  start(call: number, instance: number, request: Call): MaybePromise<Told>;
  /**
   * Brings an instance up without calling a hook, as the first call would, and ends with an empty verdict or with
   * why that fails. An isolate's `create` is left out if the instance has no config. `now` as in GuestCall.
   */
  prepare(instance: number, now: number): MaybePromise<Told>;
  /** Goes on with a call that waits, once one of its host calls was answered. */
  resume(call: number, seq: number, result: { value: unknown } | { error: string }): MaybePromise<Told>;
  /** Forgets a call that will not be resumed. */
  abandon(call: number): void;
}
