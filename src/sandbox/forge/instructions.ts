/**
 * The instructions that a guest may use, as the binary format encodes them. This is the allow-list: an opcode
 * that is not here is refused by the name of its proposal, so what V8 learns later stays out until somebody
 * decides what it costs.
 *
 * Allowed is WebAssembly 2.0 (with bulk memory and table instructions, reference types, SIMD, multiple values,
 * sign extension and saturating conversions). Refused are threads (a guest shares memory with nobody), memory64
 * and several memories (one bound holds one memory), garbage collection, typed function references and stack
 * switching (memory and control that no bound here counts), exceptions and tail calls (no toolchain needs them
 * for a guest), and relaxed SIMD (results that differ between machines).
 */
import { type Reader, ShapeError } from "./binary.ts";

export const OP = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  brIf: 0x0d,
  call: 0x10,
  callIndirect: 0x11,
  globalGet: 0x23,
  globalSet: 0x24,
  memoryGrow: 0x40,
  memoryInit: 0xfc08,
  memoryCopy: 0xfc0a,
  memoryFill: 0xfc0b,
  tableInit: 0xfc0c,
  tableCopy: 0xfc0e,
  tableGrow: 0xfc0f,
  tableFill: 0xfc11,
} as const;

/** What an instruction carries behind its opcode. */
type Immediate =
  | "none"
  | "index"
  | "two indexes"
  | "block type"
  | "branch table"
  | "value types"
  | "address"
  | "i32"
  | "i64"
  | "f32"
  | "f64"
  | "reference type"
  | "lane"
  | "address and lane"
  | "sixteen bytes";

const VALUE_TYPES = new Set([0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f]);

/** By opcode; prefixed ones as prefix * 256 + number. */
const IMMEDIATES = new Map<number, Immediate>();
/** Features beyond WebAssembly 1.0, by opcode: what a report lists. */
const FEATURES = new Map<number, Feature>();

export type Feature =
  | "bulk-memory"
  | "bulk-table"
  | "reference-types"
  | "simd"
  | "sign-extension"
  | "saturating-float-to-int"
  | "multi-value";

function allow(from: number, to: number, immediate: Immediate, feature?: Feature): void {
  for (let op = from; op <= to; op++) {
    IMMEDIATES.set(op, immediate);
    if (feature !== undefined) FEATURES.set(op, feature);
  }
}

allow(0x00, 0x01, "none"); // unreachable, nop
allow(0x02, 0x04, "block type"); // block, loop, if
allow(0x05, 0x05, "none"); // else
allow(0x0b, 0x0b, "none"); // end
allow(0x0c, 0x0d, "index"); // br, br_if
allow(0x0e, 0x0e, "branch table");
allow(0x0f, 0x0f, "none"); // return
allow(0x10, 0x10, "index"); // call
allow(0x11, 0x11, "two indexes"); // call_indirect
allow(0x1a, 0x1b, "none"); // drop, select
allow(0x1c, 0x1c, "value types", "reference-types"); // select t
allow(0x20, 0x24, "index"); // local.get to global.set
allow(0x25, 0x26, "index", "reference-types"); // table.get, table.set
allow(0x28, 0x3e, "address"); // loads and stores
allow(0x3f, 0x40, "index"); // memory.size, memory.grow
allow(0x41, 0x41, "i32");
allow(0x42, 0x42, "i64");
allow(0x43, 0x43, "f32");
allow(0x44, 0x44, "f64");
allow(0x45, 0xbf, "none"); // comparisons, arithmetic, conversions
allow(0xc0, 0xc4, "none", "sign-extension");
allow(0xd0, 0xd0, "reference type", "reference-types"); // ref.null
allow(0xd1, 0xd1, "none", "reference-types"); // ref.is_null
allow(0xd2, 0xd2, "index", "reference-types"); // ref.func
allow(0xfc00, 0xfc07, "none", "saturating-float-to-int");
allow(0xfc08, 0xfc08, "two indexes", "bulk-memory"); // memory.init
allow(0xfc09, 0xfc09, "index", "bulk-memory"); // data.drop
allow(0xfc0a, 0xfc0a, "two indexes", "bulk-memory"); // memory.copy
allow(0xfc0b, 0xfc0b, "index", "bulk-memory"); // memory.fill
allow(0xfc0c, 0xfc0c, "two indexes", "bulk-table"); // table.init
allow(0xfc0d, 0xfc0d, "index", "bulk-table"); // elem.drop
allow(0xfc0e, 0xfc0e, "two indexes", "bulk-table"); // table.copy
allow(0xfc0f, 0xfc10, "index", "reference-types"); // table.grow, table.size
allow(0xfc11, 0xfc11, "index", "bulk-table"); // table.fill
allow(0xfd00, 0xfd0b, "address", "simd"); // loads, splats from memory, v128.store
allow(0xfd0c, 0xfd0d, "sixteen bytes", "simd"); // v128.const, i8x16.shuffle
allow(0xfd0e, 0xfd14, "none", "simd");
allow(0xfd15, 0xfd22, "lane", "simd"); // extract and replace lanes
allow(0xfd23, 0xfd53, "none", "simd");
allow(0xfd54, 0xfd5b, "address and lane", "simd");
allow(0xfd5c, 0xfd5d, "address", "simd"); // load with zeros
allow(0xfd5e, 0xfdff, "none", "simd");

/** What an author calls the instructions that are refused. */
const REFUSED: readonly (readonly [from: number, to: number, words: string])[] = [
  [0x06, 0x0a, "exceptions"],
  [0x12, 0x13, "tail calls"],
  [0x14, 0x15, "typed function references"],
  [0x18, 0x1f, "exceptions"],
  [0xd3, 0xd3, "garbage collection"],
  [0xd4, 0xd6, "typed function references"],
  [0xe0, 0xe6, "stack switching"],
  [0xfb00, 0xfbff, "garbage collection"],
  [0xfc13, 0xfc16, "wide arithmetic"],
  [0xfd00, 0xfdff, "relaxed SIMD, whose results differ between machines"],
  [0xfe00, 0xfeff, "threads (atomic instructions)"],
];

/** An instruction that is refused. Nothing is known of what follows it in its function. */
export class RefusedInstruction extends ShapeError {
  /** The name of its proposal. */
  readonly words: string;
  constructor(words: string) {
    super(`the module uses ${words}, which is not allowed`);
    this.words = words;
  }
}

/** Steps through the instructions of one function body or constant expression. */
export class Instructions {
  readonly reader: Reader;
  readonly #features: Set<Feature> | null;
  /** Where the last instruction starts. */
  start = 0;
  /** The last instruction's first index, for those that carry one. */
  index = 0;

  constructor(reader: Reader, features: Set<Feature> | null = null) {
    this.reader = reader;
    this.#features = features;
  }

  /** Reads one instruction and returns its opcode. Throws ShapeError for one that is refused or cut off. */
  next(): number {
    const { reader } = this;
    this.start = reader.at;
    let op = reader.byte();
    if (op >= 0xfb && op <= 0xfe) {
      const number = reader.unsigned();
      if (number > 0xff)
        throw new RefusedInstruction(
          op === 0xfd ? "relaxed SIMD, whose results differ between machines" : unknown(op),
        );
      op = op * 256 + number;
    }
    const immediate = IMMEDIATES.get(op);
    if (immediate === undefined) throw new RefusedInstruction(refusedWords(op));
    if (immediate !== "none") this.#immediate(immediate);
    if (this.#features !== null) {
      const feature = FEATURES.get(op);
      if (feature !== undefined) this.#features.add(feature);
    }
    return op;
  }

  #immediate(kind: Immediate): void {
    const { reader } = this;
    switch (kind) {
      case "index":
        this.index = reader.unsigned();
        return;
      case "two indexes":
        this.index = reader.unsigned();
        reader.unsigned();
        return;
      case "block type":
        this.#blockType();
        return;
      case "branch table":
        for (let n = reader.count("branches of one br_table"); n >= 0; n--) reader.skipNumber(32);
        return;
      case "value types":
        for (let n = reader.count("types of one select"); n > 0; n--) valueType(reader.byte());
        return;
      case "address":
        this.#address();
        return;
      case "i32":
        reader.skipNumber(32);
        return;
      case "i64":
        reader.skipNumber(64);
        return;
      case "f32":
        reader.skip(4);
        return;
      case "f64":
        reader.skip(8);
        return;
      case "reference type": {
        // The null of no function and the null of nothing external: what optimizers write for the two.
        const type = reader.byte();
        if (type !== 0x73 && type !== 0x72) valueType(type);
        return;
      }
      case "lane":
        reader.skip(1);
        return;
      case "address and lane":
        this.#address();
        reader.skip(1);
        return;
      case "sixteen bytes":
        reader.skip(16);
        return;
    }
  }

  #address(): void {
    const { reader } = this;
    // From 64 on the alignment says that the index of a memory follows.
    if (reader.unsigned() >= 64) throw new RefusedInstruction("several memories");
    reader.skipNumber(32);
  }

  #blockType(): void {
    const { reader } = this;
    const first = reader.bytes[reader.at] ?? 0;
    if (first === 0x40 || VALUE_TYPES.has(first)) {
      reader.skip(1);
      return;
    }
    // Negative numbers of one byte are types; all that are left belong to proposals.
    if (first >= 0x40 && first < 0x80) valueType(first);
    reader.skipNumber(33);
    this.#features?.add("multi-value");
  }
}

function valueType(byte: number): void {
  if (VALUE_TYPES.has(byte)) return;
  if (byte === 0x69 || byte === 0x74) throw new RefusedInstruction("exceptions");
  throw new RefusedInstruction("garbage collection or typed function references");
}

function refusedWords(op: number): string {
  return REFUSED.find(([from, to]) => op >= from && op <= to)?.[2] ?? unknown(op);
}

function unknown(op: number): string {
  return `an instruction that is not known here (0x${op.toString(16)})`;
}
