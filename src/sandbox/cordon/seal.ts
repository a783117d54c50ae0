/**
 * The last thing that a cordon does before it serves: it takes from itself, for good, every system call but
 * the few that serving needs. Whoever takes over the process afterwards can compute, use memory up to the cap
 * that its parent watches, and write to the sockets that it has: no file, no other socket, no signal, no
 * program.
 *
 * The kernel is asked by way of `node:ffi`. Nothing of that is left for guests: the permission is given up.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { INSTRUCTION_BYTES, readSealFile, SEAL_FILE } from "../fence/seccomp/seal-place.ts";

const PR_SET_DUMPABLE = 4;
const SECCOMP_SET_MODE_FILTER = 1n;
/** Threads that Node and V8 have started already are sealed too. */
const FLAG_TSYNC = 1n;

/**
 * Throws, with the reason, where it cannot be done: then nothing must be served. The filter of
 * enter-program.ts has to be in force already. `room` is where room.ts has put the filter.
 */
export function seal(room: string = dirname(process.argv[1] as string)): void {
  const { call, filter } = readSealFile(readFileSync(join(room, SEAL_FILE)), process.pid);
  const ffi = createRequire(process.argv[1] as string)("node:ffi") as typeof import("node:ffi");
  const { functions } = ffi.dlopen(null, {
    prctl: { arguments: ["int32", "uint64", "uint64", "uint64", "uint64"], return: "int32" },
    syscall: { arguments: ["int64", "uint64", "uint64", "pointer"], return: "int64" },
  });
  // Nobody of the same uid may trace it or look into its memory, and it leaves no core.
  if (functions.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n) !== 0)
    throw new Error("the kernel refused PR_SET_DUMPABLE");
  /** `struct sock_fprog`: how many instructions, padding, where. */
  const program = Buffer.alloc(16);
  program.writeUInt16LE(filter.length / INSTRUCTION_BYTES, 0);
  program.writeBigUInt64LE(ffi.getRawPointer(filter), 8);
  const answer = functions.syscall(
    BigInt(call),
    SECCOMP_SET_MODE_FILTER,
    FLAG_TSYNC,
    ffi.getRawPointer(program),
  );
  if (answer !== 0n)
    throw new Error(`the kernel refused the filter of system calls (seccomp gave ${answer})`);
}
