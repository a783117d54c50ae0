/**
 * System calls without anything of Node between: what native code in a cordon can do. Results are the kernel's,
 * failures as negative error numbers.
 */
import { dlopen, getInt32, getRawPointer } from "node:ffi";
import { PROCESSORS } from "../../../src/sandbox/fence/seccomp/system-calls.ts";

/** Calls that no list of the fence names, on x64 and on arm64. */
const OTHERS: Readonly<Record<string, readonly [x64: number, arm64: number]>> = {
  openat: [257, 56],
  openat2: [437, 437],
  unlinkat: [263, 35],
  mkdirat: [258, 34],
  symlinkat: [266, 36],
  linkat: [265, 37],
  renameat2: [316, 276],
  faccessat: [269, 48],
  fchmodat: [268, 53],
  fchownat: [260, 54],
  truncate: [76, 45],
  readlinkat: [267, 78],
  execve: [59, 221],
  connect: [42, 203],
  bind: [49, 200],
  listen: [50, 201],
  accept4: [288, 242],
  sendto: [44, 206],
  sendmsg: [46, 211],
  socketpair: [53, 199],
  kill: [62, 129],
  tkill: [200, 130],
  rt_sigqueueinfo: [129, 138],
  setpgid: [109, 154],
  setsid: [112, 157],
  setpriority: [141, 140],
  sched_setscheduler: [144, 119],
  dup: [32, 23],
  inotify_init1: [294, 26],
  timerfd_create: [283, 85],
  landlock_create_ruleset: [444, 444],
  sched_setaffinity: [203, 122],
};

const PLACE = process.arch === "arm64" ? 1 : 0;

export function numberOf(name: string): number {
  const number = PROCESSORS[process.arch]?.numbers[name] ?? OTHERS[name]?.[PLACE];
  if (number === undefined) throw new Error(`no number is known for ${name}`);
  return number;
}

const long = "int64";
const { functions } = dlopen(null, {
  syscall: { arguments: [long, long, long, long, long, long, long], return: long },
  __errno_location: { arguments: [], return: "pointer" },
});

/** Strings are passed with a NUL at their end. */
export type Argument = number | bigint | string | Buffer;

export function systemCall(name: string, ...args: Argument[]): number {
  const kept: Buffer[] = [];
  const words = args.map((argument) => {
    if (typeof argument === "number" || typeof argument === "bigint") return BigInt(argument);
    const bytes = typeof argument === "string" ? Buffer.from(`${argument}\0`) : argument;
    kept.push(bytes);
    return getRawPointer(bytes);
  });
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = words;
  const result = functions.syscall(BigInt(numberOf(name)), a, b, c, d, e, f);
  return result === -1n ? -getInt32(functions.__errno_location()) : Number(result);
}

/** `struct sockaddr_un`; a path that starts with NUL is abstract. */
export function unixAddress(path: string): Buffer {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(1);
  return Buffer.concat([family, Buffer.from(path, "latin1")]);
}

/** `struct sockaddr_in` for an address of the loopback network. */
export function loopback(port: number): Buffer {
  const bytes = Buffer.from([2, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  bytes.writeUInt16BE(port, 2);
  return bytes;
}
