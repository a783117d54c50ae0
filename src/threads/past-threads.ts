/** What data threads that are gone had counted, how they went, and what was cut off with them. */
import { PastMetrics } from "../observe/past-metrics.ts";
import type { MetricsJson } from "../observe/thread-metrics.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { Vitals } from "./vitals.ts";

/** `crash`: it ended by itself; `hang`: it was ended because it stood still. */
export type LossReason = "crash" | "hang";

/** What a thread took with it. */
export interface Loss {
  /** Connections of clients that were open, idle ones included. */
  readonly connections: number;
  /** Requests that had begun and were not over. */
  readonly requests: number;
}

/** All losses since the gateway started. */
export interface Losses extends Loss {
  readonly threads: Readonly<Record<LossReason, number>>;
}

/** What a thread answered when it was last asked for its metrics. */
export interface LastSeen {
  readonly metrics: MetricsJson;
}

export class PastThreads {
  /** Requests that were finished, and connections accepted. */
  requests = 0;
  accepted = 0;
  readonly metrics = new PastMetrics();
  readonly #threads: Record<LossReason, number> = { crash: 0, hang: 0 };
  #lostConnections = 0;
  #lostRequests = 0;

  get losses(): Losses {
    return {
      threads: { ...this.#threads },
      connections: this.#lostConnections,
      requests: this.#lostRequests,
    };
  }

  /** A thread is gone. */
  add(reason: LossReason, vitals: Vitals, metrics: MetricsJson, ledger: readonly LedgerRow[]): Loss {
    const loss = { connections: vitals.open, requests: vitals.inProgress };
    this.requests += vitals.finished;
    this.accepted += vitals.accepted;
    this.#threads[reason]++;
    this.#lostConnections += loss.connections;
    this.#lostRequests += loss.requests;
    this.metrics.add(metrics, ledger);
    return loss;
  }
}
