/**
 * Charges what each cordon has used of CPU time, as the kernel counts it, to its workspace's account, and with it what
 * its guests' host calls have taken the data threads: or a guest could use up those by asking for work. A cordon is
 * charged from the moment on at which it belongs to a workspace; what stood ready for nobody is free.
 */
import type { CpuBudgets } from "./budget.ts";

/** What is asked of a cordon here. */
export interface Measured {
  readonly workspace: string | null;
  /** CPU time since it started, milliseconds; null before it is known, and once it is dead. */
  cpuMs(): number | null;
}

/** How often a cordon that has calls is read, and one that has none. */
const BUSY_MS = 20;
const QUIET_MS = 1000;

interface Charged {
  /** What it had used when it was last charged, milliseconds. */
  ms: number;
  /** When that was, by `Date.now()`. */
  at: number;
}

export class CpuWatch<C extends Measured> {
  readonly #budgets: CpuBudgets;
  readonly #onDebt: (cordon: C) => void;
  readonly #charged = new WeakMap<C, Charged>();

  readonly #takeHostMs: (cordon: C) => number;

  /**
   * `onDebt` is told of a cordon that uses CPU time while its workspace owes too much; `takeHostMs` gives the
   * milliseconds that host calls of its guests have taken since it was last asked.
   */
  constructor(budgets: CpuBudgets, onDebt: (cordon: C) => void, takeHostMs: (cordon: C) => number) {
    this.#budgets = budgets;
    this.#onDebt = onDebt;
    this.#takeHostMs = takeHostMs;
  }

  /** It belongs to a workspace from now on. */
  assigned(cordon: C): void {
    this.#charged.set(cordon, { ms: cordon.cpuMs() ?? 0, at: 0 });
  }

  /** Charges a cordon, if it is time. `now` is `Date.now()`. */
  look(cordon: C, busy: boolean, now: number): void {
    const charged = this.#charged.get(cordon);
    if (charged === undefined || now - charged.at < (busy ? BUSY_MS : QUIET_MS)) return;
    charged.at = now;
    if (this.#charge(cordon, charged)) this.#onDebt(cordon);
  }

  /** Its last moment: it is about to be killed. */
  settle(cordon: C): void {
    const charged = this.#charged.get(cordon);
    if (charged !== undefined) this.#charge(cordon, charged);
  }

  /** Whether it is at work although its workspace owes too much. */
  #charge(cordon: C, charged: Charged): boolean {
    const ms = cordon.cpuMs();
    if (ms === null || cordon.workspace === null) return false;
    const used = ms - charged.ms + this.#takeHostMs(cordon);
    charged.ms = ms;
    return this.#budgets.charge(cordon.workspace, used) && used > 0;
  }
}
