/** Processes as the kernel sees them. */
import { readdirSync, readFileSync } from "node:fs";

export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  /** One letter; Z is a zombie. */
  readonly state: string;
  /** Clock ticks since boot: tells a process from a later one with the same number. */
  readonly startedAt: string;
}

/** Every process that can be seen. */
export function processes(): ProcessEntry[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const entry = processEntry(Number(name));
      return entry === null ? [] : [entry];
    });
}

/** Null if there is no such process. */
export function processEntry(pid: number): ProcessEntry | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return null;
  }
  // The name in parentheses may hold anything; proc_pid_stat(5).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent] = fields as [string, string];
  return { pid, parent: Number(parent), state, startedAt: fields[19] as string };
}

/** Children of a process, their children, and so on. */
export function descendants(pid: number): ProcessEntry[] {
  const all = processes();
  const found: ProcessEntry[] = [];
  let parents = new Set([pid]);
  while (parents.size > 0) {
    const next = all.filter(({ parent }) => parents.has(parent));
    found.push(...next);
    parents = new Set(next.map((entry) => entry.pid));
  }
  return found;
}
