/** What a client's connection asks of whoever handles its requests, and what bounds it. */
import type { ErrorCode } from "../errors.ts";
import type { BodySink } from "./body.ts";
import type { HeadLimits } from "./head.ts";
import type { PatienceLimits } from "./patience.ts";
import type { ServerConnection } from "./server-connection.ts";

export interface ServerLimits extends HeadLimits, PatienceLimits {
  /** From the first byte of a head to its end, and from the start of a connection to its first byte. */
  readonly headTimeoutMs: number;
  /** Of a connection that waits for its next request. */
  readonly idleTimeoutMs: number;
  /** Requests of one connection; the last one's answer ends it. */
  readonly maxRequests: number;
}

/** What happens to a request; one handler serves all connections of a thread. */
export interface RequestHandler {
  /** A head has come. The handler takes the request and, in the end, calls `finish` or `abort`. */
  onRequest(connection: ServerConnection): void;
  /** What came is not a request; the handler answers, and the connection is closed. */
  onRefused(connection: ServerConnection, code: ErrorCode, detail: string): void;
  /** The connection is cut off while no request is in progress. */
  onCut(connection: ServerConnection, code: ErrorCode, detail: string): void;
  onClosed(connection: ServerConnection): void;
}

/** What a request in progress hears of its client. */
export interface RequestOwner extends BodySink {
  /** The client has left, or its body broke the protocol (`code`). */
  onClientGone(code: ErrorCode, detail: string): void;
  /** What one read brought of the body is handed over: whatever was gathered may be written now. */
  onBodyFlush(): void;
  /** The client takes more of the response again. */
  onClientDrain(): void;
}
