/**
 * What a data thread logs of clients, errors and plugins. Whoever causes such lines may cause them at will, so each
 * kind has a budget; what goes beyond is told of as a number.
 */
import type { Refusal } from "../egress/policy.ts";
import type { ErrorCode, GatewayError } from "../errors.ts";
import type { ServerConnection } from "../http1/server-connection.ts";
import { LogBudget } from "../observe/log-budget.ts";
import type { Exchange } from "../pipeline/exchange.ts";
import { GuestFailure } from "../sandbox/calls/client.ts";
import type { Refusal as NoSeat } from "../threads/connection-caps.ts";
import type { FromThread, LogLevel } from "../threads/messages.ts";
import { Complaints } from "./complaints.ts";
import { FailureLog } from "./failure-log.ts";
import { LEVELS, logFrom } from "./native-host.ts";

/** How often lines that were suppressed are told of. */
const INTERVAL_MS = 10_000;

type Fields = Readonly<Record<string, unknown>>;

export class ThreadLog {
  /** Index in LEVELS from which on lines are logged. */
  from: number;
  readonly #post: (message: FromThread) => void;
  /** Lines that plugins of one workspace log. */
  readonly #plugins = new LogBudget(
    { perSecond: 100, burst: 200, intervalMs: INTERVAL_MS },
    (suppressed, fields) => this.#suppress("lines of plugins", suppressed, fields),
  );
  /** Lines about one error on one route. */
  readonly #errors = new LogBudget(
    { perSecond: 10, burst: 50, intervalMs: INTERVAL_MS },
    (suppressed, fields) => this.#suppress("lines about this error", suppressed, fields),
  );
  /** Lines about clients. */
  readonly #complaints = new Complaints(
    (message, fields) => this.#line("info", message, fields),
    (suppressed, fields) => this.#suppress("lines about clients like that", suppressed, fields),
    { perSecond: 1, burst: 20, intervalMs: INTERVAL_MS },
  );
  readonly #failures = new FailureLog((message, fields) => this.#line("warn", message, fields));

  /** `post` carries lines to the main thread, which writes them. */
  constructor(logLevel: string, post: (message: FromThread) => void) {
    this.from = logFrom(logLevel);
    this.#post = post;
  }

  setLevel(logLevel: string): void {
    this.from = logFrom(logLevel);
  }

  /** A line of a plugin in that workspace. `perSecond` is what its guests may log; the operator's have a common rate. */
  plugin(workspace: string, level: LogLevel, message: string, fields: Fields, perSecond?: number): void {
    const key = perSecond === undefined ? workspace : `guests of ${workspace}`;
    if (this.#plugins.admits(key, { workspace }, perSecond))
      this.#line(level, message, { ...fields, workspace });
  }

  /** A secret is there that is not given out. */
  secret(workspace: string, name: string, reason: string): void {
    const path = `secrets_dir/${workspace}/${name}`;
    this.#line("warn", `a secret is not given out: ${reason}`, { workspace, path });
  }

  /** A guest failed. */
  failed(failure: GuestFailure): void {
    this.#failures.add(failure);
  }

  /** An exception that reached the runtime: a fault of the gateway, which has cost one connection. */
  fault(error: unknown): void {
    const code = "fault";
    if (!this.#errors.admits(code, { code, source: "internal" })) return;
    const stack = error instanceof Error ? error.stack : String(error);
    this.#line("error", "a connection was closed by a fault of the gateway: please report it", {
      code,
      source: "internal",
      stack,
    });
  }

  /** The egress policy refuses an address. */
  unreachable({ workspace, rule, address, port, reason, advice }: Refusal, fields: Fields): void {
    const code = "egress_refused";
    if (!this.#errors.admits(`${code} ${workspace}`, { code, workspace })) return;
    const message = `the egress policy refuses a connection: ${reason}`;
    this.#line("warn", message, { code, workspace, ...fields, rule, address, port, advice });
  }

  /**
   * What anybody can cause at will is for `debug`: failures of guests, and refused addresses, are in the log once
   * already, bounded.
   */
  error(x: Exchange, error: GatewayError): void {
    const { source, status } = error.kind;
    if (source === "downstream") this.cut(x.client, error.code, error.message, x.request.id);
    const common =
      source === "downstream" ||
      error.code === "no_route" ||
      error.code === "egress_refused" ||
      error.cause instanceof GuestFailure;
    const level = common ? "debug" : status === 500 ? "error" : "warn";
    if (!this.#tells(level)) return;
    const { workspace } = x;
    const route = x.route === null ? null : (x.route.name ?? x.route.id);
    const fields = { code: error.code, source, workspace, route };
    if (!this.#errors.admits(`${error.code} ${x.route?.id}`, fields)) return;
    this.#line(level, error.message, { ...fields, request_id: x.request.id });
  }

  /** A request or connection is refused, or cut off. `requestId` is null where there is no request. */
  cut(connection: ServerConnection, code: ErrorCode, detail: string, requestId: string | null): void {
    if (this.#tells("info")) this.#complaints.add(connection, code, detail, requestId);
  }

  /** A connection found no seat. */
  refused(client: string, refusal: NoSeat): void {
    this.#complaints.refuse(client, refusal);
  }

  /** A handshake of TLS came to nothing. */
  unsecured(client: string, reason: string): void {
    if (this.#tells("info")) this.#complaints.shake(client, reason);
  }

  /** A connection did not begin with a sound PROXY header. */
  unproxied(client: string, reason: string): void {
    if (this.#tells("info")) this.#complaints.unproxied(client, reason);
  }

  /** The system has no descriptor for a connection. */
  starved(reason: string): void {
    this.#complaints.starved(reason);
  }

  #tells(level: LogLevel): boolean {
    return LEVELS.indexOf(level) >= this.from;
  }

  #suppress(what: string, suppressed: number, fields: Fields): void {
    this.#line("warn", `${suppressed} more ${what} suppressed`, { ...fields, suppressed });
  }

  #line(level: LogLevel, message: string, fields: Fields): void {
    this.#post({ kind: "log", level, message, fields });
  }
}
