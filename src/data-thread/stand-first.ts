/** A data thread's place among those that want its core. */
import { setPriority } from "node:os";
import { loadFfi } from "../ffi.ts";

/** `sched_setattr` and `sched_getattr`, by number: libc has had them for a short time only. */
const ATTRIBUTES: Readonly<Record<string, { set: bigint; get: bigint }>> = {
  x64: { set: 314n, get: 315n },
  arm64: { set: 274n, get: 275n },
};
/** Of `struct sched_attr`, and where its slice is, in nanoseconds. */
const ATTRIBUTES_BYTES = 48;
const SLICE_AT = 24;
/** A nice value: as far before others as cordons that serve stand behind them. */
const FIRST = -5;
const SHORTEST_SLICE_NS = 100_000n;

/**
 * Puts the thread that runs this before the gateway's others and before guests, as far as it may. Thirty processes that
 * are scheduled as idle are owed a part of a core too, and get it a tick of the kernel's clock at a time, one after the
 * other: the nice value makes it a thirtieth of the core in place of a twelfth. The shortest slices (Linux 6.12) let it
 * run when it wakes, and not at the end of another's slice.
 */
export function standFirst(): void {
  try {
    setPriority(0, FIRST); // of this thread alone, on Linux
  } catch {
    // That takes CAP_SYS_NICE; slices do not.
  }
  const numbers = ATTRIBUTES[process.arch];
  if (process.platform !== "linux" || numbers === undefined) return;
  try {
    const ffi = loadFfi();
    const { functions } = ffi.dlopen(null, {
      syscall: { arguments: ["int64", "uint64", "pointer", "uint64", "uint64"], return: "int64" },
    });
    const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
    const pointer = ffi.getRawPointer(attributes);
    if (functions.syscall(numbers.get, 0n, pointer, BigInt(ATTRIBUTES_BYTES), 0n) !== 0n) return;
    attributes.writeBigUInt64LE(SHORTEST_SLICE_NS, SLICE_AT);
    functions.syscall(numbers.set, 0n, pointer, 0n, 0n);
  } catch {
    // A Node without it: the thread waits as every other does.
  }
}
