/**
 * Whether a data thread hangs, as the main thread sees it: no beat although it could have beaten.
 *
 * Silence alone proves nothing on a machine that is busy or was suspended, so only time counts that the thread
 * had: a look counts for no more than its own interval, however late it comes (the whole process stood still),
 * and of a thread that is ready to run only the CPU time that it got (others had the rest). One that sleeps and
 * does not beat is blocked: its own timer would have woken it.
 */
import { readFileSync } from "node:fs";
import type { Vitals } from "./vitals.ts";

/** How often the main thread looks. */
export const LOOK_MS = 100;
/** A look that comes a little late counts whole. */
export const LONGEST_STEP_MS = 150;
/** Unit of CPU times in /proc (USER_HZ is 100 on every architecture that Node runs on). */
const TICK_MS = 10;

/** What the kernel says of a thread. */
export interface TaskState {
  /** `R` runs or waits for a CPU, `S` sleeps, `D` waits for a disk or for memory, `T` is stopped (proc(5)). */
  readonly state: string;
  readonly cpuMs: number;
}

/** The state of a thread of this process; null if there is no such thread. */
export function taskState(task: number): TaskState | null {
  let line: string;
  try {
    line = readFileSync(`/proc/self/task/${task}/stat`, "latin1");
  } catch {
    return null;
  }
  // The name stands in parentheses and may hold any character; fields 3, 14 and 15 follow it.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] as string, cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS };
}

/** How much of `stepMs` without a beat was the thread's own doing; `now` is null where nothing is known. */
export function ownTime(stepMs: number, cpuBeforeMs: number, now: TaskState | null): number {
  if (now === null || now.state === "S") return stepMs;
  if (now.state === "R") return Math.max(0, Math.min(now.cpuMs - cpuBeforeMs, stepMs));
  return 0;
}

export class Watch {
  readonly #vitals: Vitals;
  #beats: number;
  #cpuMs = 0;
  /** Time without a beat that has not been looked into. */
  #quietMs = 0;
  #silentLooks = 0;
  #stuckMs = 0;
  #state = "";

  constructor(vitals: Vitals) {
    this.#vitals = vitals;
    this.#beats = vitals.beats;
  }

  /** How it stands still: for the log. */
  get manner(): string {
    return this.#state === "R" ? "it runs without end" : "it waits for something that does not come";
  }

  /**
   * Looks again. `elapsedMs` is the time since the last look.
   * @returns for how many milliseconds the thread could have beaten and has not.
   */
  look(elapsedMs: number): number {
    const { beats, task } = this.#vitals;
    if (beats !== this.#beats) {
      this.#beats = beats;
      this.reset();
      return 0;
    }
    this.#quietMs += Math.min(elapsedMs, LONGEST_STEP_MS);
    // One look between two beats that come in time is nothing, and reading /proc costs 0.2 ms.
    if (this.#silentLooks++ === 0) return 0;
    const now = task === 0 ? null : taskState(task);
    const before = Math.max(this.#cpuMs, this.#vitals.cpuMs);
    this.#stuckMs += ownTime(this.#quietMs, before, now);
    this.#quietMs = 0;
    this.#cpuMs = now?.cpuMs ?? 0;
    this.#state = now?.state ?? "";
    return this.#stuckMs;
  }

  /** The thread has shown that it lives. */
  reset(): void {
    this.#quietMs = 0;
    this.#silentLooks = 0;
    this.#stuckMs = 0;
    this.#cpuMs = 0;
  }
}
