/**
 * What a data thread counts of its own part: requests that it refused, handshakes that failed, bodies that went to
 * disk, faults. Labels come from tables of the gateway's own, so no client makes a series, and every series is there
 * from the start: a rate over one that begins with its first event misses that event.
 */
import { ERRORS, type ErrorCode } from "../errors.ts";
import { HANDSHAKE_FAILURES, type HandshakeFailure } from "../tls/handshake-failure.ts";
import type { MetricSink } from "./thread-metrics.ts";

const HELP = {
  refused:
    "Requests and connections that were refused or cut off for what their clients did, by status and reason.",
  handshakes: "TLS handshakes with clients that failed, by reason.",
  bodies: "Bodies held for plugins that went to disk.",
  bytes: "Bytes of bodies held for plugins that went to disk.",
  faults: "Connections closed by a fault of the gateway.",
};

/** Errors of clients, those aside who left: nobody refused them anything. */
const REFUSALS = (Object.keys(ERRORS) as ErrorCode[]).filter(
  (code) => ERRORS[code].source === "downstream" && code !== "client_closed",
);

export class PlaneMetrics {
  readonly #sink: Pick<MetricSink, "count">;
  readonly #node: { readonly node_id: string };

  constructor(sink: Pick<MetricSink, "count">, nodeId: string) {
    this.#sink = sink;
    this.#node = { node_id: nodeId };
    for (const code of REFUSALS) this.#refused(code, 0);
    for (const reason of HANDSHAKE_FAILURES) this.handshakeFailed(reason, 0);
    this.spilled(0, 0);
    this.fault(0);
  }

  /** A request came to an error; counted if it was its client's. */
  refused(code: ErrorCode): void {
    if (ERRORS[code].source === "downstream" && code !== "client_closed") this.#refused(code, 1);
  }

  #refused(code: ErrorCode, by: number): void {
    const labels = { ...this.#node, status: String(ERRORS[code].status), reason: code };
    this.#sink.count("gatehouse_requests_refused_total", HELP.refused, labels, by);
  }

  handshakeFailed(reason: HandshakeFailure, by = 1): void {
    const labels = { ...this.#node, reason };
    this.#sink.count("gatehouse_tls_handshake_failures_total", HELP.handshakes, labels, by);
  }

  /** Bytes were written to disk, of so many bodies that had none there before. */
  spilled(bodies: number, bytes: number): void {
    this.#sink.count("gatehouse_spilled_bodies_total", HELP.bodies, this.#node, bodies);
    this.#sink.count("gatehouse_spilled_bytes_total", HELP.bytes, this.#node, bytes);
  }

  fault(by = 1): void {
    this.#sink.count("gatehouse_connection_faults_total", HELP.faults, this.#node, by);
  }
}
