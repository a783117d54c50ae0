/**
 * Filters of system calls for the kernel's seccomp, assembled from the lists in system-calls.ts: programs of
 * classic BPF that the kernel runs at every call of a process and of all its threads, and that nothing can
 * take off again.
 *
 * What is refused fails with EPERM and does not kill: libraries try calls that they can do without.
 */
import { INSTRUCTION_BYTES } from "./seal-place.ts";
import { type Call, type Condition, NEVER, ONLY_SO, type Processor, servingCalls } from "./system-calls.ts";

/** One instruction: code, jump if true, jump if false, constant. */
export type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, constant: number];

const LOAD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const JUMP_IF_AT_LEAST = 0x35;
const JUMP_IF_BITS = 0x45;
const RETURN = 0x06;

const ALLOW: Instruction = [RETURN, 0, 0, 0x7fff0000];
const KILL_PROCESS: Instruction = [RETURN, 0, 0, 0x80000000];
const EPERM = 1;
const ENOSYS = 38;
const fail = (errno: number): Instruction => [RETURN, 0, 0, 0x00050000 | errno];

/** Offsets in `struct seccomp_data`. Arguments have 64 bits; both processors put the low half first. */
const NUMBER_AT = 0;
const PROCESSOR_AT = 4;
const lowAt = (argument: number) => 16 + argument * 8;
const highAt = (argument: number) => lowAt(argument) + 4;
/** x64's second set of numbers for the same calls starts here. */
const X32 = 0x40000000;

/** In force before Node starts: everything but what no cordon is ever granted. */
export function startFilter(processor: Processor): Buffer {
  const program = [...opening(processor), JUMP_OVER_X32, fail(EPERM)];
  for (const name of NEVER) program.push(...forCall(processor, name, [fail(EPERM)]));
  for (const { name, when } of ONLY_SO) program.push(...forCall(processor, name, verdict(when)));
  return encode([...program, ALLOW]);
}

/** In force while a cordon serves: nothing but what serving needs. */
export function servingFilter(processor: Processor, pid: number): Buffer {
  const program = opening(processor);
  for (const { name, when } of servingCalls(pid)) program.push(...forCall(processor, name, verdict(when)));
  return encode([...program, fail(EPERM)]);
}

const JUMP_OVER_X32: Instruction = [JUMP_IF_AT_LEAST, 0, 1, X32];

function opening(processor: Processor): Instruction[] {
  return [
    [LOAD, 0, 0, PROCESSOR_AT],
    [JUMP_IF_EQUAL, 1, 0, processor.audit],
    KILL_PROCESS, // another processor's numbers: a 32-bit call that would be judged by the wrong table
    [LOAD, 0, 0, NUMBER_AT],
    // Its flags lie in memory, where a filter cannot look. libc then uses `clone`, whose flags are an argument.
    ...forCall(processor, "clone3", [fail(ENOSYS)]),
  ];
}

function forCall(processor: Processor, name: Call["name"], then: readonly Instruction[]): Instruction[] {
  const number = processor.numbers[name];
  return number === undefined ? [] : [[JUMP_IF_EQUAL, 0, then.length, number], ...then];
}

/** Ends the program in every case. */
function verdict(when: Condition | null): Instruction[] {
  if (when === null) return [ALLOW];
  const low: Instruction = [LOAD, 0, 0, lowAt(when.argument)];
  if ("anyOf" in when) {
    const each = when.anyOf.flatMap((value): Instruction[] => [[JUMP_IF_EQUAL, 0, 1, value], ALLOW]);
    return [low, ...each, fail(EPERM)];
  }
  if ("noneOf" in when) {
    const each = when.noneOf.flatMap((value): Instruction[] => [[JUMP_IF_EQUAL, 0, 1, value], fail(EPERM)]);
    return [low, ...each, ALLOW];
  }
  if ("hasBits" in when) return [low, [JUMP_IF_BITS, 0, 1, when.hasBits], ALLOW, fail(EPERM)];
  const high: Instruction = [LOAD, 0, 0, highAt(when.argument)];
  const isZero: Instruction = [JUMP_IF_EQUAL, 1, 0, 0];
  return [low, isZero, fail(EPERM), high, isZero, fail(EPERM), ALLOW];
}

/** As the kernel reads it: an array of `struct sock_filter`. */
function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES);
  for (const [index, [code, jumpTrue, jumpFalse, constant]] of program.entries()) {
    const at = index * INSTRUCTION_BYTES;
    bytes.writeUInt16LE(code, at);
    bytes.writeUInt8(jumpTrue, at + 2);
    bytes.writeUInt8(jumpFalse, at + 3);
    bytes.writeUInt32LE(constant, at + 4);
  }
  return bytes;
}
