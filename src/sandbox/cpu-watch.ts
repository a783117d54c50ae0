/**
 * Reads what CPU time each cordon has used, as the kernel counts it, and charges it to the workspace's account.
 * A cordon is charged from the moment on at which it belongs to a workspace; what stood ready for nobody is free.
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { CpuBudgets } from "./budget.ts";

/** What is read of a cordon here. */
export interface Measured {
  readonly pid: number | null;
  readonly workspace: string | null;
}

/** How often a cordon that has calls is read, and one that has none. */
const BUSY_MS = 20;
const QUIET_MS = 1000;
/** The kernel counts in hundredths of a second (USER_HZ). */
const TICK_MS = 10;
/** Of `/proc/PID/stat`: utime, stime, and those of children that are gone, from the field after the name on. */
const FIRST_TIME = 11;
const TIMES = 4;

const TEXT = Buffer.alloc(1024);

interface Clock {
  readonly file: number;
  /** Total when it was last charged; null while nobody is. */
  chargedMs: number | null;
  readAt: number;
}

export class CpuWatch<C extends Measured> {
  readonly #budgets: CpuBudgets;
  readonly #onDebt: (cordon: C) => void;
  readonly #clocks = new Map<C, Clock>();

  /** `onDebt` is told of a cordon that uses CPU time while its workspace owes too much. */
  constructor(budgets: CpuBudgets, onDebt: (cordon: C) => void) {
    this.#budgets = budgets;
    this.#onDebt = onDebt;
  }

  /** Charges a cordon, if it is time. `now` is `Date.now()`. */
  look(cordon: C, busy: boolean, now: number): void {
    const clock = this.#clock(cordon);
    if (clock === null || now - clock.readAt < (busy ? BUSY_MS : QUIET_MS)) return;
    clock.readAt = now;
    this.#charge(cordon, clock);
  }

  /** It belongs to a workspace from now on. */
  assigned(cordon: C): void {
    const clock = this.#clock(cordon);
    if (clock !== null) clock.chargedMs = read(clock.file);
  }

  /** Its last moment: it is about to be killed. */
  settle(cordon: C): void {
    const clock = this.#clock(cordon);
    if (clock !== null) this.#charge(cordon, clock);
  }

  /** It is dead. */
  forget(cordon: C): void {
    const clock = this.#clocks.get(cordon);
    if (clock === undefined) return;
    this.#clocks.delete(cordon);
    closeSync(clock.file);
  }

  #charge(cordon: C, clock: Clock): void {
    const { workspace } = cordon;
    if (workspace === null) return;
    const total = read(clock.file);
    if (total === null) return;
    const used = total - (clock.chargedMs ?? 0);
    clock.chargedMs = total;
    const owes = this.#budgets.charge(workspace, used);
    if (owes && used > 0) this.#onDebt(cordon);
  }

  /** Null before it is known which process it is, and once that is gone. */
  #clock(cordon: C): Clock | null {
    const known = this.#clocks.get(cordon);
    if (known !== undefined) return known;
    if (cordon.pid === null) return null;
    try {
      const file = openSync(`/proc/${cordon.pid}/stat`, "r");
      const clock = { file, chargedMs: null, readAt: 0 };
      this.#clocks.set(cordon, clock);
      return clock;
    } catch {
      return null;
    }
  }
}

/** CPU time of a process and all its threads, milliseconds; null once it is dead. */
function read(file: number): number | null {
  let text: string;
  try {
    text = TEXT.toString("latin1", 0, readSync(file, TEXT, 0, TEXT.length, 0));
  } catch {
    return null;
  }
  // The process's name is in parentheses and may hold any character.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  let ticks = 0;
  for (let i = FIRST_TIME; i < FIRST_TIME + TIMES; i++) ticks += Number(fields[i]);
  return Number.isFinite(ticks) ? ticks * TICK_MS : null;
}
