/** What is measured of one version while a roll-out is watched: sums of the ledger's, and of requests. */
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { Failure } from "../sandbox/protocol/engine.ts";
import type { Served } from "./tally.ts";

export interface Figures extends Served {
  /** Calls of the version's hooks, and those of them that failed by its own doing. */
  readonly calls: number;
  readonly failedCalls: number;
  /** Of the failed calls those whose answer broke the contract. */
  readonly violations: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  /** WASM alone. */
  readonly fuel: number;
}

/** What happens to a call that says nothing of the version: there was no cordon, or no CPU time for anybody. */
const NOT_ITS_OWN: ReadonlySet<Failure> = new Set(["unavailable", "budget"]);

/** @param rows of the ledger that are the version's, in all workspaces that use it, of all threads. */
export function figuresOf(rows: Iterable<LedgerRow>, served: Served): Figures {
  let [calls, failedCalls, violations, wallMs, cpuMs, fuel] = [0, 0, 0, 0, 0, 0];
  for (const row of rows) {
    calls += row.calls;
    wallMs += row.wallMs;
    cpuMs += row.cpuMicros / 1000;
    fuel += row.fuel;
    violations += row.failures.violation ?? 0;
    for (const [failure, count] of Object.entries(row.failures) as [Failure, number][]) {
      if (NOT_ITS_OWN.has(failure)) calls -= count;
      else failedCalls += count;
    }
  }
  return { ...served, calls, failedCalls, violations, wallMs, cpuMs, fuel };
}

/** What came in between. Sums that have become less belong to a ledger that has begun anew: all of them are new. */
export function between(before: Figures, after: Figures): Figures {
  if (after.wallMs < before.wallMs || after.requests < before.requests) return after;
  // Calls that end without a cordon are taken off after they were counted.
  const since = (name: keyof Figures) => Math.max(0, after[name] - before[name]);
  return {
    requests: since("requests"),
    failed: since("failed"),
    calls: since("calls"),
    failedCalls: since("failedCalls"),
    violations: since("violations"),
    wallMs: since("wallMs"),
    cpuMs: since("cpuMs"),
    fuel: since("fuel"),
  };
}

export const NO_FIGURES: Figures = {
  requests: 0,
  failed: 0,
  calls: 0,
  failedCalls: 0,
  violations: 0,
  wallMs: 0,
  cpuMs: 0,
  fuel: 0,
};

/** For people and programs: by call and by request. */
export function figuresJson(figures: Figures): Record<string, number> {
  const { requests, failed, calls, failedCalls, violations, wallMs, cpuMs, fuel } = figures;
  const each = (sum: number) => (calls > 0 ? Math.round((sum / calls) * 1000) / 1000 : 0);
  return {
    ...{ requests, failed_requests: failed, calls, failed_calls: failedCalls, violations },
    ...{ wall_ms_per_call: each(wallMs), cpu_ms_per_call: each(cpuMs), fuel_per_call: each(fuel) },
  };
}
