/**
 * Checks that emitted bytes are metered, by reading them alone: every function entry and every loop header pays,
 * and so does every instruction whose work grows with an operand. Metering is trusted to nobody's memory of how
 * it was done; a module that fails here is a defect of the forge, and is refused.
 */
import { FUEL_EXPORT } from "../wasm/abi.ts";
import { Reader } from "./binary.ts";
import { Instructions, OP } from "./instructions.ts";
import { bodies, LENGTH_PAID } from "./meter.ts";
import { type ModuleShape, SECTION, sections } from "./module-shape.ts";

const I64_CONST = 0x42;
const I64_LT_S = 0x53;
const I64_SUB = 0x7d;
const UNREACHABLE = 0x00;

/** How many places of an emitted module run unpaid. */
export function unmeteredPlaces(bytes: Uint8Array, shape: ModuleShape): number {
  const fuel = shape.exports.find(({ name, kind }) => name === FUEL_EXPORT && kind === "global")?.index;
  if (fuel === undefined) return 1;
  const imported = shape.imports.filter(({ kind }) => kind === "function").length;
  const code = [...sections(bytes)].find(({ id }) => id === SECTION.code);
  if (code === undefined) return 0;
  const all = [...bodies(bytes, code.start, code.end)];
  // The charging functions are the last ones, and the only ones whose payment is no constant.
  let charging = all.length;
  while (charging > 0 && all.length - charging < 2 && isCharging(bytes, all[charging - 1], fuel)) charging--;
  let unmetered = 0;
  for (const body of all.slice(0, charging)) {
    const instructions = new Instructions(new Reader(bytes, body.code, body.end));
    if (!pays(instructions, fuel)) unmetered++;
    let before = { op: -1, index: -1 };
    while (!instructions.reader.done) {
      const op = instructions.next();
      const { index } = instructions;
      if (LENGTH_PAID.has(op) && !(before.op === OP.call && before.index >= imported + charging)) unmetered++;
      before = { op, index };
      if (op === OP.globalSet && index === fuel) unmetered++;
      else if (op === OP.globalGet && index === fuel && !paysOn(instructions, fuel)) unmetered++;
      if (op === OP.loop && !pays(instructions, fuel)) unmetered++;
    }
  }
  return unmetered;
}

/** Reads past `fuel -= constant; if (fuel < 0) unreachable`. False if something else comes next. */
function pays(instructions: Instructions, fuel: number): boolean {
  return (
    expects(instructions, [OP.globalGet], fuel) && paysOn(instructions, fuel) && stops(instructions, fuel)
  );
}

/** Reads past `fuel -= constant` behind its first instruction. What is paid is not less than nothing. */
function paysOn(instructions: Instructions, fuel: number): boolean {
  const { reader } = instructions;
  if (!expects(instructions, [I64_CONST])) return false;
  const isNegative = ((reader.bytes[reader.at - 1] ?? 0) & 0x40) !== 0;
  return !isNegative && expects(instructions, [I64_SUB]) && expects(instructions, [OP.globalSet], fuel);
}

function stops(instructions: Instructions, fuel: number): boolean {
  return (
    expects(instructions, [OP.globalGet], fuel) &&
    expects(instructions, [I64_CONST, I64_LT_S, OP.if, UNREACHABLE, OP.end])
  );
}

function expects(instructions: Instructions, ops: readonly number[], index?: number): boolean {
  return (
    ops.every((op) => !instructions.reader.done && instructions.next() === op) &&
    (index === undefined || instructions.index === index)
  );
}

const CHARGES: readonly (readonly number[])[] = [
  [0x20, 0xad, I64_CONST, 0x86],
  [0x20, 0x41, 0x76, 0xad],
];

function isCharging(
  bytes: Uint8Array,
  body: { code: number; end: number } | undefined,
  fuel: number,
): boolean {
  if (body === undefined) return false;
  return CHARGES.some((charge) => {
    const instructions = new Instructions(new Reader(bytes, body.code, body.end));
    return (
      expects(instructions, [OP.globalGet], fuel) &&
      expects(instructions, [...charge, I64_SUB]) &&
      expects(instructions, [OP.globalSet], fuel) &&
      stops(instructions, fuel) &&
      expects(instructions, [0x20, OP.end]) &&
      instructions.reader.done
    );
  });
}
