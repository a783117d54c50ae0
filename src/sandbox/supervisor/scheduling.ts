/**
 * How the kernel is told where a process stands on a core that others want too.
 *
 * Nice values alone do not hold guests back: thirty that burn, each of a third of a data thread's weight, take nine
 * tenths of its core, and whichever of them runs when it wakes keeps the core to the end of its slice, some
 * milliseconds. What is scheduled as idle (SCHED_IDLE) gets what is left, and leaves the core at once. That needs the
 * right to come back from there (CAP_SYS_NICE), or a cordon would stay there for ever: without it they only get nicer.
 */
import { readFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { loadFfi } from "../../ffi.ts";
import { type Command, findTool } from "../fence/fence.ts";

/**
 * `near` is a little behind the gateway's own threads: about a quarter of a core that both want. `far` is a fiftieth of
 * it, `back` what everybody leaves, other sessions' processes included.
 */
export type Standing = "near" | "far" | "back";

/** Nice values. Each step is worth a quarter more or less of a contended core. */
const NEAR = constants.priority.PRIORITY_BELOW_NORMAL / 2;
const FAR = constants.priority.PRIORITY_LOW;
/** Of <linux/sched.h>. */
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;
const CAP_SYS_NICE = 23n;

type Schedule = (thread: number, policy: number) => boolean;

const schedule = findSchedule();

/** Whether who was put back can be brought near again, and so begins there. */
export const comesBack = schedule !== null;

/**
 * A command line that begins where a cordon begins: a storm of deaths is also a storm of starts. Said from the
 * outside it would come too late for what the command has forked by then. Whose start somebody waits for begins `near`.
 */
export function begins({ file, args }: Command, standing: "near" | "back" = "back"): readonly string[] {
  const isBack = standing === "back" && comesBack;
  const tool = findTool(isBack ? "chrt" : "nice");
  if (tool === null) return [file, ...args];
  return [tool, ...(isBack ? ["--idle", "0"] : ["-n", String(NEAR)]), file, ...args];
}

/**
 * Places the first thread of a process, which is the one that guests run on. To name the others takes a look into
 * `/proc/PID/task`, after which the kernel keeps entries for all of them: whoever reaps the process then spins while one
 * of them, far behind, is removing its own.
 */
export function place(pid: number, standing: Standing): void {
  try {
    setPriority(pid, standing === "near" ? NEAR : FAR);
    schedule?.(pid, standing === "back" ? SCHED_IDLE : SCHED_OTHER);
  } catch {
    // It has ended, or this process may push others back and not let them forward again.
  }
}

/** Null where a process could be sent back and not brought near again. */
function findSchedule(): Schedule | null {
  if (!mayBringNear() || findTool("chrt") === null) return null;
  try {
    const ffi = loadFfi();
    const { functions } = ffi.dlopen(null, {
      sched_setscheduler: { arguments: ["int32", "int32", "pointer"], return: "int32" },
    });
    /** `struct sched_param`: the priority of real-time policies, none here. */
    const none = Buffer.alloc(4);
    return (thread, policy) => functions.sched_setscheduler(thread, policy, ffi.getRawPointer(none)) === 0;
  } catch {
    return null;
  }
}

function mayBringNear(): boolean {
  try {
    const rights = /^CapEff:\t([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
    return ((BigInt(`0x${rights}`) >> CAP_SYS_NICE) & 1n) === 1n;
  } catch {
    return false;
  }
}
