/** The kernel's memory functions in WebAssembly do what those in JavaScript do: the latter serve guests that wait. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KERNEL_MODULE } from "../../../src/sandbox/wasm/abi.ts";
import { QUICK_BYTES } from "../../../src/sandbox/wasm/arena-code.ts";
import { GuestFault } from "../../../src/sandbox/wasm/fault.ts";
import { Kernel, newInstanceState, WAITS_FOR_NOTHING } from "../../../src/sandbox/wasm/kernel.ts";

type Functions = Record<string, (...args: (bigint | number)[]) => unknown>;

function kernel(suspends: boolean, input: string): { kernel: Kernel; functions: Functions } {
  const made = new Kernel(suspends);
  begin(made, input);
  return { kernel: made, functions: made.imports[KERNEL_MODULE] as Functions };
}

function begin(made: Kernel, input: string): void {
  made.begin({
    config: new Map(),
    state: newInstanceState(),
    now: 0,
    input,
    arenaBytes: 4 * QUICK_BYTES,
    hostCalls: 10,
    ...WAITS_FOR_NOTHING,
  });
}

/** What a function returns, an i64 with its sign, or the words with which it refuses. */
function outcome(functions: Functions, name: string, args: readonly (bigint | number)[]): unknown {
  try {
    const value = functions[name]?.(...args);
    return typeof value === "bigint" ? BigInt.asIntN(64, value) : value;
  } catch (error) {
    assert.ok(error instanceof GuestFault, String(error));
    return error.message;
  }
}

/** Around 0, the first address, the ends of the blocks, the memory's end, and where numbers wrap. */
const ADDRESSES = [0, 16, 24, 32, 40, 48, 64, 65_536, QUICK_BYTES, 2 ** 31, 2 ** 32, 2 ** 32 + 16]
  .flatMap((at) => Array.from({ length: 34 }, (_, i) => BigInt(at + i - 17)))
  .concat([-(2n ** 63n), 2n ** 63n - 1n, 2n ** 63n - 8n]);

function compare(quick: Functions, slow: Functions): void {
  for (const at of ADDRESSES)
    for (const [name, ...more] of [
      ["store_u64", 0x8877665544332211n],
      ["store_u8", 0x1fe],
      ["load_u64"],
      ["load_u8"],
      ["input_load_u64"],
      ["input_load_u8"],
    ] as const) {
      const args = [at, ...more];
      assert.deepEqual(outcome(quick, name, args), outcome(slow, name, args), `${name}(${args.join()})`);
    }
}

describe("a guest's access to host memory", () => {
  for (const { title, input, act } of [
    { title: "with an empty input", input: "", act: () => {} },
    { title: "with an input shorter than a word", input: "abc", act: () => {} },
    { title: "with an input of 19 bytes", input: "0123456789abcdefghi", act: () => {} },
    {
      title: "behind the input, in blocks of its own",
      input: "0123456789",
      act: ({ alloc }: Functions) => [alloc?.(3n), alloc?.(16n)],
    },
    {
      title: "once it has freed the last block",
      input: "0123456789",
      act: ({ alloc, free }: Functions) => free?.(alloc?.(64n) as bigint),
    },
    {
      title: "once it has freed its input",
      input: "0123456789abcdef",
      act: ({ free }: Functions) => free?.(16n),
    },
    {
      title: "once it needs more than the memory that is there at once",
      input: "0123456789",
      act: ({ alloc }: Functions) => alloc?.(BigInt(2 * QUICK_BYTES)),
    },
  ])
    test(`${title}, is allowed, refused and answered in one way`, () => {
      const [quick, slow] = [kernel(false, input).functions, kernel(true, input).functions];
      act(quick);
      act(slow);
      compare(quick, slow);
    });

  test("finds nothing of an earlier call, however much memory that one used", () => {
    for (const size of [4096n, BigInt(2 * QUICK_BYTES)]) {
      const { kernel: made, functions } = kernel(false, "a secret");
      functions.store_u64?.(functions.alloc?.(64n) as bigint, -1n);
      functions.alloc?.(size);
      begin(made, "");
      const block = functions.alloc?.(256n) as bigint;
      for (let at = block; at < block + 256n; at += 8n) assert.equal(functions.load_u64?.(at), 0n);
    }
  });

  test("reaches the whole of an input that is larger than the memory that is there at once", () => {
    const { functions } = kernel(false, "x".repeat(2 * QUICK_BYTES));
    assert.equal(functions.input_load_u8?.(BigInt(2 * QUICK_BYTES - 1)), 120);
    assert.equal(functions.load_u8?.(16n), 120);
  });
});
