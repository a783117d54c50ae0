/**
 * Fuel metering: rewrites a module so that it counts down a fuel counter and traps when that is used up.
 *
 * Each function entry and each loop header subtracts the static cost of the code that follows it up to the
 * next loop, which bounds every path: there is no other way to run code twice. Instructions whose work grows
 * with an operand (memory.fill, memory.copy, memory.init, table.grow) pay by that operand before they run.
 * The same module and input use the same fuel on every machine.
 *
 * The counter is a global that metering adds behind the guest's own, so no instruction of the guest can name
 * it; a trap cannot be caught by the guest, so running out cannot be ignored.
 */
import binaryen from "binaryen";
import { FUEL_EXPORT, MEMORY_EXPORT } from "../wasm/abi.ts";
import { INSTRUCTIONS, type Operands, REFUSED } from "./instructions.ts";

/** Units of fuel. One unit is about one instruction. */
const COST = {
  /** Crossing into the host and back, which V8 does in 20 to 50 ns. */
  hostCall: 50,
  /** A signature check and a jump. */
  indirectCall: 10,
  memoryGrow: 1000,
  /** Before the entries are counted: V8 leaves compiled code for it. */
  tableGrow: 100,
  /** Before the length of a bulk instruction is counted. */
  bulk: 10,
  /** A local of a called function, which V8 sets to zero. */
  localsPerUnit: 4,
  /** Bytes that a bulk memory instruction moves for one unit. */
  bytesPerUnit: 8,
} as const;

/** A refusal, in words for the author. */
export class MeterError extends Error {}

type Pointer = number;

/** The part of binaryen's C API that metering uses; its type declarations leave it out. */
type Low = Record<string, (...args: number[]) => number>;
const low = binaryen as unknown as Low;
const reader = binaryen as unknown as { readBinary(bytes: Uint8Array, features: number): binaryen.Module };

const FEATURES = binaryen.Features as unknown as Record<string, number>;
/** Proposals that guests may use: all are part of WebAssembly 2.0, or constant expressions of 3.0. */
const ALLOWED_FEATURES = [
  "MutableGlobals",
  "NontrappingFPToInt",
  "SIMD128",
  "BulkMemory",
  "BulkMemoryOpt",
  "SignExt",
  "ReferenceTypes",
  "CallIndirectOverlong",
  "Multivalue",
  "ExtendedConst",
];
/** Proposals that authors may meet, by the name that their toolchain uses. */
const NAMED_FEATURES: readonly (readonly [feature: string, words: string])[] = [
  ["Atomics", "threads (atomics)"],
  ["ExceptionHandling", "exceptions"],
  ["TailCall", "tail calls"],
  ["GC", "garbage collection"],
  ["Memory64", "memory64"],
  ["RelaxedSIMD", "relaxed SIMD, whose results differ between machines"],
  ["MultiMemory", "several memories"],
  ["Strings", "strings"],
  ["StackSwitching", "stack switching"],
  ["WideArithmetic", "wide arithmetic"],
];

const allowed = ALLOWED_FEATURES.reduce((bits, name) => bits | (FEATURES[name] ?? 0), 0);

/** Getters by expression id, resolved once. */
interface Walkable {
  name: string;
  single: readonly ((expression: number) => number)[];
  count: ((expression: number) => number) | null;
  at: ((expression: number, index: number) => number) | null;
}

const walkables = new Map<number, Walkable>();
const namesById = new Map<number, string>();
for (const key of Object.keys(low)) {
  const name = /^_Binaryen([A-Za-z0-9]+)Id$/.exec(key)?.[1];
  if (name !== undefined && name !== "ExpressionGet") namesById.set((low[key] as () => number)(), name);
}
for (const [id, name] of namesById) {
  const operands = Object.hasOwn(INSTRUCTIONS, name) ? (INSTRUCTIONS[name] as Operands) : undefined;
  if (operands !== undefined) walkables.set(id, resolve(name, operands));
}

function resolve(name: string, { single = [], list }: Operands): Walkable {
  const getter = (suffix: string) => {
    const found = low[`_Binaryen${suffix}`];
    if (found === undefined) throw new Error(`binaryen has no ${suffix}`);
    return found;
  };
  return {
    name,
    single: single.map(getter),
    count: list ? getter(list[0]) : null,
    at: list ? getter(list[1]) : null,
  };
}

/**
 * Returns the metered module. `module` must be valid, clamped and free of custom sections (names given by the
 * author could otherwise collide with ours). Throws MeterError with the reason for a refusal.
 */
export function meterModule(bytes: Uint8Array, startFuel: number): Uint8Array {
  let module: binaryen.Module;
  try {
    module = reader.readBinary(bytes, FEATURES.All as number);
  } catch {
    throw new MeterError("binaryen, which meters modules, cannot read the module");
  }
  try {
    checkFeatures(module);
    new Meter(module).run(startFuel);
    if (module.validate() !== 1) throw new MeterError("the metered module is not valid");
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

function checkFeatures(module: binaryen.Module): void {
  module.setFeatures(allowed);
  if (module.validate() === 1) return;
  const words = NAMED_FEATURES.filter(([feature]) => {
    module.setFeatures(allowed | (FEATURES[feature] ?? 0));
    return module.validate() === 1;
  }).map(([, name]) => name);
  throw new MeterError(
    words.length > 0
      ? `the module uses a feature that is not allowed: ${words.join(", ")}`
      : "the module uses WebAssembly features that are not allowed",
  );
}

/** Where the static cost of some code is collected: a function's own, or a loop's. */
interface Region {
  cost: number;
  /** The loop expression, or 0 for the function itself. */
  loop: Pointer;
}

class Meter {
  readonly #module: binaryen.Module;
  readonly #fuel = FUEL_EXPORT;
  readonly #byBytes = "gatehouse:charge-bytes";
  readonly #byEntries = "gatehouse:charge-entries";
  /** Which of the charging helpers the module needs. */
  readonly #charges = new Set<BulkLength[1]>();
  /** Interned names of imported functions: binaryen keeps one pointer for each name. */
  readonly #imported = new Set<Pointer>();

  constructor(module: binaryen.Module) {
    this.#module = module;
  }

  run(startFuel: number): void {
    const module = this.#module;
    const functions: Pointer[] = [];
    for (let i = 0; i < module.getNumFunctions(); i++) {
      const func = module.getFunctionByIndex(i) as unknown as Pointer;
      if (call("FunctionGetBody", func) === 0) this.#imported.add(call("FunctionGetName", func));
      else functions.push(func);
    }
    const { i64 } = module;
    module.addGlobal(this.#fuel, binaryen.i64, true, i64.const(BigInt(startFuel)));
    for (const func of functions) this.#function(func);
    if (this.#charges.has("bytes")) this.#addCharge(this.#byBytes, Math.log2(COST.bytesPerUnit));
    if (this.#charges.has("entries")) this.#addCharge(this.#byEntries, 0);
    module.addGlobalExport(this.#fuel, FUEL_EXPORT);
    if (module.hasMemory()) {
      const name = (module.getMemoryInfo() as unknown as { name?: string }).name ?? "0";
      module.addMemoryExport(name, MEMORY_EXPORT);
    }
  }

  #function(func: Pointer): void {
    const body = call("FunctionGetBody", func);
    const own: Region = {
      cost: 1 + Math.ceil(call("FunctionGetNumVars", func) / COST.localsPerUnit),
      loop: 0,
    };
    const regions = [own];
    // The module may nest 200,000 blocks deep, so the walk keeps its own stack.
    const pending: Pointer[] = [body];
    const pendingRegions: Region[] = [own];
    const bulk: [expression: Pointer, name: string][] = [];
    while (pending.length > 0) {
      const expression = pending.pop() as Pointer;
      let region = pendingRegions.pop() as Region;
      const id = call("ExpressionGetId", expression);
      const walkable = walkables.get(id);
      if (walkable === undefined) throw refused(id);
      region.cost += this.#cost(expression, walkable.name);
      if (walkable.name === "Loop") {
        region = { cost: 1, loop: expression };
        regions.push(region);
      }
      if (BULK_LENGTHS[walkable.name] !== undefined) bulk.push([expression, walkable.name]);
      for (const get of walkable.single) {
        const operand = get(expression);
        if (operand === 0) continue;
        pending.push(operand);
        pendingRegions.push(region);
      }
      if (walkable.count === null || walkable.at === null) continue;
      const count = walkable.count(expression);
      for (let i = 0; i < count; i++) {
        pending.push(walkable.at(expression, i));
        pendingRegions.push(region);
      }
    }
    for (const [expression, name] of bulk) this.#chargeLength(expression, name);
    for (const { loop, cost } of regions) {
      if (loop === 0) continue;
      call("LoopSetBody", loop, this.#charged(cost, call("LoopGetBody", loop)));
    }
    call("FunctionSetBody", func, this.#charged(own.cost, call("FunctionGetBody", func)));
  }

  #cost(expression: Pointer, name: string): number {
    switch (name) {
      case "Call":
        return this.#imported.has(call("CallGetTarget", expression)) ? COST.hostCall : 1;
      case "CallIndirect":
        // A table may hold an imported function; telling which entry is meant is not possible here.
        return COST.indirectCall;
      case "MemoryGrow":
        return COST.memoryGrow;
      case "TableGrow":
        return COST.tableGrow;
      default:
        return BULK_LENGTHS[name] === undefined ? 1 : COST.bulk;
    }
  }

  /** `fuel -= cost; if (fuel < 0) unreachable; code` */
  #charged(cost: number, code: Pointer): Pointer {
    const { i64, global } = this.#module;
    const type = call("ExpressionGetType", code);
    return this.#module.block(
      null,
      [
        global.set(this.#fuel, i64.sub(global.get(this.#fuel, binaryen.i64), i64.const(BigInt(cost)))),
        this.#stopWhenEmpty(),
        code as never,
      ],
      type,
    ) as unknown as Pointer;
  }

  #stopWhenEmpty(): binaryen.ExpressionRef {
    const { i64, global } = this.#module;
    const empty = i64.lt_s(global.get(this.#fuel, binaryen.i64), i64.const(0n));
    return this.#module.if(empty, this.#module.unreachable());
  }

  /** Wraps the length operand of a bulk instruction in a call that charges for it and hands it through. */
  #chargeLength(expression: Pointer, name: string): void {
    const [operand, by] = BULK_LENGTHS[name] as BulkLength;
    const length = call(`${name}Get${operand}`, expression);
    this.#charges.add(by);
    const helper = by === "bytes" ? this.#byBytes : this.#byEntries;
    const charged = this.#module.call(helper, [length as never], binaryen.i32);
    call(`${name}Set${operand}`, expression, charged as unknown as Pointer);
  }

  #addCharge(name: string, shift: number): void {
    const { i32, i64, global, local } = this.#module;
    const units = i64.extend_u(i32.shr_u(local.get(0, binaryen.i32), i32.const(shift)));
    const body = this.#module.block(
      null,
      [
        global.set(this.#fuel, i64.sub(global.get(this.#fuel, binaryen.i64), units)),
        this.#stopWhenEmpty(),
        local.get(0, binaryen.i32),
      ],
      binaryen.i32,
    );
    this.#module.addFunction(name, binaryen.i32, binaryen.i32, [], body);
  }
}

type BulkLength = readonly [operand: string, by: "bytes" | "entries"];
const BULK_LENGTHS: Readonly<Record<string, BulkLength>> = {
  MemoryInit: ["Size", "bytes"],
  MemoryCopy: ["Size", "bytes"],
  MemoryFill: ["Size", "bytes"],
  TableGrow: ["Delta", "entries"],
};

function call(name: string, ...args: number[]): number {
  return (low[`_Binaryen${name}`] as (...args: number[]) => number)(...args);
}

function refused(id: number): MeterError {
  const name = namesById.get(id) ?? "";
  const words =
    REFUSED.find(([pattern]) => pattern.test(name))?.[1] ?? "instructions that are not known here";
  return new MeterError(`the module uses ${words}, which are not allowed`);
}
