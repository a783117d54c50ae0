/** What the kernel says of a process: files of /proc that stay open, since they are read many times a second. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const PAGE_BYTES = 4096;
/** The kernel's unit of CPU time in /proc/PID/stat, on every architecture that Node runs on. */
const TICK_MS = 10;

/** Shared: a reading is parsed before the next one begins. */
const BUFFER = Buffer.alloc(1024);

export class ProcessStat {
  readonly #statm: number;
  readonly #stat: number;
  /** Null where the kernel keeps no scheduling statistics. */
  readonly #schedstat: number | null;
  #closed = false;

  /** @throws {Error} if there is no such process, or no /proc */
  constructor(pid: number) {
    this.#stat = openSync(`/proc/${pid}/stat`, "r");
    try {
      this.#statm = openSync(`/proc/${pid}/statm`, "r");
    } catch (error) {
      closeSync(this.#stat);
      throw error;
    }
    this.#schedstat = schedstatOf(pid);
  }

  /** Resident bytes, and those of them that are its own and not a file's. Null if it is dead. */
  memory(): { rssBytes: number; ownBytes: number } | null {
    const fields = this.#read(this.#statm)?.split(" ");
    const resident = Number(fields?.[1]);
    const shared = Number(fields?.[2]);
    if (!(resident > 0)) return null;
    return { rssBytes: resident * PAGE_BYTES, ownBytes: (resident - shared) * PAGE_BYTES };
  }

  /** CPU time of all its threads since it started, milliseconds. Null if it is dead. */
  cpuMs(): number | null {
    const text = this.#read(this.#stat);
    if (text === null) return null;
    // The name, second, is in parentheses and may contain anything. utime and stime are fields 14 and 15.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    return Number.isNaN(ticks) ? null : ticks * TICK_MS;
  }

  /** For how long its first thread has been at work or waiting for a core, milliseconds. Null if it is dead. */
  wantedMs(): number | null {
    if (this.#schedstat === null) return this.cpuMs();
    const shares = this.#shares();
    return shares && shares.ranMs + shares.waitedMs;
  }

  /** For how long its first thread has waited for a core, milliseconds. 0 where that cannot be known. */
  waitedMs(): number {
    return this.#shares()?.waitedMs ?? 0;
  }

  #shares(): { ranMs: number; waitedMs: number } | null {
    if (this.#schedstat === null) return null;
    const [ran, waited] = this.#read(this.#schedstat)?.split(" ") ?? [];
    const shares = { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6 };
    return Number.isNaN(shares.ranMs + shares.waitedMs) ? null : shares;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const fd of [this.#statm, this.#stat, this.#schedstat]) if (fd !== null) closeSync(fd);
  }

  #read(fd: number): string | null {
    if (this.#closed) return null;
    try {
      return BUFFER.toString("latin1", 0, readSync(fd, BUFFER, 0, BUFFER.length, 0));
    } catch {
      return null; // ESRCH
    }
  }
}

/** Without it a process counts as busy for the time that it had a core, and not for the time it wanted one. */
function schedstatOf(pid: number): number | null {
  try {
    return openSync(`/proc/${pid}/schedstat`, "r");
  } catch {
    return null;
  }
}

/** Processes that a launcher may put between. */
const MAX_DEPTH = 8;

/** Where a chain of only children ends; null if the process has no child. */
export function lastDescendantOf(pid: number | undefined): number | null {
  return descendantsOf(pid).at(-1) ?? null;
}

/** A chain of only children. */
export function descendantsOf(pid: number | undefined): number[] {
  const chain: number[] = [];
  while (chain.length < MAX_DEPTH) {
    const child = onlyChildOf(chain.at(-1) ?? pid);
    if (child === null) break;
    chain.push(child);
  }
  return chain;
}

function onlyChildOf(pid: number | undefined): number | null {
  try {
    const child = Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"), 10);
    return Number.isNaN(child) ? null : child;
  } catch {
    return null;
  }
}
