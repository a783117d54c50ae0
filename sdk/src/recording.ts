/**
 * A request as it was recorded for replays: what plugins saw of it before any of them changed it, and what the
 * service answered. What is secret was taken out before it was kept.
 */
import type { Consumer, Named } from "./plugin.ts";

/** What was kept of a body. */
export interface RecordedBody {
  readonly bytes: Uint8Array;
  /** How long it was; more than what was kept where it was cut, null where nobody knows. */
  readonly length: number | null;
}

export interface RecordedRequest {
  readonly method: string;
  readonly scheme: string;
  /** Without port, lower-case. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  readonly clientIp: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Null if it had none. */
  readonly body: RecordedBody | null;
}

export interface RecordedResponse {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Null if it had none. */
  readonly body: RecordedBody | null;
}

export interface Recording {
  /** When the request's head arrived, milliseconds since the epoch. */
  readonly at: number;
  readonly route: Named | null;
  readonly service: (Named & { readonly host: string }) | null;
  readonly consumer: Consumer | null;
  readonly request: RecordedRequest;
  /** What the service answered; null where it was not asked, or this was not to be recorded. */
  readonly response: RecordedResponse | null;
}

/** Where recordings of one plugin entity go. */
export interface RecordingSink {
  /** Names, lower-case, under which clients of the workspace send credentials in headers, queries and bodies. */
  credentialNames(): readonly string[];
  /** Whether one more may be recorded now; if so, it counts. */
  mayRecord(): boolean;
  /**
   * Keeps a recording, or drops it where too many are on their way.
   * @param keep.most how many of this entity are kept: the newest.
   * @param keep.ttlMs for how long.
   */
  add(recording: Recording, keep: { readonly most: number; readonly ttlMs: number }): void;
}
