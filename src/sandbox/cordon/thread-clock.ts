/** How much of the processor the thread that guests run on has had. */

/**
 * CPU time of this thread, on which guests run. An isolate's own `cpuTime` goes by the wall's clock, too: measured
 * at 118 ms where the thread had 24.
 */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** CPU time of this thread for callers who can do with a millisecond less than there was: asking costs one more each. */
export class ThreadClock {
  #readAt = Number.NEGATIVE_INFINITY;
  #ms = 0;

  /** `now` is `performance.now()`. Milliseconds. */
  at(now: number): number {
    if (now - this.#readAt > 1) {
      this.#readAt = now;
      this.#ms = threadMs();
    }
    return this.#ms;
  }
}
