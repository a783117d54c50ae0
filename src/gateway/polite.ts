/**
 * Long work of the main thread that gives way to traffic. On a machine whose cores the data threads fill, a main
 * thread that reads a large configuration takes half of a core from one of them, and requests queue behind it (p99,
 * bench/bench.ts `reload`). So it lowers its own priority for as long as that lasts.
 *
 * Getting it back takes a privilege (CAP_SYS_NICE): without, the work goes on as it did. Threads and processes inherit
 * the priority of whoever starts them, so only work that runs to its end without a wait may be done like this.
 */
import { readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

/** A third of the share of a thread of ordinary priority: traffic comes first, and even a full machine leaves a part. */
const LOWER_BY = 5;

/** The calling thread's number and its ordinary priority; null if that could not be had again. */
let ordinary: { readonly task: number; readonly priority: number } | null | undefined;

function find(): typeof ordinary {
  try {
    const task = Number(/\d+$/.exec(readlinkSync("/proc/thread-self"))?.[0]);
    const priority = getPriority(task);
    // Who may raise it may have it back.
    setPriority(task, priority - 1);
    setPriority(task, priority);
    return { task, priority };
  } catch {
    return null;
  }
}

/** Does something at a lower priority. For the main thread alone. */
export function politely<T>(work: () => T): T {
  if (ordinary === undefined) ordinary = find();
  if (!ordinary) return work();
  const { task, priority } = ordinary;
  setPriority(task, Math.min(priority + LOWER_BY, 19));
  try {
    return work();
  } finally {
    setPriority(task, priority);
  }
}
