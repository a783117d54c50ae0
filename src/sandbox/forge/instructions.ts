/**
 * The instructions that a guest may use, as binaryen names their expressions, and where each keeps its
 * operands. This is the allow-list: an expression that is not here is refused, so a proposal that binaryen
 * learns later stays out until somebody decides what it costs.
 */

/** Operand getters of binaryen's C API: single ones by name, lists as [count, element]. */
export interface Operands {
  single?: readonly string[];
  list?: readonly [count: string, at: string];
}

export const INSTRUCTIONS: Readonly<Record<string, Operands>> = {
  Nop: {},
  Unreachable: {},
  Const: {},
  LocalGet: {},
  GlobalGet: {},
  MemorySize: {},
  TableSize: {},
  DataDrop: {},
  RefNull: {},
  RefFunc: {},
  Block: { list: ["BlockGetNumChildren", "BlockGetChildAt"] },
  If: { single: ["IfGetCondition", "IfGetIfTrue", "IfGetIfFalse"] },
  Loop: { single: ["LoopGetBody"] },
  Break: { single: ["BreakGetValue", "BreakGetCondition"] },
  Switch: { single: ["SwitchGetValue", "SwitchGetCondition"] },
  Call: { list: ["CallGetNumOperands", "CallGetOperandAt"] },
  CallIndirect: {
    single: ["CallIndirectGetTarget"],
    list: ["CallIndirectGetNumOperands", "CallIndirectGetOperandAt"],
  },
  LocalSet: { single: ["LocalSetGetValue"] },
  GlobalSet: { single: ["GlobalSetGetValue"] },
  Load: { single: ["LoadGetPtr"] },
  Store: { single: ["StoreGetPtr", "StoreGetValue"] },
  Unary: { single: ["UnaryGetValue"] },
  Binary: { single: ["BinaryGetLeft", "BinaryGetRight"] },
  Select: { single: ["SelectGetIfTrue", "SelectGetIfFalse", "SelectGetCondition"] },
  Drop: { single: ["DropGetValue"] },
  Return: { single: ["ReturnGetValue"] },
  MemoryGrow: { single: ["MemoryGrowGetDelta"] },
  MemoryInit: { single: ["MemoryInitGetDest", "MemoryInitGetOffset", "MemoryInitGetSize"] },
  MemoryCopy: { single: ["MemoryCopyGetDest", "MemoryCopyGetSource", "MemoryCopyGetSize"] },
  MemoryFill: { single: ["MemoryFillGetDest", "MemoryFillGetValue", "MemoryFillGetSize"] },
  RefIsNull: { single: ["RefIsNullGetValue"] },
  TableGet: { single: ["TableGetGetIndex"] },
  TableSet: { single: ["TableSetGetIndex", "TableSetGetValue"] },
  TableGrow: { single: ["TableGrowGetValue", "TableGrowGetDelta"] },
  TupleMake: { list: ["TupleMakeGetNumOperands", "TupleMakeGetOperandAt"] },
  TupleExtract: { single: ["TupleExtractGetTuple"] },
  SIMDExtract: { single: ["SIMDExtractGetVec"] },
  SIMDReplace: { single: ["SIMDReplaceGetVec", "SIMDReplaceGetValue"] },
  SIMDShuffle: { single: ["SIMDShuffleGetLeft", "SIMDShuffleGetRight"] },
  SIMDTernary: { single: ["SIMDTernaryGetA", "SIMDTernaryGetB", "SIMDTernaryGetC"] },
  SIMDShift: { single: ["SIMDShiftGetVec", "SIMDShiftGetShift"] },
  SIMDLoad: { single: ["SIMDLoadGetPtr"] },
  SIMDLoadStoreLane: { single: ["SIMDLoadStoreLaneGetPtr", "SIMDLoadStoreLaneGetVec"] },
};

/** What an author calls the expressions that are refused. */
export const REFUSED: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/^Atomic|^Pause$/, "atomic instructions (threads)"],
  [
    /^(TableFill|TableCopy|TableInit|ElemDrop)$/,
    "bulk table instructions (table.fill, table.copy, table.init, elem.drop)",
  ],
  [/^(Try|TryTable|Throw|Rethrow|ThrowRef|Pop)$/, "exceptions"],
  [
    /^(Array|Struct|I31|RefI31|RefTest|RefCast|RefEq|RefAs|BrOn|RefGetDesc)/,
    "garbage collection instructions",
  ],
  [/^CallRef$/, "typed function references"],
  [/^String/, "string instructions"],
  [/^(Cont|Suspend|Resume|Stack|Waitqueue)/, "stack switching"],
  [/^WideInt/, "wide arithmetic"],
];
