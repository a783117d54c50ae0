/**
 * Memory of instances that nobody will enter again. V8 collects when JavaScript allocates; a linear memory of some
 * megabytes is one small object to it, and instances that live for one call each would fill a process with what
 * nobody uses, which is killed for it. So it is told to collect by the bytes that were given up.
 */

/** About the memory of one guest more, at the default limit. */
const MAX_REMAINS = 32 * 1024 * 1024;

/** There with --expose-gc, which cordons for WebAssembly are started with. Guests see nothing of JavaScript. */
const collect = (globalThis as { gc?: () => void }).gc;

let bytes = 0;

/** An instance with so much memory is not used any more. */
export function giveUp(memoryBytes: number): void {
  bytes += memoryBytes;
}

/** Makes room for one more instance. */
export function clearRemains(): void {
  if (bytes < MAX_REMAINS) return;
  bytes = 0;
  collect?.();
}
