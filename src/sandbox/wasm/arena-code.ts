/**
 * The kernel functions that guests call most, as WebAssembly over the arena's memory: a guest copies its input and
 * its answer eight bytes at a time, and a crossing into JavaScript costs several times what the copying does.
 *
 * Only what is plainly allowed is done here. Everything else (an address outside, an arena that has outgrown this
 * memory) goes on to the function of the same name in JavaScript, which decides, and has the words for a refusal.
 * How far is plainly allowed stands in the memory's first words, below every address that a guest can name.
 */
import { unsigned, Writer } from "../forge/binary.ts";

const PAGE = 64 * 1024;
/** Of the memory; it does not grow. */
export const QUICK_BYTES = 1024 * 1024;
/** Address 0 means "nothing" in the Extism ABI, and what is below this is not the guest's. */
export const FIRST = 16;

/**
 * How many addresses from FIRST on may be read or written: `word` those where eight bytes begin, `byte` those of one.
 * The same for offsets into the input, which stands at FIRST. Indexes of the memory's 32-bit words.
 */
export const ALLOWED = { word: 0, byte: 1, inputWord: 2, inputByte: 3 } as const;

const I32 = 0x7f;
const I64 = 0x7e;

interface Access {
  readonly name: string;
  readonly allowed: keyof typeof ALLOWED;
  /** Of the value: eight bytes or one. */
  readonly type: typeof I32 | typeof I64;
  readonly stores: boolean;
}

const ACCESSES: readonly Access[] = [
  { name: "load_u64", allowed: "word", type: I64, stores: false },
  { name: "load_u8", allowed: "byte", type: I32, stores: false },
  { name: "store_u64", allowed: "word", type: I64, stores: true },
  { name: "store_u8", allowed: "byte", type: I32, stores: true },
  { name: "input_load_u64", allowed: "inputWord", type: I64, stores: false },
  { name: "input_load_u8", allowed: "inputByte", type: I32, stores: false },
];

/** Functions by the names of ACCESSES. */
export type Functions = Record<string, (...args: never[]) => unknown>;

const SLOW = "slow";

let compiled: WebAssembly.Module | null = null;

/** A memory, and functions over it that take the place of those in `slow`, which have the same names. */
export function quickAccess(slow: Functions): { memory: WebAssembly.Memory; functions: Functions } {
  compiled ??= new WebAssembly.Module(moduleBytes());
  const { memory, ...functions } = new WebAssembly.Instance(compiled, { [SLOW]: slow }).exports;
  return { memory: memory as WebAssembly.Memory, functions: functions as Functions };
}

const SECTION = { type: 1, import: 2, function: 3, memory: 5, export: 7, code: 10 } as const;
const FUNCTION = 0;
const MEMORY = 2;

/** https://webassembly.github.io/spec/core/binary/ */
function moduleBytes(): Uint8Array {
  const module = new Writer();
  module.bytes([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  module.section(SECTION.type, list(ACCESSES.map(functionType)));
  module.section(
    SECTION.import,
    list(ACCESSES.map(({ name }, i) => [...text(SLOW), ...text(name), FUNCTION, i])),
  );
  module.section(SECTION.function, list(ACCESSES.map((_, i) => [i])));
  const pages = unsigned(QUICK_BYTES / PAGE);
  module.section(SECTION.memory, list([[1, ...pages, ...pages]]));
  module.section(
    SECTION.export,
    list([
      [...text("memory"), MEMORY, 0],
      ...ACCESSES.map(({ name }, i) => [...text(name), FUNCTION, ACCESSES.length + i]),
    ]),
  );
  module.section(
    SECTION.code,
    list(
      ACCESSES.map((access, i) => {
        const body = [0, ...code(access, i), OP.end];
        return [...unsigned(body.length), ...body];
      }),
    ),
  );
  return module.written;
}

function functionType({ type, stores }: Access): number[] {
  return stores ? [0x60, 2, I64, type, 0] : [0x60, 1, I64, 1, type];
}

const OP = {
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  call: 0x10,
  localGet: 0x20,
  i64Load: 0x29,
  i32Load8U: 0x2d,
  i64Load32U: 0x35,
  i64Store: 0x37,
  i32Store8: 0x3a,
  i32Const: 0x41,
  i64Const: 0x42,
  i64LtU: 0x54,
  i64Sub: 0x7d,
  i32WrapI64: 0xa7,
} as const;
const NO_RESULT = 0x40;
/** Every access says that it is aligned to one byte. */
const ANYWHERE = 0;

/** `address - FIRST <u allowed ? memory[address] : slow(address)`; an offset into the input counts from FIRST. */
function code({ allowed, type, stores }: Access, slow: number): number[] {
  const address = [OP.localGet, 0];
  const value = stores ? [OP.localGet, 1] : [];
  const isInput = allowed.startsWith("input");
  const load = type === I64 ? OP.i64Load : OP.i32Load8U;
  const store = type === I64 ? OP.i64Store : OP.i32Store8;
  return [
    ...address,
    ...(isInput ? [] : [OP.i64Const, FIRST, OP.i64Sub]),
    ...[OP.i32Const, 0, OP.i64Load32U, ANYWHERE, ALLOWED[allowed] * 4],
    OP.i64LtU,
    ...[OP.if, stores ? NO_RESULT : type],
    ...[...address, OP.i32WrapI64, ...value, stores ? store : load, ANYWHERE, isInput ? FIRST : 0],
    OP.else,
    ...[...address, ...value, OP.call, slow],
    OP.end,
  ];
}

function list(items: readonly (readonly number[])[]): Uint8Array {
  return Uint8Array.from([...unsigned(items.length), ...items.flat()]);
}

function text(name: string): number[] {
  return [...unsigned(name.length), ...new TextEncoder().encode(name)];
}
