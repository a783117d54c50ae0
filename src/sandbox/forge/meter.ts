/**
 * Fuel metering: rewrites a module's bytes so that it counts down a fuel counter and traps when that is used up.
 *
 * Each function entry and each loop header subtracts the static cost of the code that follows it: there is no
 * other way to run code twice. Code that may be passed over (the arms of an `if`, what stands behind a block's end
 * or a conditional branch) pays for itself where it starts, unless it is so short that it is paid for ahead: Go's
 * compiler makes one loop around every function, of which each round runs a part. Whether anything is left is looked
 * at where code can run again; between two such places a guest overdraws by one way through a function at most, and
 * a call that ends so is a failure like any other (wasm/run.ts). An instruction whose work grows
 * with an operand (memory.fill, copy and init, table.fill, copy, init and grow) pays by that operand before it
 * runs: the length is always the topmost one, so a call that takes it, charges for it and hands it back fits
 * directly in front. The same module and input use the same fuel on every machine.
 *
 * The counter is a global that is added behind the guest's own, and the charging functions stand behind the
 * guest's own: the module as uploaded was valid, so no instruction of the guest names either. A trap cannot be
 * caught by the guest, so running out cannot be ignored. All else stays as the author's compiler wrote it.
 */
import { FUEL_EXPORT, MEMORY_EXPORT } from "../wasm/abi.ts";
import { Reader, ShapeError, signed, unsigned, Writer } from "./binary.ts";
import { type Feature, Instructions, OP, RefusedInstruction } from "./instructions.ts";
import { readLimits, SECTION, sections } from "./module-shape.ts";

/** Units of fuel. One unit is about one instruction. */
const COST = {
  /** Crossing into the host and back, which V8 does in 20 to 50 ns. */
  hostCall: 50,
  /** A signature check and a jump; the table may hold an imported function. */
  indirectCall: 10,
  memoryGrow: 1000,
  /** Before the entries are counted: V8 leaves compiled code for it. */
  tableGrow: 100,
  /** Before the length of a bulk instruction is counted. */
  bulk: 10,
  /** A local of a called function, which V8 sets to zero. */
  localsPerUnit: 4,
} as const;

/** Bytes that a bulk memory instruction moves for one unit, as a power of two. */
const BYTES_SHIFT = 3;
/** Units for one entry of a table, as a power of two: V8 takes 10 ns to write one. */
const ENTRY_SHIFT = 4;

/** How an instruction's length operand is paid for. */
export const LENGTH_PAID: ReadonlyMap<number, "bytes" | "entries"> = new Map([
  [OP.memoryInit, "bytes"],
  [OP.memoryCopy, "bytes"],
  [OP.memoryFill, "bytes"],
  [OP.tableInit, "entries"],
  [OP.tableCopy, "entries"],
  [OP.tableFill, "entries"],
  [OP.tableGrow, "entries"],
]);

export interface MeterLimits {
  memoryPages: number;
  tableEntries: number;
  startFuel: number;
}

/** What stands in the code of a module. */
export interface CodeOutline {
  features: Feature[];
  /** Names of proposals whose instructions are used and not allowed. */
  refused: string[];
}

/** Looks through all code of a valid module. */
export function readCode(bytes: Uint8Array): CodeOutline {
  const features = new Set<Feature>();
  const refused = new Set<string>();
  for (const { id, start, end } of sections(bytes)) {
    if (id !== SECTION.code) continue;
    for (const body of bodies(bytes, start, end)) {
      const instructions = new Instructions(new Reader(bytes, body.code, body.end), features);
      try {
        while (!instructions.reader.done) instructions.next();
      } catch (error) {
        // What follows a refused instruction cannot be read, the next function can.
        if (!(error instanceof RefusedInstruction)) throw error;
        refused.add(error.words);
      }
    }
  }
  return { features: [...features].sort(), refused: [...refused] };
}

export interface FunctionBody {
  /** Where its declaration of locals starts. */
  start: number;
  /** Where its first instruction starts. */
  code: number;
  end: number;
  locals: number;
}

/** The function bodies of a code section. */
export function* bodies(bytes: Uint8Array, start: number, end: number): Generator<FunctionBody> {
  const reader = new Reader(bytes, start, end);
  for (let n = reader.count("function bodies"); n > 0; n--) {
    const size = reader.unsigned();
    const body: FunctionBody = { start: reader.at, code: 0, end: reader.at + size, locals: 0 };
    for (let groups = reader.count("groups of locals"); groups > 0; groups--) {
      body.locals += reader.unsigned();
      reader.skip(1);
    }
    body.code = reader.at;
    if (body.end < body.code) throw new ShapeError("a function body is shorter than its locals");
    reader.skip(body.end - body.code);
    yield body;
  }
}

/** What metering has to know of a module before it rewrites its code. */
interface Counts {
  types: number;
  importedFunctions: number;
  functions: number;
  globals: number;
  hasMemory: boolean;
}

/**
 * Returns the metered module, without custom sections and with every memory and table limited to at most the
 * given maximum: V8 enforces a declared maximum, so that is a hard limit. The module must be valid and keep the
 * rules of admission.
 */
export function meterModule(bytes: Uint8Array, limits: MeterLimits): Uint8Array {
  const counts = count(bytes);
  const meter = new Meter(bytes, counts);
  const code = meter.code();
  const out = new Writer(bytes.length + bytes.length / 2);
  out.bytes(bytes.subarray(0, 8));
  let hasGlobals = false;
  for (const { id, start, end, header } of sections(bytes)) {
    // The one section that may be missing and is needed; these are all that stand behind it.
    if (!hasGlobals && BEHIND_GLOBALS.has(id)) {
      out.section(SECTION.global, concat(unsigned(1), fuelGlobal(limits.startFuel)));
      hasGlobals = true;
    }
    switch (id) {
      case SECTION.custom:
        break;
      case SECTION.type:
        out.section(id, longer(bytes, start, end, meter.types()));
        break;
      case SECTION.function:
        out.section(id, longer(bytes, start, end, meter.functions()));
        break;
      case SECTION.table:
        out.section(id, clamped(bytes, start, end, "table", limits.tableEntries));
        break;
      case SECTION.memory:
        out.section(id, clamped(bytes, start, end, "memory", limits.memoryPages));
        break;
      case SECTION.global:
        out.section(id, longer(bytes, start, end, [fuelGlobal(limits.startFuel)]));
        hasGlobals = true;
        break;
      case SECTION.export:
        out.section(id, longer(bytes, start, end, exportsOf(counts)));
        break;
      case SECTION.code:
        out.section(id, code);
        break;
      default:
        out.bytes(bytes.subarray(header, end));
    }
  }
  return out.written.slice();
}

const BEHIND_GLOBALS = new Set<number>([
  SECTION.export,
  SECTION.start,
  SECTION.element,
  SECTION.dataCount,
  SECTION.code,
  SECTION.data,
]);

function count(bytes: Uint8Array): Counts {
  const counts: Counts = { types: 0, importedFunctions: 0, functions: 0, globals: 0, hasMemory: false };
  for (const { id, start, end } of sections(bytes)) {
    const reader = new Reader(bytes, start, end);
    switch (id) {
      case SECTION.type:
        counts.types = reader.count("types");
        break;
      case SECTION.import:
        // Admission lets nothing be imported but functions.
        counts.importedFunctions = reader.count("imports");
        break;
      case SECTION.function:
        counts.functions = reader.count("functions");
        break;
      case SECTION.memory:
        counts.hasMemory = reader.count("memories") > 0;
        break;
      case SECTION.global:
        counts.globals = reader.count("globals");
        break;
    }
  }
  return counts;
}

/**
 * Code that is entered at one place. Whoever gets there came through the region that it is nested in or follows
 * (`parent`), and not more often than once for each time that one was entered, a loop's own region excepted.
 */
interface Region {
  /** Where it starts, which is where it pays. */
  readonly at: number;
  cost: number;
  /** The part of `cost` that is paid for regions that may not be entered. */
  ahead: number;
  readonly parent: Region | null;
  /** A function's or a loop's, whose code runs again: only these always pay, and only these look what is left. */
  readonly again: boolean;
  pays: boolean;
}

/** Regions of less than this are paid for by their parent, as long as that does not pay too much ahead. */
const SHORT = 40;
const MOST_AHEAD = 160;

/** Decides where it is paid. Parents stand before their children. */
function payAhead(regions: readonly Region[]): void {
  for (let i = regions.length - 1; i > 0; i--) {
    const region = regions[i] as Region;
    if (region.pays || region.cost === 0) continue;
    const parent = region.parent as Region;
    if (region.cost >= SHORT || parent.ahead + region.cost > MOST_AHEAD) {
      region.pays = true;
      continue;
    }
    parent.cost += region.cost;
    parent.ahead += region.cost;
  }
}

class Meter {
  readonly #bytes: Uint8Array;
  readonly #counts: Counts;
  /** `global.get fuel`, `global.set fuel`. */
  readonly #get: number[];
  readonly #set: number[];
  /** Charging functions in the order of their indexes. */
  readonly #charges: ("bytes" | "entries")[] = [];

  constructor(bytes: Uint8Array, counts: Counts) {
    this.#bytes = bytes;
    this.#counts = counts;
    this.#get = [OP.globalGet, ...unsigned(counts.globals)];
    this.#set = [OP.globalSet, ...unsigned(counts.globals)];
  }

  /** The content of the metered code section. */
  code(): Uint8Array {
    const out = new Writer(this.#bytes.length);
    const one = new Writer(64 * 1024);
    for (const { id, start, end } of sections(this.#bytes)) {
      if (id !== SECTION.code) continue;
      for (const body of bodies(this.#bytes, start, end)) {
        one.clear();
        this.#function(body, one);
        out.unsigned(one.length);
        out.bytes(one.written);
      }
    }
    for (const by of this.#charges) {
      const helper = this.#charging(by);
      out.unsigned(helper.length);
      out.bytes(helper);
    }
    return concat(unsigned(this.#counts.functions + this.#charges.length), out.written);
  }

  /** The type of the charging functions, if there are any. */
  types(): number[][] {
    return this.#charges.length > 0 ? [[0x60, 1, 0x7f, 1, 0x7f]] : [];
  }

  functions(): number[][] {
    return this.#charges.map(() => unsigned(this.#counts.types));
  }

  #function(body: FunctionBody, out: Writer): void {
    const bytes = this.#bytes;
    const instructions = new Instructions(new Reader(bytes, body.code, body.end));
    const own: Region = {
      at: body.code,
      cost: 1 + Math.ceil(body.locals / COST.localsPerUnit),
      ahead: 0,
      parent: null,
      again: true,
      pays: true,
    };
    const regions = [own];
    const charges: { at: number; helper: number }[] = [];
    /** The region in which each open block was opened, outermost first: a module may nest 200,000 of them. */
    const outer: Region[] = [];
    let region = own;
    const enter = (parent: Region, again: boolean): void => {
      region = { at: instructions.reader.at, cost: again ? 1 : 0, ahead: 0, parent, again, pays: again };
      regions.push(region);
    };
    while (!instructions.reader.done) {
      const op = instructions.next();
      region.cost += this.#cost(op, instructions.index);
      switch (op) {
        case OP.block:
          outer.push(region);
          break;
        case OP.loop:
        case OP.if:
          outer.push(region);
          enter(region, op === OP.loop);
          break;
        case OP.else:
          enter(outer[outer.length - 1] as Region, false);
          break;
        case OP.end: {
          const opened = outer.pop();
          if (opened !== undefined) enter(opened, false);
          break;
        }
        case OP.brIf:
          enter(region, false);
          break;
        default: {
          const by = LENGTH_PAID.get(op);
          if (by !== undefined) charges.push({ at: instructions.start, helper: this.#chargeIndex(by) });
        }
      }
    }
    payAhead(regions);
    out.bytes(bytes.subarray(body.start, body.code));
    let from = body.code;
    let nextCharge = 0;
    const copyTo = (at: number): void => {
      for (; (charges[nextCharge]?.at ?? Infinity) < at; nextCharge++) {
        const charge = charges[nextCharge] as (typeof charges)[number];
        out.bytes(bytes.subarray(from, charge.at));
        out.bytes([OP.call, ...unsigned(charge.helper)]);
        from = charge.at;
      }
      out.bytes(bytes.subarray(from, at));
      from = at;
    };
    for (const { at, cost, pays, again } of regions) {
      if (!pays) continue;
      copyTo(at);
      out.bytes(this.#pay(cost));
      if (again) out.bytes(this.#stopWhenEmpty());
    }
    copyTo(body.end);
  }

  #cost(op: number, index: number): number {
    switch (op) {
      case OP.end:
      case OP.else:
        return 0;
      case OP.call:
        return index < this.#counts.importedFunctions ? COST.hostCall : 1;
      case OP.callIndirect:
        return COST.indirectCall;
      case OP.memoryGrow:
        return COST.memoryGrow;
      case OP.tableGrow:
        return COST.tableGrow;
      default:
        return LENGTH_PAID.has(op) ? COST.bulk : 1;
    }
  }

  #chargeIndex(by: "bytes" | "entries"): number {
    let at = this.#charges.indexOf(by);
    if (at < 0) at = this.#charges.push(by) - 1;
    return this.#counts.importedFunctions + this.#counts.functions + at;
  }

  /** `fuel -= cost` */
  #pay(cost: number): number[] {
    return [...this.#get, I64_CONST, ...signed(cost), I64_SUB, ...this.#set];
  }

  /** `if (fuel < 0) unreachable` */
  #stopWhenEmpty(): number[] {
    return [...this.#get, I64_CONST, 0, I64_LT_S, OP.if, EMPTY, UNREACHABLE, OP.end];
  }

  /** The body of a function that takes a length, charges for it and returns it. */
  #charging(by: "bytes" | "entries"): number[] {
    const units =
      by === "bytes"
        ? [I32_CONST, BYTES_SHIFT, I32_SHR_U, I64_EXTEND_I32_U]
        : [I64_EXTEND_I32_U, I64_CONST, ENTRY_SHIFT, I64_SHL];
    return [
      0, // no locals
      ...[...this.#get, LOCAL_GET, 0, ...units, I64_SUB, ...this.#set],
      ...this.#stopWhenEmpty(),
      ...[LOCAL_GET, 0, OP.end],
    ];
  }
}

const UNREACHABLE = 0x00;
const LOCAL_GET = 0x20;
const EMPTY = 0x40;
const I32_CONST = 0x41;
const I64_CONST = 0x42;
const I64_LT_S = 0x53;
const I32_SHR_U = 0x76;
const I64_SUB = 0x7d;
const I64_SHL = 0x86;
const I64_EXTEND_I32_U = 0xad;

function fuelGlobal(startFuel: number): number[] {
  return [0x7e, 1, I64_CONST, ...signed(startFuel), OP.end];
}

function exportsOf({ globals, hasMemory }: Counts): number[][] {
  const name = (text: string): number[] => [text.length, ...new TextEncoder().encode(text)];
  const fuel = [...name(FUEL_EXPORT), 3, ...unsigned(globals)];
  return hasMemory ? [fuel, [...name(MEMORY_EXPORT), 2, 0]] : [fuel];
}

/** A section that is a list, with more entries at its end. */
function longer(bytes: Uint8Array, start: number, end: number, more: number[][]): Uint8Array {
  const reader = new Reader(bytes, start, end);
  const entries = reader.count("entries");
  return concat(unsigned(entries + more.length), bytes.subarray(reader.at, end), ...more);
}

function clamped(
  bytes: Uint8Array,
  start: number,
  end: number,
  what: "memory" | "table",
  ceiling: number,
): Uint8Array {
  const all = readLimits(bytes, start, end, what);
  const entries = all.map(({ type, limits: { min, max } }) => [
    ...(type === null ? [] : [type]),
    ...[1, ...unsigned(min), ...unsigned(Math.min(max ?? ceiling, ceiling))],
  ]);
  return concat(unsigned(all.length), ...entries);
}

function concat(...parts: ArrayLike<number>[]): Uint8Array {
  const out = new Writer(parts.reduce((sum, { length }) => sum + length, 0));
  for (const part of parts) out.bytes(part);
  return out.written;
}
