/**
 * What clients do that ends their connection, told in the log: one line for a connection, with the reason in our own
 * words and nothing that the client sent. Anybody can cause such lines, so there is a budget for each reason.
 */
import type { ErrorCode } from "../errors.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import { type LogAllowance, LogBudget } from "../observe/log-budget.ts";
import type { Refusal } from "../threads/connection-caps.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Ends that say nothing about a client: it left, or it asked for a resource in plain text that is TLS's. */
const HARMLESS: readonly ErrorCode[] = ["client_closed", "https_required", "method_refused"];

const REFUSED: Record<Refusal, string> = {
  total: "a connection is closed: there are max_connections already",
  address: "a connection is closed: its address has max_connections_per_ip already",
};

/** Addresses whose line about refused connections is remembered. */
const MAX_ADDRESSES = 1000;

export class Complaints {
  readonly #log: (message: string, fields: Fields) => void;
  readonly #lines: LogBudget;
  /** Connections that have their line. */
  readonly #told = new WeakSet<ServerConnection>();
  /** Addresses that have theirs, and when. */
  readonly #refused = new Map<string, number>();
  readonly #intervalMs: number;

  constructor(
    log: (message: string, fields: Fields) => void,
    suppress: (suppressed: number, fields: Fields) => void,
    allowance: LogAllowance,
  ) {
    this.#log = log;
    this.#lines = new LogBudget(allowance, suppress);
    this.#intervalMs = allowance.intervalMs;
  }

  /** A connection found no seat: one line for an address and interval. */
  refuse(client: string, refusal: Refusal): void {
    const now = performance.now();
    const key = `${refusal} ${client}`;
    if (now - (this.#refused.get(key) ?? Number.NEGATIVE_INFINITY) < this.#intervalMs) return;
    if (this.#refused.size >= MAX_ADDRESSES) this.#refused.clear();
    this.#refused.set(key, now);
    const code = `connections_${refusal}`;
    if (this.#lines.admits(code, { code }))
      this.#log(REFUSED[refusal], { code, source: "downstream", client });
  }

  /** A handshake of TLS came to nothing. The reason is OpenSSL's or ours, and not the client's word. */
  shake(client: string, reason: string): void {
    const code = "tls_handshake";
    if (this.#lines.admits(code, { code }))
      this.#log(`a TLS handshake failed: ${reason}`, { code, source: "downstream", client });
  }

  /** A connection did not begin with a sound PROXY header. */
  unproxied(client: string, reason: string): void {
    const code = "proxy_protocol";
    if (this.#lines.admits(code, { code }))
      this.#log(`a connection is closed: ${reason}`, { code, source: "downstream", client });
  }

  /** The system has no descriptor for a connection. */
  starved(reason: string): void {
    const code = "no_descriptor";
    if (this.#lines.admits(code, { code }))
      this.#log(
        `connections cannot be accepted (${reason}): lower max_connections or raise the limit of open files`,
        {
          code,
          source: "internal",
        },
      );
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
