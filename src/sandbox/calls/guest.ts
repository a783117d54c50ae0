/** A configured guest and one of its calls, as a data thread keeps them. */
import type { Consumer, Context, Host, Phase } from "@gatehouse/sdk";
import type { LedgerRow } from "../ledger.ts";
import type { EngineKind, Failure, GuestConfig } from "../protocol/engine.ts";
import { asksOf } from "../wasm/abi.ts";
import type { GuestGrants, Sight } from "./grants.ts";
import type { HostCallTally } from "./host-calls.ts";
import type { CallWitness } from "./witness.ts";

/** What the gateway knows of a plugin entity that a guest serves. */
export interface GuestSettings extends Omit<GuestConfig, "asks"> {
  readonly workspace: string;
  /** The plugin's name without its version: suspensions go by it. */
  readonly name: string;
  /** Exact version; with the name, what the ledger goes by. */
  readonly version: string;
  /**
   * Whether it is tried beside the version that it may replace. Then it has a cordon of its own, and what it does there
   * counts against this version and not against the plugin.
   */
  readonly onTrial?: boolean;
  readonly fail: "closed" | "open";
  readonly grants: GuestGrants;
  /** How long a call waits for its workspace's CPU budget; 0 for not at all. Milliseconds. */
  readonly cpuWaitMs: number;
}

export class Guest implements Sight {
  readonly settings: GuestSettings;
  /** The part of the settings that crosses. */
  readonly config: GuestConfig;
  readonly engine: EngineKind;
  readonly grants: GuestGrants;
  readonly requestHeaders: Sight["requestHeaders"];
  readonly responseHeaders: Sight["responseHeaders"];
  readonly host: Host;
  readonly row: LedgerRow;
  openCalls = 0;
  released = false;

  constructor(settings: GuestSettings, sight: Sight, host: Host, row: LedgerRow) {
    const { digest, runtime, phases, instance, pluginId, config, limits } = settings;
    this.settings = settings;
    const asks = asksOf(sight.grants);
    this.config = { digest, runtime, phases, instance, pluginId, config, asks, limits };
    this.engine = runtime === "isolate" ? "isolate" : "wasm";
    this.grants = sight.grants;
    this.requestHeaders = sight.requestHeaders;
    this.responseHeaders = sight.responseHeaders;
    this.host = host;
    this.row = row;
  }
}

/** Why a hook of a guest did not do its work. The pipeline answers for it: 503 if it may help to come back. */
export class GuestFailure extends Error {
  override readonly name = "GuestFailure";
  readonly failure: Failure;
  /** The message without what the other fields say. */
  readonly reason: string;
  readonly workspace: string;
  readonly plugin: string;
  readonly phase: Phase;
  readonly requestId: string;
  /** What its manifest asks for: whether the request fails too. */
  readonly fail: GuestSettings["fail"];
  /** After how many milliseconds it may help to come back; null if nobody knows. */
  readonly retryAfterMs: number | null;

  constructor(
    failure: Failure,
    guest: Guest,
    phase: Phase,
    requestId: string,
    message: string,
    retryAfterMs: number | null = null,
  ) {
    super(`plugin ${guest.settings.name} in ${phase}: ${failure}: ${message}`);
    this.failure = failure;
    this.reason = message;
    this.workspace = guest.settings.workspace;
    this.plugin = guest.settings.name;
    this.phase = phase;
    this.requestId = requestId;
    this.fail = guest.settings.fail;
    this.retryAfterMs = retryAfterMs;
  }
}

/** One hook call, from asking to the end. */
export interface Call {
  readonly guest: Guest;
  readonly ctx: Context;
  readonly phase: Phase;
  readonly body: Uint8Array | null;
  readonly chunk: { data: Uint8Array; last: boolean } | null;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** `performance.now()` when the hook was called. */
  readonly askedAt: number;
  /** Number on its link; 0 while it is queued. */
  id: number;
  /** How often it was sent to a cordon. */
  attempts: number;
  /** `performance.now()` when it was last sent for the first time. */
  sentAt: number;
  /** For how long other threads' calls had come before this thread's on its link by then, milliseconds. */
  othersMs: number;
  /** Whether a turn of it has ended: then it cannot be sent again. */
  began: boolean;
  hostCalls: number;
  /** Made with its first host call. */
  tally: HostCallTally | null;
  /** Host calls that the guest waits for; made with the first. */
  pending: Map<number, string> | null;
  /** Consumers that host calls of this call have returned. */
  found: Consumer[] | null;
  ended: boolean;
  /** Null if nobody watches it. */
  readonly seen: CallWitness | null;
}

/** Whether the guest waits for the host. */
export function isPending({ pending }: Call): boolean {
  return pending !== null && pending.size > 0;
}
