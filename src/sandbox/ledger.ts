/** What each guest has cost and done on one data thread: the source of its metrics. */
import type { Failure, Usage } from "./engine.ts";

/** Totals since the thread started, but for `memoryBytes`, which is the highest seen. */
export interface LedgerRow {
  readonly workspace: string;
  readonly plugin: string;
  calls: number;
  /** CPU time of its turns, microseconds. */
  cpuMicros: number;
  /** Units of fuel, WASM. */
  fuel: number;
  hostCalls: number;
  /** Milliseconds from asking to the verdict, waiting for a cordon included. */
  wallMs: number;
  memoryBytes: number;
  readonly failures: Partial<Record<Failure, number>>;
}

export class Ledger {
  readonly #rows = new Map<string, LedgerRow>();

  row(workspace: string, plugin: string): LedgerRow {
    const key = `${workspace}\n${plugin}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = {
        workspace,
        plugin,
        calls: 0,
        cpuMicros: 0,
        fuel: 0,
        hostCalls: 0,
        wallMs: 0,
        memoryBytes: 0,
        failures: {},
      };
      this.#rows.set(key, row);
    }
    return row;
  }

  rows(): LedgerRow[] {
    return [...this.#rows.values()];
  }
}

export function charge(row: LedgerRow, usage: Usage, hostCalls: number): void {
  row.cpuMicros += usage.cpuMicros;
  row.fuel += usage.fuel;
  row.hostCalls += hostCalls;
  if (usage.memoryBytes > row.memoryBytes) row.memoryBytes = usage.memoryBytes;
}

export function chargeFailure(row: LedgerRow, failure: Failure): void {
  row.failures[failure] = (row.failures[failure] ?? 0) + 1;
}
