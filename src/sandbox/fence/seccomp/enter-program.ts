/**
 * The last program before Node in the chain that starts a cordon: it makes the kernel kill it when its parent
 * dies, gives up new privileges, puts a filter of system calls over itself, and becomes the command that it is
 * given. It is made here, byte by byte, because no tool that every Linux has sets a filter, because nothing of
 * the system is to be seen inside the fence, and because a filter must be there before Node is: Node opens a
 * ring of io_uring first of all, and what goes through a ring no filter sees.
 *
 *     enter /room/node --permission …
 *
 * It needs no library. If a step fails it ends with exit code 126.
 */
import { startFilter } from "./call-filter.ts";
import { INSTRUCTION_BYTES } from "./seal-place.ts";
import { PROCESSORS } from "./system-calls.ts";

const BASE = 0x400000;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const CODE_AT = ELF_HEADER + PROGRAM_HEADER;
const LARGEST_PAGE = 0x10000;

/** The file's bytes, with or without the filter; null for a processor that it is not known for. */
export function enterProgram(filtered: boolean, arch: string = process.arch): Buffer | null {
  const processor = PROCESSORS[arch];
  const machine = MACHINES[arch];
  if (processor === undefined || machine === undefined) return null;
  const filter = filtered ? startFilter(processor) : Buffer.alloc(0);
  const codeBytes = machineCode(machine, filtered, 0).length;
  const programAt = CODE_AT + Math.ceil(codeBytes / 8) * 8;
  const filterAt = programAt + 16;
  const file = Buffer.alloc(filterAt + filter.length);
  writeHeaders(file, machine.elf);
  machineCode(machine, filtered, BASE + programAt).copy(file, CODE_AT);
  // struct sock_fprog: how many instructions, padding, where.
  file.writeUInt16LE(filter.length / INSTRUCTION_BYTES, programAt);
  file.writeBigUInt64LE(BigInt(BASE + filterAt), programAt + 8);
  filter.copy(file, filterAt);
  return file;
}

function writeHeaders(file: Buffer, machine: number): void {
  file.write("\x7fELF\x02\x01\x01", "latin1"); // 64 bits, little-endian, version 1
  file.writeUInt16LE(2, 16); // an executable
  file.writeUInt16LE(machine, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BigInt(BASE + CODE_AT), 24);
  file.writeBigUInt64LE(BigInt(ELF_HEADER), 32);
  file.writeUInt16LE(ELF_HEADER, 52);
  file.writeUInt16LE(PROGRAM_HEADER, 54);
  file.writeUInt16LE(1, 56);
  const at = ELF_HEADER;
  file.writeUInt32LE(1, at); // to be loaded
  file.writeUInt32LE(5, at + 4); // readable and executable
  file.writeBigUInt64LE(BigInt(BASE), at + 16);
  file.writeBigUInt64LE(BigInt(BASE), at + 24);
  file.writeBigUInt64LE(BigInt(file.length), at + 32);
  file.writeBigUInt64LE(BigInt(file.length), at + 40);
  file.writeBigUInt64LE(BigInt(LARGEST_PAGE), at + 48);
}

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const CANNOT_EXECUTE = 126;

/** How one processor is told to do it. Numbers and addresses fit 32 bits. */
interface Machine {
  /** `e_machine` of the ELF header. */
  readonly elf: number;
  readonly calls: Readonly<Record<"prctl" | "seccomp" | "exit", number>>;
  call(number: number, ...args: number[]): Buffer;
  /** Skips so many bytes if the last call failed. */
  skipIfFailed(bytes: number): Buffer;
  /** execve(argv[1], argv + 1, environment), from the stack as the kernel left it. */
  readonly become: Buffer;
}

function machineCode(machine: Machine, filtered: boolean, filterAddress: number): Buffer {
  const { call, calls, become, skipIfFailed } = machine;
  const steps = [
    call(calls.prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0),
    call(calls.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    ...(filtered ? [call(calls.seccomp, SECCOMP_SET_MODE_FILTER, 0, filterAddress)] : []),
  ];
  // From the last step to the first: each must know how far it is to the end.
  let code = become;
  for (const step of steps.reverse()) code = Buffer.concat([step, skipIfFailed(code.length), code]);
  return Buffer.concat([code, call(calls.exit, CANNOT_EXECUTE)]);
}

const MACHINES: Readonly<Record<string, Machine>> = {
  x64: {
    elf: 62,
    calls: { prctl: 157, seccomp: 317, exit: 60 },
    call(number, ...args) {
      // mov r32, imm32 for edi, esi, edx, r10d, r8d; then eax, and syscall.
      const registers = [[0xbf], [0xbe], [0xba], [0x41, 0xba], [0x41, 0xb8]];
      const set = args.flatMap((value, index) => [...(registers[index] ?? []), ...word(value)]);
      return Buffer.from([...set, 0xb8, ...word(number), 0x0f, 0x05]);
    },
    // test eax, eax; jnz rel32
    skipIfFailed: (bytes) => Buffer.from([0x85, 0xc0, 0x0f, 0x85, ...word(bytes)]),
    become: Buffer.from([
      ...[0x48, 0x8b, 0x04, 0x24], // mov rax, [rsp]: how many arguments there are
      ...[0x48, 0x8d, 0x54, 0xc4, 0x10], // lea rdx, [rsp + rax * 8 + 16]: the environment
      ...[0x48, 0x8d, 0x74, 0x24, 0x10], // lea rsi, [rsp + 16]: the arguments without its own name
      ...[0x48, 0x8b, 0x3e], // mov rdi, [rsi]
      ...[0xb8, ...word(59), 0x0f, 0x05],
    ]),
  },
  arm64: {
    elf: 183,
    calls: { prctl: 167, seccomp: 277, exit: 93 },
    call(number, ...args) {
      // movz xN, low; movk xN, high, lsl 16; then x8, and svc 0.
      const set = (register: number, value: number) => [
        0xd2800000 | ((value & 0xffff) << 5) | register,
        0xf2a00000 | ((value >>> 16) << 5) | register,
      ];
      const words = [...args.flatMap((value, index) => set(index, value)), ...set(8, number), 0xd4000001];
      return Buffer.from(words.flatMap(word));
    },
    // cbnz x0, counted in instructions from itself
    skipIfFailed: (bytes) => Buffer.from(word(0xb5000000 | ((bytes / 4 + 1) << 5))),
    become: Buffer.from(
      [
        0xf94003e3, // ldr x3, [sp]: how many arguments there are
        0x910043e1, // add x1, sp, 16: the arguments without its own name
        0xf9400020, // ldr x0, [x1]
        0x8b030c22, // add x2, x1, x3, lsl 3: the environment
        0xd2801ba8, // mov x8, 221
        0xd4000001, // svc 0
      ].flatMap(word),
    ),
  },
};

function word(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff];
}
