/** What the main thread and a data thread say to each other. Plain data, structured-cloned. */

import type { MessagePort } from "node:worker_threads";
import type { OwnListener } from "../egress/own-listeners.ts";
import type { ConfigChange } from "../entities/change.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { ProxyListen, Settings } from "../settings.ts";
import type { TailEvent, TailWatch } from "../tail/events.ts";
import type { KeyPair } from "../tls/contexts.ts";
import type { ThreadTls } from "../tls/terminator.ts";
import type { ConnectionCapsSpec } from "./connection-caps.ts";
import type { CounterTableSpec } from "./counter-table.ts";
import type { InstalledPackage } from "./packages.ts";

/** A change of the configuration with the packages that plugins put by it name, by plugin entity id. */
export interface Deployment {
  readonly change: ConfigChange;
  readonly packages: Readonly<Record<string, InstalledPackage>>;
}

export interface ThreadData {
  /** The gateway's id, as it is in metrics. */
  readonly nodeId: string;
  readonly settings: Settings;
  /** The thread's `Vitals`. */
  readonly vitals: SharedArrayBuffer;
  readonly counters: CounterTableSpec;
  /** The caps on connections, and the thread's column of their counts. */
  readonly caps: ConnectionCapsSpec;
  readonly capColumn: number;
  /** Bytes of bodies on disk, by the same columns. */
  readonly spill: SharedArrayBuffer;
  /** PEM of the authorities that upstreams are verified against; null for the runtime's own. */
  readonly ca: readonly string[] | null;
  /** What is shown to upstreams whose service names no certificate; null for nothing. */
  readonly clientPair: KeyPair | null;
  /** Null if no listener speaks TLS. */
  readonly tls: ThreadTls | null;
  /** Where the gateway itself listens, as far as that is known. */
  readonly own: readonly OwnListener[];
}

export type ToThread =
  /** A part of a `ConfigChange`, serialized into memory that all threads share. */
  | { kind: "piece"; version: number; bytes: Uint8Array }
  /** Compile what the pieces change; answered by `prepared`. Nothing changes yet. */
  | { kind: "prepare"; version: number; packages: Deployment["packages"] }
  /** Serve what was prepared; answered by `live`. */
  | { kind: "commit"; version: number }
  | { kind: "discard"; version: number }
  | { kind: "listen"; listeners: readonly ProxyListen[] }
  /** Where the gateway itself listens, with the ports that the system has chosen. */
  | { kind: "own"; listeners: readonly OwnListener[] }
  /** Other certificates for names that have none, other keys for session tickets. */
  | { kind: "tls"; tls: ThreadTls }
  /** Lines are logged from this level on, in Kong's words. */
  | { kind: "log-level"; level: string }
  /** Whose calls are told of, from now on. */
  | { kind: "tail"; watches: readonly TailWatch[] }
  /** A workspace is no more: nothing is remembered of it. Answered by `forgotten`. */
  | { kind: "forget"; id: number; workspace: string }
  | { kind: "drain" }
  | { kind: "metrics"; id: number }
  | { kind: "sandbox"; message: unknown }
  /** The way to the store of plugins' values; null if it cannot be had now. */
  | { kind: "store"; port: MessagePort | null }
  /** The way to the file of recordings; null if it cannot be had now. */
  | { kind: "recordings"; port: MessagePort | null };

export type FromThread =
  | { kind: "started" }
  | { kind: "listening"; ports: readonly number[] }
  | { kind: "listen-failed"; message: string }
  | { kind: "prepared"; version: number; error: string | null }
  | { kind: "live"; version: number }
  | { kind: "drained" }
  | { kind: "metrics"; id: number; metrics: string; connections: ConnectionStates; ledger: LedgerRow[] }
  /** How many series of metrics and rows of the ledger the workspace had. */
  | { kind: "forgotten"; id: number; series: number; rows: number }
  /** What guests have cost, unasked. */
  | { kind: "ledger"; rows: LedgerRow[] }
  /** What watched plugins did. */
  | { kind: "tail"; events: readonly TailEvent[] }
  | { kind: "access"; records: readonly AccessRecord[] }
  | { kind: "log"; level: LogLevel; message: string; fields: Record<string, unknown> }
  | { kind: "sandbox"; message: unknown }
  /** A plugin asks for a kept value: the thread needs a way to the store. */
  | { kind: "store" }
  /** A request is recorded: the thread needs a way to the file of recordings. */
  | { kind: "recordings" };

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Connections of clients that are open now; of these, the ones that wait, and those in the middle of a head. */
export interface ConnectionStates {
  active: number;
  waiting: number;
  reading: number;
}

/** Connections by state, and sums since the gateway started. */
export interface ThreadStats extends ConnectionStates {
  requests: number;
  accepted: number;
}

/**
 * One request for the access log. The query is left out: keys travel in it. Order: time (ms since the epoch),
 * client address, method, path, status, request bytes, response bytes, total ms, upstream ms, request id,
 * workspace, route, service, consumer, source.
 */
export type AccessRecord = readonly [
  time: number,
  clientIp: string,
  method: string,
  path: string,
  status: number,
  requestBytes: number,
  responseBytes: number,
  totalMs: number,
  upstreamMs: number,
  requestId: string,
  workspace: string,
  route: string | null,
  service: string | null,
  consumer: string | null,
  source: string,
];
