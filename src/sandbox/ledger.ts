/**
 * What each guest has cost and done, by workspace, plugin and version: the source of its metrics and of
 * `GET /plugin-usage`. A data thread keeps one; the main thread adds up those of all threads, dead ones included.
 *
 * Rows are bounded for each workspace. Where a new version finds no room, the row that nobody has used for the
 * longest time goes into the workspace's row `(other)`: sums stay, and what runs now has rows of its own.
 */
import type { Failure, Usage } from "./protocol/engine.ts";

/** Totals since the thread started, but for `memoryBytes`, which is the highest seen. */
export interface LedgerRow {
  readonly workspace: string;
  readonly plugin: string;
  readonly version: string;
  /** Calls of hooks that were asked for, refused ones included. */
  calls: number;
  /** CPU time of its turns as its engine measured it, microseconds. */
  cpuMicros: number;
  /** Units of fuel, WASM. */
  fuel: number;
  hostCalls: number;
  /** Milliseconds from asking to the verdict, waiting for a cordon included. */
  wallMs: number;
  memoryBytes: number;
  /** Bytes of the frames that went to the guest: calls and answers to its host calls. */
  bytesIn: number;
  /** Bytes of the frames that came from it: verdicts and host calls. */
  bytesOut: number;
  readonly failures: Partial<Record<Failure, number>>;
}

/** What stands for rows that found no room; no workspace, plugin or version can be named so. */
export const OTHER = "(other)";
/** Rows of one workspace, `(other)` aside. */
const MAX_ROWS = 100;

export class Ledger {
  /** By workspace, then by plugin and version, those that were wanted last at the end. */
  readonly #workspaces = new Map<string, Map<string, LedgerRow>>();
  /** How many guests write to a row. */
  readonly #users = new Map<LedgerRow, number>();
  readonly #maxRows: number;

  constructor(maxRows = MAX_ROWS) {
    this.#maxRows = maxRows;
  }

  /** The row that a guest writes to, which is kept for it until `leave`. */
  enter(workspace: string, plugin: string, version: string): LedgerRow {
    const row = this.#row(workspace, plugin, version);
    this.#users.set(row, (this.#users.get(row) ?? 0) + 1);
    return row;
  }

  /** A guest is gone. Its row stays, and is the first to go where there is no room. */
  leave(row: LedgerRow): void {
    const users = this.#users.get(row) ?? 0;
    if (users > 1) this.#users.set(row, users - 1);
    else this.#users.delete(row);
  }

  /** Adds what another ledger has counted. */
  add(row: LedgerRow): void {
    addRow(this.#row(row.workspace, row.plugin, row.version), row);
  }

  /** A workspace is no more. @returns how many rows it had. */
  forget(workspace: string): number {
    const rows = this.#workspaces.get(workspace);
    this.#workspaces.delete(workspace);
    return rows?.size ?? 0;
  }

  rows(): LedgerRow[] {
    return [...this.#workspaces.values()].flatMap((rows) => [...rows.values()]);
  }

  #row(workspace: string, plugin: string, version: string): LedgerRow {
    let rows = this.#workspaces.get(workspace);
    if (rows === undefined) {
      rows = new Map();
      this.#workspaces.set(workspace, rows);
    }
    const key = `${plugin}@${version}`;
    const known = rows.get(key);
    if (known !== undefined) {
      // The order of the map is that of use.
      rows.delete(key);
      rows.set(key, known);
      return known;
    }
    const other = rows.get(OTHER_KEY);
    if (plugin !== OTHER && rows.size - (other === undefined ? 0 : 1) >= this.#maxRows && !this.#fold(rows))
      return this.#row(workspace, OTHER, OTHER);
    const made = newRow(workspace, plugin, version);
    rows.set(key, made);
    return made;
  }

  /** Makes room: the row that was wanted longest ago, of those that nobody writes to, becomes part of `(other)`. */
  #fold(rows: Map<string, LedgerRow>): boolean {
    for (const [key, row] of rows) {
      if (key === OTHER_KEY || this.#users.has(row)) continue;
      rows.delete(key);
      addRow(this.#row(row.workspace, OTHER, OTHER), row);
      return true;
    }
    return false;
  }
}

const OTHER_KEY = `${OTHER}@${OTHER}`;

/** One row for each workspace, plugin and version out of those of many threads. */
export function sumRows(rows: Iterable<LedgerRow>): LedgerRow[] {
  const sum = new Ledger();
  for (const row of rows) sum.add(row);
  return sum.rows();
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

function newRow(workspace: string, plugin: string, version: string): LedgerRow {
  return {
    workspace,
    plugin,
    version,
    calls: 0,
    cpuMicros: 0,
    fuel: 0,
    hostCalls: 0,
    wallMs: 0,
    memoryBytes: 0,
    bytesIn: 0,
    bytesOut: 0,
    failures: {},
  };
}

function addRow(sum: LedgerRow, row: LedgerRow): void {
  sum.calls += row.calls;
  sum.cpuMicros += row.cpuMicros;
  sum.fuel += row.fuel;
  sum.hostCalls += row.hostCalls;
  sum.wallMs += row.wallMs;
  sum.bytesIn += row.bytesIn;
  sum.bytesOut += row.bytesOut;
  sum.memoryBytes = Math.max(sum.memoryBytes, row.memoryBytes);
  for (const [kind, count] of Object.entries(row.failures) as [Failure, number][])
    sum.failures[kind] = (sum.failures[kind] ?? 0) + count;
}
