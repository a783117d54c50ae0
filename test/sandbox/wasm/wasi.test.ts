/** WASI preview 1 as a guest meets it: what is there, what is not, and what no pointer or length can reach. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { importSignature, WASI_MODULE } from "../../../src/sandbox/wasm/abi.ts";
import { GuestFault } from "../../../src/sandbox/wasm/fault.ts";
import { Wasi, type WasiState } from "../../../src/sandbox/wasm/wasi.ts";
import { createWasmEngine } from "../../../src/sandbox/wasm/wasm-engine.ts";
import { assemble, configure, hookCall, startNow } from "./guests.ts";

const OK = 0;
const EBADF = 8;
const EFAULT = 21;
const EINVAL = 28;
const ENOSYS = 52;
const ESPIPE = 70;
const ENOTCAPABLE = 76;
const NOW = 1_700_000_000_123;
/** The end of the memory of one page. */
const END = 65536;
const FAR = 0xffff_fff0;

let printed: [string, string][];
let state: WasiState;
let wasi: Wasi;
let view: DataView;

beforeEach(() => {
  printed = [];
  state = { memory: new WebAssembly.Memory({ initial: 1, maximum: 4 }), sleptNs: 0n };
  view = new DataView((state.memory as WebAssembly.Memory).buffer);
  wasi = new Wasi((stream, line) => printed.push([stream, line]));
  wasi.begin(state, NOW);
});

/** Calls a function as a guest does: numbers arrive as signed 32-bit integers. */
function call(name: string, ...args: (number | bigint)[]): number {
  const fn = wasi.imports[name as keyof Wasi["imports"]] as (...args: unknown[]) => number;
  return fn(...args.map((arg) => (typeof arg === "number" ? arg | 0 : arg)));
}

/** Writes text into the memory at 4096 and a list of its parts at 1024. */
function vectors(...parts: string[]): [list: number, count: number] {
  let at = 4096;
  for (const [i, part] of parts.entries()) {
    const bytes = new TextEncoder().encode(part);
    new Uint8Array(view.buffer).set(bytes, at);
    view.setUint32(1024 + i * 8, at, true);
    view.setUint32(1024 + i * 8 + 4, bytes.length, true);
    at += bytes.length;
  }
  return [1024, parts.length];
}

function print(fd: number, ...parts: string[]): number {
  return call("fd_write", fd, ...vectors(...parts), 0);
}

describe("standard output and error", () => {
  it("go to the log line by line, whatever the pieces they are written in", () => {
    assert.equal(print(1, "one\ntw", "o\nth"), OK);
    assert.equal(view.getUint32(0, true), 10);
    assert.equal(print(2, "wrong\n"), OK);
    assert.equal(print(1, "ree"), OK);
    assert.deepEqual(printed, [
      ["stdout", "one"],
      ["stdout", "two"],
      ["stderr", "wrong"],
    ]);
    wasi.flush();
    assert.deepEqual(printed.at(-1), ["stdout", "three"]);
  });

  it("do not carry a line that was not ended into the next call", () => {
    print(1, "half");
    wasi.begin(state, NOW);
    print(1, "whole\n");
    assert.deepEqual(printed, [["stdout", "whole"]]);
  });

  it("have long lines cut", () => {
    print(1, "x".repeat(3000), "\n");
    assert.deepEqual(printed, [["stdout", "x".repeat(1024)]]);
  });

  it("are looked at up to 64 KiB in one call; what is beyond is taken and dropped", () => {
    for (let i = 0; i < 100; i++) assert.equal(print(1, `${"y".repeat(1023)}\n`), OK);
    assert.equal(printed.length, 64);
    wasi.begin(state, NOW);
    print(1, "again\n");
    assert.equal(printed.length, 65);
  });

  it("print nothing of a write that has one bad part", () => {
    const [list] = vectors("good\n", "x");
    view.setUint32(list + 8, END - 1, true);
    view.setUint32(list + 12, 2, true);
    assert.equal(call("fd_write", 1, list, 2, 0), EFAULT);
    assert.deepEqual(printed, []);
  });

  it("take parts that overlap and together pass 4 GiB for what they are: too much", () => {
    const memory = state.memory as WebAssembly.Memory;
    memory.grow(3);
    view = new DataView(memory.buffer);
    const count = 1024;
    for (let i = 0; i < count; i++) {
      view.setUint32(1024 + i * 8, 0, true);
      view.setUint32(1024 + i * 8 + 4, 4 * END, true);
    }
    assert.equal(call("fd_write", 1, 1024, count, 0), OK);
    assert.equal(view.getUint32(0, true), count * 4 * END);
    assert.equal(call("fd_write", 1, 1024, count + 1, 0), EINVAL);
  });
});

describe("writing and waiting without end", () => {
  const endless: [name: string, args: number[], times: number][] = [
    ["fd_write", [1, 1024, 1, 0], 10_000],
    ["fd_write", [1, 1024, 0, 0], 20_000],
    ["poll_oneoff", [2048, 3072, 1, 0], 2500],
  ];
  for (const [name, args, times] of endless) {
    it(`${name}(${args.join(", ")}) ends the call after ${times} times, and the next call may again`, () => {
      for (let i = 0; i < times; i++) assert.equal(call(name, ...args), OK);
      assert.throws(
        () => call(name, ...args),
        (error) => error instanceof GuestFault && error.failure === "violation",
      );
      wasi.begin(state, NOW);
      assert.equal(call(name, ...args), OK);
    });
  }
});

describe("clocks", () => {
  const clocks: [what: string, id: number][] = [
    ["wall", 0],
    ["monotonic", 1],
    ["process time", 2],
    ["thread time", 3],
  ];
  for (const [what, id] of clocks) {
    it(`the ${what} clock stands still during a call, to the millisecond`, () => {
      assert.equal(call("clock_time_get", id, 1n, 8), OK);
      assert.equal(view.getBigUint64(8, true), BigInt(NOW) * 1_000_000n);
      assert.equal(call("clock_res_get", id, 16), OK);
      assert.equal(view.getBigUint64(16, true), 1_000_000n);
    });
  }

  it("there is no other clock", () => {
    for (const id of [4, -1]) assert.equal(call("clock_time_get", id, 1n, 8), EINVAL);
    assert.equal(call("clock_res_get", 4, 8), EINVAL);
  });
});

/** Writes a subscription to a clock, or to a descriptor, at 2048. */
function subscribe(
  index: number,
  parts: { user: bigint; fd?: number; clock?: number; timeout?: bigint; abs?: boolean },
) {
  const at = 2048 + index * 48;
  view.setBigUint64(at, parts.user, true);
  view.setUint8(at + 8, parts.fd === undefined ? 0 : 1);
  view.setUint32(at + 16, parts.fd ?? parts.clock ?? 1, true);
  view.setBigUint64(at + 24, parts.timeout ?? 0n, true);
  view.setUint16(at + 40, parts.abs ? 1 : 0, true);
}

function monotonic(): bigint {
  call("clock_time_get", 1, 1n, 8);
  return view.getBigUint64(8, true) - BigInt(NOW) * 1_000_000n;
}

describe("waiting", () => {
  it("for a time returns at once, with the guest's clocks that much later", () => {
    subscribe(0, { user: 7n, timeout: 5_000_000_000n });
    subscribe(1, { user: 8n, timeout: 2_000_000_000n });
    assert.equal(call("poll_oneoff", 2048, 3072, 2, 0), OK);
    assert.equal(view.getUint32(0, true), 1);
    assert.equal(view.getBigUint64(3072, true), 8n);
    assert.equal(view.getUint16(3072 + 8, true), 0);
    assert.equal(monotonic(), 2_000_000_000n);
    call("clock_time_get", 0, 1n, 8);
    assert.equal(view.getBigUint64(8, true), BigInt(NOW) * 1_000_000n + 2_000_000_000n);
  });

  it("for a point in time that has passed moves no clock", () => {
    subscribe(0, { user: 1n, timeout: 5n, abs: true });
    assert.equal(call("poll_oneoff", 2048, 3072, 1, 0), OK);
    assert.equal(monotonic(), 0n);
  });

  it("leaves the monotonic clock ahead in the next call, and the wall clock right", () => {
    subscribe(0, { user: 1n, timeout: 1_000_000_000n });
    call("poll_oneoff", 2048, 3072, 1, 0);
    wasi.begin(state, NOW);
    assert.equal(monotonic(), 1_000_000_000n);
    call("clock_time_get", 0, 1n, 8);
    assert.equal(view.getBigUint64(8, true), BigInt(NOW) * 1_000_000n);
  });

  it("for a descriptor is answered at once, and does not move the clock", () => {
    subscribe(0, { user: 1n, timeout: 1_000_000_000n });
    subscribe(1, { user: 2n, fd: 0 });
    subscribe(2, { user: 3n, fd: 9 });
    assert.equal(call("poll_oneoff", 2048, 3072, 3, 0), OK);
    assert.equal(view.getUint32(0, true), 2);
    assert.deepEqual([view.getBigUint64(3072, true), view.getUint16(3080, true)], [2n, OK]);
    assert.deepEqual([view.getBigUint64(3104, true), view.getUint16(3112, true)], [3n, EBADF]);
    assert.equal(monotonic(), 0n);
  });

  it("reads its list before it writes over it", () => {
    subscribe(0, { user: 1n, fd: 0 });
    subscribe(1, { user: 2n, fd: 1 });
    assert.equal(call("poll_oneoff", 2048, 2048, 2, 0), OK);
    assert.deepEqual([view.getBigUint64(2048, true), view.getBigUint64(2080, true)], [1n, 2n]);
  });

  it("for more than 64 things, or for nothing, is refused", () => {
    assert.equal(call("poll_oneoff", 2048, 3072, 65, 0), EINVAL);
    assert.equal(call("poll_oneoff", 2048, 3072, 0, 0), EINVAL);
    assert.equal(call("poll_oneoff", 2048, 3072, -1, 0), EINVAL);
  });

  it("for ever is only a very late clock", () => {
    for (let i = 0; i < 3; i++) {
      subscribe(0, { user: 1n, timeout: 0xffff_ffff_ffff_ffffn });
      assert.equal(call("poll_oneoff", 2048, 3072, 1, 0), OK);
    }
    assert.equal(call("clock_time_get", 1, 1n, 8), OK);
  });
});

describe("random bytes", () => {
  it("are given, at most 64 KiB at a time", () => {
    assert.equal(call("random_get", 64, 32), OK);
    assert.notDeepEqual(new Uint8Array(view.buffer, 64, 32), new Uint8Array(32));
    assert.equal(call("random_get", 0, 65536), OK);
    assert.equal(call("random_get", 0, 65537), EINVAL);
    assert.equal(call("random_get", 0, -1), EINVAL);
  });

  it("end a call that takes more than 1 MiB of them", () => {
    for (let i = 0; i < 16; i++) assert.equal(call("random_get", 0, 65536), OK);
    assert.throws(
      () => call("random_get", 0, 1),
      (error) => error instanceof GuestFault && error.failure === "violation",
    );
    wasi.begin(state, NOW);
    assert.equal(call("random_get", 0, 1), OK);
  });
});

describe("what is not there says so", () => {
  it("no arguments and no environment", () => {
    for (const name of ["args_sizes_get", "environ_sizes_get"]) {
      view.setUint32(0, 7, true);
      view.setUint32(4, 7, true);
      assert.equal(call(name, 0, 4), OK);
      assert.deepEqual([view.getUint32(0, true), view.getUint32(4, true)], [0, 0]);
    }
  });

  const absences: [name: string, args: (number | bigint)[], errno: number][] = [
    ["fd_prestat_get", [3, 0], EBADF],
    ["fd_prestat_dir_name", [3, 0, 0], EBADF],
    ["path_open", [3, 0, 0, 1, 0, 0n, 0n, 0, 8], ENOTCAPABLE],
    ["path_filestat_get", [3, 0, 0, 1, 8], ENOTCAPABLE],
    ["fd_read", [3, 0, 0, 8], EBADF],
    ["fd_write", [0, 0, 0, 8], EBADF],
    ["fd_write", [3, 0, 0, 8], EBADF],
    ["fd_seek", [1, 0n, 0, 8], ESPIPE],
    ["fd_seek", [3, 0n, 0, 8], EBADF],
    ["fd_close", [3], EBADF],
    ["fd_close", [-1], EBADF],
    ["fd_fdstat_get", [3, 8], EBADF],
    ["sock_accept", [3, 0, 8], EBADF],
    ["sock_send", [3, 0, 0, 0, 8], EBADF],
    ["proc_raise", [9], ENOSYS],
  ];
  for (const [name, args, errno] of absences) {
    it(`${name}(${args.join(", ")}) answers ${errno}`, () => assert.equal(call(name, ...args), errno));
  }

  it("standard input is at its end", () => {
    view.setUint32(8, 7, true);
    assert.equal(call("fd_read", 0, 0, 0, 8), OK);
    assert.equal(view.getUint32(8, true), 0);
  });

  it("the standard streams are a terminal's, so that a runtime writes line by line", () => {
    assert.equal(call("fd_fdstat_get", 1, 8), OK);
    assert.deepEqual([view.getUint8(8), view.getBigUint64(16, true)], [2, 64n]);
    assert.equal(call("fd_filestat_get", 1, 128), OK);
    assert.equal(view.getUint8(144), 2);
  });
});

describe("no pointer leads out of the guest's memory", () => {
  const outside: [name: string, args: (number | bigint)[]][] = [
    ["args_sizes_get", [END - 3, 0]],
    ["args_sizes_get", [0, FAR]],
    ["clock_time_get", [0, 0n, END - 7]],
    ["clock_time_get", [0, 0n, FAR]],
    ["clock_res_get", [0, FAR]],
    ["fd_fdstat_get", [1, END - 23]],
    ["fd_filestat_get", [1, END - 63]],
    ["fd_read", [0, 0, 0, FAR]],
    ["fd_write", [1, END - 7, 1, 0]],
    ["fd_write", [1, FAR, 4, 0]],
    ["fd_write", [1, 0, 0, FAR]],
    ["poll_oneoff", [END - 47, 0, 1, 0]],
    ["poll_oneoff", [0, END - 31, 1, 0]],
    ["poll_oneoff", [0, 0, 1, FAR]],
    ["poll_oneoff", [FAR, 0, 64, 0]],
    ["random_get", [END - 15, 16]],
    ["random_get", [FAR, 0x20]],
  ];
  for (const [name, args] of outside) {
    it(`${name}(${args.join(", ")}) answers EFAULT`, () => assert.equal(call(name, ...args), EFAULT));
  }

  it("nor before the memory exists", () => {
    wasi.begin({ memory: null, sleptNs: 0n }, NOW);
    assert.equal(call("clock_time_get", 0, 0n, 8), EFAULT);
    assert.equal(call("random_get", 0, 8), EFAULT);
    assert.equal(call("fd_write", 1, 0, 0, 0), EFAULT);
  });

  it("and memory that has grown is reached whole", () => {
    (state.memory as WebAssembly.Memory).grow(1);
    assert.equal(call("random_get", END, 16), OK);
  });
});

describe("a guest with WASI", () => {
  /** Every function of preview 1 imported with its signature. */
  const everything = Object.keys(new Wasi(() => {}).imports)
    .map((name) => {
      const [from = "", to = ""] = (importSignature(WASI_MODULE, name) as string).split(">");
      const types = (letters: string) => [...letters].map((l) => (l === "I" ? "i64" : "i32")).join(" ");
      return `(import "${WASI_MODULE}" "${name}" (func $${name} (param ${types(from)}) (result ${types(to)})))`;
    })
    .join(" ");

  it("may import all 46 functions and is printed for", async () => {
    const engine = createWasmEngine();
    const module = `(module ${everything} (memory (export "memory") 1)
      (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
      (func (export "_initialize") (drop (call $random_get (i32.const 256) (i32.const 8))))
      (func (export "access") (result i32)
        (if (i64.eqz (i64.load (i32.const 256))) (then (return (i32.const 1))))
        (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 512))))`;
    assert.equal(Object.keys(wasi.imports).length, 46);
    await configure(engine, 1, assemble(module));
    const turn = startNow(engine, 1, hookCall());
    assert.equal(turn.kind, "verdict", JSON.stringify(turn));
    assert.deepEqual(turn.hostCalls, [{ seq: 0, method: "log", args: ["info", "hello"], waits: false }]);
  });

  it("that ends itself fails as a trap, and what it printed before is kept", async () => {
    const engine = createWasmEngine();
    const module = `(module ${everything} (memory (export "memory") 1)
      (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00panic")
      (func (export "access") (result i32)
        (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 512)))
        (call $proc_exit (i32.const 2)) (i32.const 0)))`;
    await configure(engine, 1, assemble(module));
    const turn = startNow(engine, 1, hookCall());
    assert.ok(turn.kind === "failure" && turn.failure === "trap");
    assert.equal(turn.message, "the guest ended itself: proc_exit(2)");
    assert.deepEqual(turn.hostCalls[0]?.args, ["warn", "panic"]);
  });
});
