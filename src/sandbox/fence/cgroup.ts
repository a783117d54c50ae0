/**
 * A cgroup for each cordon, where the machine has cgroup v2 and lets the gateway make some: the kernel itself
 * then holds a cordon to its memory and its number of threads, and gives it the processor after everybody else.
 *
 *     <base>/gatehouse-<gateway's pid>-<cordon's id>/   memory.max, memory.swap.max, pids.max, cpu.weight
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NEEDED = ["memory", "pids"];
/** A tenth of what every process has by default. */
const CPU_WEIGHT = "10";
const MAX_THREADS = "256";
/** The watch on resident memory acts first; this is for what grows faster than it looks. */
const MEMORY_SLACK = 1.25;
const REMOVAL_TRIES = 50;
const REMOVAL_MS = 20;
const OWN_NAME = /^gatehouse-\d+-\d+$/;

/** The directory that cordons' cgroups go into, or why there is none. `wanted` is the setting `cordon_cgroup`. */
export function findCgroup(wanted: string): { base: string } | { why: string } {
  try {
    const base = wanted === "" ? ownCgroup() : wanted;
    if (base === null) return { why: "cgroup v2 is not mounted here" };
    if (wanted !== "") enableControllers(base);
    const granted = readFileSync(join(base, "cgroup.subtree_control"), "utf8").trim().split(/\s+/);
    const lacking = NEEDED.filter((controller) => !granted.includes(controller));
    if (lacking.length > 0)
      return { why: `${base} has no ${lacking.join(" and ")} for its children; set cordon_cgroup` };
    const trial = join(base, `gatehouse-${process.pid}-0`);
    mkdirSync(trial);
    rmdirSync(trial);
    for (const name of readdirSync(base)) if (OWN_NAME.test(name)) removeNow(join(base, name));
    return { base };
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) };
  }
}

function ownCgroup(): string | null {
  const path = /^0::(.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
  const mount = /^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 /m.exec(
    readFileSync("/proc/self/mountinfo", "utf8"),
  )?.[1];
  return path === undefined || mount === undefined ? null : join(mount, path);
}

/** Works only in a cgroup without processes of its own, which one that is given for this is. */
function enableControllers(base: string): void {
  for (const controller of [...NEEDED, "cpu"])
    try {
      writeFileSync(join(base, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      // What is needed and not there is told by the caller.
    }
}

/** One cordon's cgroup. Nothing here throws: the fence does not stand on it. */
export class Cgroup {
  readonly #path: string;

  constructor(base: string, cordon: number, memoryBytes: number) {
    this.#path = join(base, `gatehouse-${process.pid}-${cordon}`);
    attempt(() => mkdirSync(this.#path));
    this.#set("memory.max", String(Math.round(memoryBytes * MEMORY_SLACK)));
    this.#set("memory.swap.max", "0");
    this.#set("pids.max", MAX_THREADS);
    this.#set("cpu.weight", CPU_WEIGHT);
  }

  /** The process, and the children that it makes from now on. */
  take(pid: number): void {
    this.#set("cgroup.procs", String(pid));
  }

  /** Whether the kernel killed in it because its memory was used up. */
  ranOutOfMemory(): boolean {
    try {
      return /^oom_kill [1-9]/m.test(readFileSync(join(this.#path, "memory.events"), "utf8"));
    } catch {
      return false;
    }
  }

  /** Once its processes are gone; the kernel may need a moment to see that they are. */
  remove(tries = REMOVAL_TRIES): void {
    if (removeNow(this.#path) || tries === 0) return;
    setTimeout(() => this.remove(tries - 1), REMOVAL_MS).unref();
  }

  #set(file: string, value: string): void {
    attempt(() => writeFileSync(join(this.#path, file), value));
  }
}

function removeNow(path: string): boolean {
  return attempt(() => rmdirSync(path));
}

function attempt(run: () => unknown): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}
