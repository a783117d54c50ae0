/**
 * The last thing that a cordon does before it serves: it takes from itself, for good, every system call but
 * the few that serving needs. Whoever takes over the process afterwards can compute, use memory up to the cap
 * that its parent watches, and write to the sockets that it has: no file, no other socket, no signal, no
 * program.
 *
 * The kernel is asked by way of `node:ffi`. Nothing of that is left for guests: the permission is given up.
 */
import { createRequire } from "node:module";
import { INSTRUCTION_BYTES, servingFilter } from "../seccomp/call-filter.ts";
import { PROCESSORS } from "../seccomp/system-calls.ts";

const PR_SET_DUMPABLE = 4;
const SECCOMP_SET_MODE_FILTER = 1n;
/** Threads that Node and V8 have started already are sealed too. */
const FLAG_TSYNC = 1n;

/**
 * Throws, with the reason, where it cannot be done: then nothing must be served. The filter of
 * filter-program.ts has to be in force already.
 */
export function seal(): void {
  const processor = PROCESSORS[process.arch];
  if (processor === undefined) throw new Error(`system calls of ${process.arch} are not known`);
  const ffi = createRequire(import.meta.url)("node:ffi") as typeof import("node:ffi");
  const { functions } = ffi.dlopen(null, {
    prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
    syscall: { arguments: ["int64", "uint64", "uint64", "pointer"], return: "int64" },
  });
  // Nobody of the same uid may trace it or look into its memory, and it leaves no core.
  if (functions.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n) !== 0)
    throw new Error("the kernel refused PR_SET_DUMPABLE");
  const filter = servingFilter(processor, process.pid);
  /** `struct sock_fprog`: how many instructions, padding, where. */
  const program = Buffer.alloc(16);
  program.writeUInt16LE(filter.length / INSTRUCTION_BYTES, 0);
  program.writeBigUInt64LE(ffi.getRawPointer(filter), 8);
  const answer = functions.syscall(
    BigInt(processor.numbers.seccomp ?? -1),
    SECCOMP_SET_MODE_FILTER,
    FLAG_TSYNC,
    ffi.getRawPointer(program),
  );
  if (answer !== 0n)
    throw new Error(`the kernel refused the filter of system calls (seccomp gave ${answer})`);
}
