/**
 * A data thread's ledger, told to the main thread every second in which it changed: what guests have cost is known
 * there when the thread is lost, but for the last moment.
 */
import type { LedgerRow } from "../sandbox/ledger.ts";

const INTERVAL_MS = 1000;
/** Many rows are told of more seldom: copying one takes a few microseconds. */
const MS_PER_ROW = 1;

export class LedgerReports {
  readonly #rows: () => LedgerRow[];
  readonly #post: (rows: LedgerRow[]) => void;
  #timer: NodeJS.Timeout | null = null;
  #told = "";

  constructor(rows: () => LedgerRow[], post: (rows: LedgerRow[]) => void) {
    this.#rows = rows;
    this.#post = post;
  }

  start(): void {
    this.#wait(INTERVAL_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #wait(delayMs: number): void {
    this.#timer = setTimeout(() => {
      const rows = this.#rows();
      this.#tell(rows);
      this.#wait(Math.max(INTERVAL_MS, rows.length * MS_PER_ROW));
    }, delayMs).unref();
  }

  #tell(rows: LedgerRow[]): void {
    let [calls, wallMs, cpuMicros, failed] = [0, 0, 0, 0];
    for (const row of rows) {
      calls += row.calls;
      wallMs += row.wallMs;
      cpuMicros += row.cpuMicros;
      for (const count of Object.values(row.failures)) failed += count;
    }
    const state = `${rows.length} ${calls} ${wallMs} ${cpuMicros} ${failed}`;
    if (state === this.#told) return;
    this.#told = state;
    if (rows.length > 0) this.#post(rows);
  }
}
