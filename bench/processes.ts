/**
 * The processes of the bench: started on one core, their CPU time read as a whole tree, and stopped.
 * CPU time comes from /proc, in ticks of 10 ms, so a window of some seconds is exact to well under 1 %.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
const KEPT_OUTPUT_BYTES = 4096;

export interface Started {
  name: string;
  pid: number;
  /** The last output of the process, to be shown when it fails. */
  output(): string;
  exited(): boolean;
  stop(): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) for (const pid of tree(child.pid!).reverse()) kill(pid, "SIGKILL");
});

/** Starts a command pinned to a core, or to a list such as "0,2"; its threads and children inherit the pin. */
export function start(
  name: string,
  core: number | string,
  command: string,
  args: string[],
  options: { env?: Record<string, string>; cwd?: string; watch?: (output: string) => void } = {},
): Started {
  // taskset replaces itself with the command, so the child's pid is the command's.
  const child = spawn("taskset", ["-c", String(core), command, ...args], {
    cwd: options.cwd,
    env: { ...process.env, NODE_OPTIONS: "", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    // A session of its own: where Linux shares cores between sessions (autogroups), the load's weight on one core
    // would otherwise take from the variant's on another.
    detached: true,
  });
  running.add(child);
  let output = "";
  const keep = (chunk: Buffer) => {
    const text = chunk.toString("utf8");
    options.watch?.(text);
    output = (output + text).slice(-KEPT_OUTPUT_BYTES);
  };
  child.stdout!.on("data", keep);
  child.stderr!.on("data", keep);
  const gone = new Promise<void>((resolve) => {
    child.once("close", () => {
      running.delete(child);
      resolve();
    });
    child.once("error", (error) => {
      output += `${error.message}\n`;
      running.delete(child);
      resolve();
    });
  });
  if (child.pid === undefined)
    throw new Error(`${name}: taskset could not be started; is util-linux installed?`);
  const pid = child.pid;
  return {
    name,
    pid,
    output: () => output.trim(),
    exited: () => child.exitCode !== null || child.signalCode !== null,
    async stop() {
      const pids = tree(pid);
      kill(pid, "SIGTERM");
      const abandon = new AbortController();
      const late = delay(5000, undefined, { signal: abandon.signal, ref: false }).then(
        () => {
          for (const one of pids.reverse()) kill(one, "SIGKILL");
        },
        () => {},
      );
      await gone;
      abandon.abort();
      await late;
    },
  };
}

/** Waits until `ready` answers with something other than undefined, or the process ends, or 20 s pass. */
export async function until<T>(
  started: Started,
  ready: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (started.exited()) throw new Error(`${started.name} ended while starting:\n${started.output()}`);
    const value = await ready();
    if (value !== undefined) return value;
    if (Date.now() > deadline) {
      throw new Error(`${started.name} was not ready after 20 s:\n${started.output()}`);
    }
    await delay(20);
  }
}

/** A TCP port of the loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

interface Stat {
  parent: number;
  /** Own CPU time and that of children already waited for, in ticks. */
  ticks: number;
}

function stat(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // The command name may hold spaces and brackets; the fields start after its last bracket (proc(5)).
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14]);
  return { parent: Number(fields[1]), ticks };
}

/** The process and all its descendants, parents before children. */
export function tree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const parent = stat(pid)?.parent;
    if (parent === undefined) continue;
    const list = children.get(parent);
    if (list) list.push(pid);
    else children.set(parent, [pid]);
  }
  const pids = [root];
  for (let i = 0; i < pids.length; i++) pids.push(...(children.get(pids[i]!) ?? []));
  return pids;
}

/** CPU seconds that the process, its threads and its descendants have used so far. */
export function cpuSeconds(root: number): number {
  let ticks = 0;
  for (const pid of tree(root)) ticks += stat(pid)?.ticks ?? 0;
  return ticks / TICKS_PER_SECOND;
}

/** Seconds that a core has spent on anything at all since the machine started. */
export function coreBusySeconds(core: number): number {
  const line = readFileSync("/proc/stat", "latin1")
    .split("\n")
    .find((candidate) => candidate.startsWith(`cpu${core} `));
  if (line === undefined) throw new Error(`/proc/stat knows no core ${core}`);
  const [user, nice, system, , , irq, softirq, steal] = line.split(" ").slice(1).map(Number);
  return (user! + nice! + system! + irq! + softirq! + steal!) / TICKS_PER_SECOND;
}

/** Moves a process with all its threads to another core. */
export function moveTo(core: number, pid: number): void {
  execFileSync("taskset", ["-a", "-c", "-p", String(core), String(pid)], { stdio: "ignore" });
}

/**
 * Runs `work` while the process and its children are scheduled in real time, so that a client which polls on the
 * same core never keeps them waiting. Without the right to do so (not root) it just runs `work`.
 */
export async function aboveAll<T>(upstream: number, work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return await work();
  const schedule = (policy: "--rr" | "--other", priority: number) => {
    for (const pid of tree(upstream))
      execFileSync("chrt", ["-a", policy, "-p", String(priority), String(pid)]);
  };
  schedule("--rr", 1);
  try {
    return await work();
  } finally {
    schedule("--other", 0);
  }
}

/** Puts a process's session before others on its cores (sched(7), autogroups), if it may. */
export function sessionFirst(pid: number | "self" = "self"): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, pid === "self" ? "-20" : "-10");
  } catch {
    // Not root, or a kernel without autogroups: how late a client is will show whether that mattered.
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Already gone.
  }
}
