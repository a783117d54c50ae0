/** What one data thread shares between its requests. */
import { randomFillSync } from "node:crypto";
import type { ErrorCode, GatewayError } from "../errors.ts";
import type { Deadlines } from "../http1/deadlines.ts";
import type { ServerLimits } from "../http1/request-handler.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import type { RequestQuotas } from "../tenancy/request-quotas.ts";
import type { BodyStore } from "./body-store.ts";
import type { Trust } from "./client-address.ts";
import type { Exchange } from "./exchange.ts";
import type { HostOwners } from "./host-owners.ts";
import type { Snapshot } from "./snapshot.ts";

/** Which of the gateway's own headers are sent (Kong's settings `headers` and `headers_upstream`). */
export interface OwnHeaders {
  readonly proxyLatency: boolean;
  readonly upstreamLatency: boolean;
  readonly responseLatency: boolean;
  readonly upstreamStatus: boolean;
  readonly requestId: boolean;
  readonly requestIdUpstream: boolean;
}

export interface PlaneSettings {
  readonly limits: ServerLimits;
  /** Largest request or response body that is held for a plugin. */
  readonly bodyBufferMaxBytes: number;
  /** Largest request body at all; 0 for no bound (Kong's `client_max_body_size`). */
  readonly maxBodyBytes: number;
  readonly headers: OwnHeaders;
  /** Type of an error body when the client does not say what it accepts. */
  readonly errorDefaultType: string;
  /** The gateway's Server field as a line; empty if it is not to be sent. */
  readonly serverLine: string;
  /** Its Via field for a message of HTTP/1.0, and of 1.1 (RFC 9110 section 7.6.3); empty if not to be sent. */
  readonly viaLines: readonly [string, string];
}

export interface DataPlane {
  /** Replaced whole when the configuration changes. */
  snapshot: Snapshot;
  readonly settings: PlaneSettings;
  readonly deadlines: Deadlines;
  readonly requestIds: RequestIds;
  readonly trust: Trust;
  readonly bodies: BodyStore;
  /** Which workspace owns which hosts; replaced whole, with the snapshot. */
  owners: HostOwners;
  /** Requests that workspaces may have; null while none has a bound. Replaced whole, with the snapshot. */
  quotas: RequestQuotas | null;
  /** A request is over, answered or not. */
  onFinished(x: Exchange): void;
  /** Something failed; the client has seen no more than its status and message. */
  onError(x: Exchange, error: GatewayError): void;
  /** A connection without a request was cut off. */
  onCut(connection: ServerConnection, code: ErrorCode, detail: string): void;
}

/** Request ids: 32 hexadecimal digits from the system's generator, drawn in bulk. */
export class RequestIds {
  readonly #bytes = Buffer.alloc(16 * 256);
  #hex = "";
  #at = 0;

  next(): string {
    if (this.#at === this.#hex.length) {
      this.#hex = randomFillSync(this.#bytes).toString("hex");
      this.#at = 0;
    }
    const id = this.#hex.substring(this.#at, this.#at + 32);
    this.#at += 32;
    return id;
  }
}
