/**
 * What clients do that ends their connection, told in the log: one line for a connection, with the reason in our own
 * words and nothing that the client sent. Anybody can cause such lines, so there is a budget for each reason.
 */
import type { ErrorCode } from "../errors.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import { type LogAllowance, LogBudget } from "./log-budget.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Ends that say nothing about a client: it left, or it asked for a resource in plain text that is TLS's. */
const HARMLESS: readonly ErrorCode[] = ["client_closed", "https_required", "method_refused"];

export class Complaints {
  readonly #log: (message: string, fields: Fields) => void;
  readonly #lines: LogBudget;
  /** Connections that have their line. */
  readonly #told = new WeakSet<ServerConnection>();

  constructor(
    log: (message: string, fields: Fields) => void,
    suppress: (suppressed: number, fields: Fields) => void,
    allowance: LogAllowance,
  ) {
    this.#log = log;
    this.#lines = new LogBudget(allowance, suppress);
  }

  /** A request or connection is refused, or cut off. `requestId` is null where there is no request. */
  add(connection: ServerConnection, code: ErrorCode, detail: string, requestId: string | null): void {
    if (HARMLESS.includes(code) || this.#told.has(connection)) return;
    this.#told.add(connection);
    if (!this.#lines.admits(code, { code })) return;
    this.#log(detail, {
      code,
      source: "downstream",
      client: connection.remoteAddress,
      requests: connection.requests,
      bytes_read: connection.bytesRead,
      ...(requestId === null ? {} : { request_id: requestId }),
    });
  }
}
