/**
 * Reads the outline of a WebAssembly binary: what it imports, exports, declares and how big its parts are.
 *
 * Independent of V8 on purpose: the forge's rules hold for the bytes as this reader sees them, before and after
 * metering, and V8 has to agree with it about imports and exports. It reads the core format (WebAssembly 2.0,
 * chapter 5) and refuses the encodings of every later proposal by name.
 */
import { Reader, ShapeError } from "./binary.ts";

export interface ImportShape {
  module: string;
  name: string;
  kind: "function" | "table" | "memory" | "global" | "tag";
  /** Signature of a function, as in abi.ts; empty for other kinds. */
  signature: string;
}

export interface ExportShape {
  name: string;
  kind: "function" | "table" | "memory" | "global" | "tag";
  index: number;
  signature: string;
}

export interface LimitsShape {
  min: number;
  max: number | null;
}

export interface ModuleShape {
  imports: ImportShape[];
  exports: ExportShape[];
  types: number;
  /** Functions with a body. */
  functions: number;
  globals: number;
  tables: LimitsShape[];
  memories: LimitsShape[];
  hasStart: boolean;
  dataBytes: number;
  elementBytes: number;
  codeBytes: number;
  /** The largest number of locals that one function declares. */
  locals: number;
  /** The names of the first few. */
  customSections: string[];
  customBytes: number;
  /** Proposals that are not allowed and that the outline uses, by the name that toolchains give them. */
  refused: string[];
}

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

/** A module may consist of millions of them. */
const MAX_CUSTOM_NAMES = 32;

const KINDS = ["function", "table", "memory", "global", "tag"] as const;
const VALUE_TYPES: Record<number, string> = {
  127: "i",
  126: "I",
  125: "f",
  124: "F",
  123: "v",
  112: "r",
  111: "e",
};

class ShapeReader extends Reader {
  /** Proposals that the outline uses and that are not allowed; what they declare is passed over. */
  readonly refused: Set<string>;

  constructor(bytes: Uint8Array, at: number, end: number, refused = new Set<string>()) {
    super(bytes, at, end);
    this.refused = refused;
  }

  valueType(): string {
    const byte = this.byte();
    const letter = VALUE_TYPES[byte];
    if (letter === undefined)
      throw new ShapeError(
        "the module uses types of the garbage collection or typed function reference proposals, which are not allowed",
      );
    return letter;
  }

  referenceType(): void {
    const letter = this.valueType();
    if (letter !== "r" && letter !== "e")
      throw new ShapeError("a table holds something that is no reference");
  }

  limits(what: "memory" | "table"): LimitsShape {
    const flags = this.byte();
    if (flags > 7) throw new ShapeError(`the ${what} uses a proposal that is not allowed (flags ${flags})`);
    if (flags & 2) this.refused.add(`shared ${what} (threads)`);
    if (flags & 4) this.refused.add(`a 64-bit ${what} (memory64)`);
    const bits = flags & 4 ? 64 : 32;
    return { min: this.unsigned(bits), max: flags & 1 ? this.unsigned(bits) : null };
  }
}

/** Reads the outline of a module. Throws ShapeError for what it cannot read or does not allow at all. */
export function readShape(bytes: Uint8Array): ModuleShape {
  const shape: ModuleShape = {
    imports: [],
    exports: [],
    types: 0,
    functions: 0,
    globals: 0,
    tables: [],
    memories: [],
    hasStart: false,
    dataBytes: 0,
    elementBytes: 0,
    codeBytes: 0,
    locals: 0,
    customSections: [],
    customBytes: 0,
    refused: [],
  };
  const refused = new Set<string>();
  const signatures: string[] = [];
  /** Type of every function, imported ones first. */
  const functionTypes: number[] = [];
  for (const { id, start, end } of sections(bytes)) {
    const reader = new ShapeReader(bytes, start, end, refused);
    switch (id) {
      case SECTION.custom:
        if (shape.customSections.length < MAX_CUSTOM_NAMES)
          shape.customSections.push(reader.name().slice(0, 64));
        shape.customBytes += end - start;
        break;
      case SECTION.type:
        shape.types = reader.count("types");
        for (let i = 0; i < shape.types; i++) signatures.push(readSignature(reader));
        break;
      case SECTION.import:
        for (let n = reader.count("imports"); n > 0; n--)
          shape.imports.push(readImport(reader, signatures, functionTypes));
        break;
      case SECTION.function:
        shape.functions = reader.count("functions");
        for (let i = 0; i < shape.functions; i++) functionTypes.push(reader.unsigned());
        break;
      case SECTION.table:
        for (let n = reader.count("tables"); n > 0; n--) {
          reader.referenceType();
          shape.tables.push(reader.limits("table"));
        }
        break;
      case SECTION.memory:
        for (let n = reader.count("memories"); n > 0; n--) shape.memories.push(reader.limits("memory"));
        break;
      case SECTION.global:
        shape.globals = reader.count("globals");
        break;
      case SECTION.export:
        for (let n = reader.count("exports"); n > 0; n--)
          shape.exports.push(readExport(reader, signatures, functionTypes));
        break;
      case SECTION.start:
        shape.hasStart = true;
        break;
      case SECTION.element:
        shape.elementBytes = end - start;
        break;
      case SECTION.code:
        shape.codeBytes = end - start;
        shape.locals = mostLocals(reader);
        break;
      case SECTION.data:
        shape.dataBytes = end - start;
        break;
      case SECTION.dataCount:
        break;
      case SECTION.tag:
        refused.add("exceptions");
        break;
      default:
        throw new ShapeError(`the module has a section of an unknown kind (${id})`);
    }
  }
  shape.refused = [...refused];
  return shape;
}

/** The limits of the memories or tables of a section, as `shape` has them, with what stands before each. */
export function readLimits(
  bytes: Uint8Array,
  start: number,
  end: number,
  what: "memory" | "table",
): { type: number | null; limits: LimitsShape }[] {
  const reader = new ShapeReader(bytes, start, end);
  return Array.from({ length: reader.count(what) }, () => ({
    type: what === "table" ? reader.byte() : null,
    limits: reader.limits(what),
  }));
}

/** The sections of a module in their order. `header` is where the section's own head starts. */
export function* sections(
  bytes: Uint8Array,
): Generator<{ id: number; start: number; end: number; header: number }> {
  if (
    bytes.length < 8 ||
    Buffer.from(bytes.buffer, bytes.byteOffset, 8).toString("hex") !== "0061736d01000000"
  )
    throw new ShapeError("the file is no WebAssembly module: it does not start with \\0asm and version 1");
  const reader = new Reader(bytes, 8);
  while (!reader.done) {
    const header = reader.at;
    const id = reader.byte();
    const size = reader.unsigned();
    const start = reader.at;
    reader.skip(size);
    yield { id, start, end: reader.at, header };
  }
}

function readSignature(reader: ShapeReader): string {
  if (reader.byte() !== 0x60)
    throw new ShapeError(
      "the module declares types of the garbage collection proposal, which are not allowed",
    );
  let text = "";
  for (let n = reader.count("parameters"); n > 0; n--) text += reader.valueType();
  text += ">";
  for (let n = reader.count("results"); n > 0; n--) text += reader.valueType();
  return text;
}

function readImport(reader: ShapeReader, signatures: string[], functionTypes: number[]): ImportShape {
  const module = reader.name();
  const name = reader.name();
  const code = reader.byte();
  const kind = KINDS[code];
  let signature = "";
  switch (kind) {
    case "function": {
      const type = reader.unsigned();
      functionTypes.push(type);
      signature = signatures[type] ?? "";
      break;
    }
    case "table":
      reader.referenceType();
      reader.limits("table");
      break;
    case "memory":
      reader.limits("memory");
      break;
    case "global":
      reader.valueType();
      reader.byte();
      break;
    case "tag":
      reader.refused.add("exceptions");
      reader.skip(1);
      reader.unsigned();
      break;
    default:
      throw new ShapeError(`the module imports something of an unknown kind (${code})`);
  }
  return { module, name, kind, signature };
}

function readExport(reader: ShapeReader, signatures: string[], functionTypes: number[]): ExportShape {
  const name = reader.name();
  const code = reader.byte();
  const kind = KINDS[code];
  if (kind === undefined) throw new ShapeError(`the module exports something of an unknown kind (${code})`);
  const index = reader.unsigned();
  const signature = kind === "function" ? (signatures[functionTypes[index] ?? -1] ?? "") : "";
  return { name, kind, index, signature };
}

function mostLocals(reader: ShapeReader): number {
  let most = 0;
  for (let n = reader.count("function bodies"); n > 0; n--) {
    const end = reader.unsigned() + reader.at;
    let locals = 0;
    for (let groups = reader.count("local groups"); groups > 0; groups--) {
      locals += reader.unsigned();
      reader.valueType();
    }
    most = Math.max(most, locals);
    if (end < reader.at) throw new ShapeError("a function body is shorter than its locals");
    reader.skip(end - reader.at);
  }
  return most;
}
