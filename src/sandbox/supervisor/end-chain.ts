/** Ends processes that stand behind a fence, so that nothing is left of them. */
import type { ChildProcess } from "node:child_process";
import { lastDescendantOf } from "./process-stat.ts";

const AGAIN_MS = 50;
/** Time that what was spawned has to have a child, or to end without one. */
const FORKED_MS = 1000;
/** Time that `unshare` has to notice that its child is dead. On a machine that is busy it waits for a core. */
const REAPED_MS = 10_000;

const ending = new WeakSet<ChildProcess>();

/**
 * SIGKILL: nothing softer works on a process that is stuck in V8. Behind the fence the last descendant is killed;
 * `unshare` or the launcher reaps it and ends, so that nothing is left once the exit is seen. Were `unshare` killed in
 * its place, its child would be left to whatever reaps orphans: where the gateway is the first process of a container
 * that is nobody, and a zombie stays for good. So it is given time.
 *
 * Nothing happens to what has ended, or is being ended already.
 * @param fenced whether what works is a descendant, and not what was spawned.
 */
export function endChain(child: ChildProcess, fenced: boolean): void {
  if (child.exitCode !== null || child.signalCode !== null || ending.has(child)) return;
  if (!fenced) {
    child.kill("SIGKILL");
    return;
  }
  ending.add(child);
  const began = Date.now();
  killLast(child);
  const again = setInterval(() => {
    const alone = !killLast(child);
    if (Date.now() - began > (alone ? FORKED_MS : REAPED_MS)) child.kill("SIGKILL");
  }, AGAIN_MS);
  child.once("exit", () => clearInterval(again));
}

/** Returns whether there was something to kill: `unshare` may be about to have a child, or have reaped it. */
function killLast(child: ChildProcess): boolean {
  const pid = lastDescendantOf(child.pid);
  if (pid === null) return false;
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It was quicker.
  }
  return true;
}
