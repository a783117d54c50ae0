/**
 * The rules that an Extism module must keep, checked on its outline: once on what the author uploaded, and
 * again on what metering emitted. Every reason tells the author what is wrong and what is allowed.
 */
import type { Phase } from "@gatehouse/sdk";
import {
  COMMAND_EXPORT,
  FUEL_EXPORT,
  INITIALIZE_EXPORT,
  INITIALIZE_SIGNATURE,
  importSignature,
  KERNEL_MODULE,
  MEMORY_EXPORT,
  PHASE_SIGNATURE,
  RESERVED_PREFIX,
  USER_FUNCTIONS,
  USER_MODULE,
  WASI_MODULE,
} from "../wasm/abi.ts";
import type { ForgeLimits } from "./limits.ts";
import type { ImportShape, ModuleShape } from "./module-shape.ts";

/** Enough for an author to work with; a module with 10,000 wrong imports need not be told of each. */
const MAX_REASONS = 20;

/**
 * Everything that is wrong with an uploaded module; empty if it may be metered. `refused` are the proposals that
 * its code uses and that are not allowed.
 */
export function uploadedReasons(
  shape: ModuleShape,
  refused: readonly string[],
  phases: readonly Phase[],
  limits: ForgeLimits,
): string[] {
  const reasons = commonReasons(shape, phases, limits);
  for (const proposal of new Set([...shape.refused, ...refused]))
    reasons.push(`the module uses ${proposal}, which is not allowed`);
  for (const { name } of shape.exports)
    if (name.startsWith(RESERVED_PREFIX))
      reasons.push(
        `exports ${quote(name)}: names that start with '${RESERVED_PREFIX}' are the gateway's own`,
      );
  return reasons.slice(0, MAX_REASONS);
}

/** The same for an emitted module, which must also carry what the engine needs and clamped maxima. */
export function emittedReasons(shape: ModuleShape, phases: readonly Phase[], limits: ForgeLimits): string[] {
  const reasons = commonReasons(shape, phases, limits);
  const own = shape.exports.filter(({ name }) => name.startsWith(RESERVED_PREFIX));
  const expected = shape.memories.length > 0 ? 2 : 1;
  if (own.length !== expected || !own.some((e) => e.name === FUEL_EXPORT && e.kind === "global"))
    reasons.push("metering did not add the fuel counter");
  if (shape.memories.length > 0 && !own.some((e) => e.name === MEMORY_EXPORT && e.kind === "memory"))
    reasons.push("metering did not export the memory");
  for (const { max } of shape.memories)
    if (max === null || max > limits.memoryPages) reasons.push("metering did not limit the memory");
  for (const { max } of shape.tables)
    if (max === null || max > limits.tableEntries) reasons.push("metering did not limit a table");
  if (shape.customSections.length > 0) reasons.push("metering left custom sections in place");
  return reasons.slice(0, MAX_REASONS);
}

function commonReasons(shape: ModuleShape, phases: readonly Phase[], limits: ForgeLimits): string[] {
  const reasons: string[] = [];
  const atMost = (count: number, limit: number, what: string): void => {
    if (count > limit) reasons.push(`has ${count} ${what}; at most ${limit} are allowed`);
  };
  atMost(shape.functions, limits.functions, "functions");
  atMost(shape.types, limits.items, "types");
  atMost(shape.globals, limits.items, "globals");
  atMost(shape.imports.length, limits.items, "imports");
  atMost(shape.exports.length, limits.items, "exports");
  atMost(shape.dataBytes, limits.dataBytes, "bytes of data segments");
  atMost(shape.elementBytes, limits.elementBytes, "bytes of element segments");
  atMost(shape.locals, limits.locals, "locals in one function");
  atMost(shape.memories.length, 1, "memories");
  for (const { min } of shape.memories)
    if (min > limits.memoryPages)
      reasons.push(
        `starts with a memory of ${min} pages; at most ${limits.memoryPages} (${limits.memoryPages / 16} MiB) are allowed`,
      );
  let entries = 0;
  for (const { min } of shape.tables) entries += min;
  if (entries > limits.tableEntries)
    reasons.push(`starts with ${entries} table entries; at most ${limits.tableEntries} are allowed`);
  atMost(shape.tables.length, 4, "tables");
  for (const item of shape.imports) {
    const reason = importReason(item);
    if (reason !== undefined) reasons.push(reason);
  }
  for (const phase of phases) {
    const found = shape.exports.find(({ name }) => name === phase);
    if (found === undefined)
      reasons.push(`exports no function '${phase}', which the manifest lists among its phases`);
    else if (found.kind !== "function" || found.signature !== PHASE_SIGNATURE)
      reasons.push(`export '${phase}' must be a function without parameters that returns an i32`);
  }
  const initialize = shape.exports.find(({ name }) => name === INITIALIZE_EXPORT);
  if (initialize && (initialize.kind !== "function" || initialize.signature !== INITIALIZE_SIGNATURE))
    reasons.push(`export '${INITIALIZE_EXPORT}' must be a function without parameters and results`);
  if (initialize === undefined && shape.exports.some(({ name }) => name === COMMAND_EXPORT))
    reasons.push(
      `exports '${COMMAND_EXPORT}': it is built as a program that runs once; build a library (Go: -buildmode=c-shared, Rust: crate-type cdylib, C: -mexec-model=reactor)`,
    );
  return reasons;
}

function importReason({ module, name, kind, signature }: ImportShape): string | undefined {
  const what = `imports ${quote(module)}.${quote(name)}`;
  if (kind === "memory" || kind === "table")
    return `${what}: a ${kind} must be the module's own, not imported`;
  if (kind !== "function") return `${what}: only functions may be imported, not a ${kind}`;
  if (/^wasi/.test(module) && module !== WASI_MODULE)
    return `${what}: this version of WASI is not available; preview 1 is (GOOS=wasip1, wasm32-wasip1)`;
  const expected = importSignature(module, name);
  if (expected === undefined && module === USER_MODULE)
    return `${what}: no such host function; '${USER_MODULE}' has ${USER_FUNCTIONS.join(", ")}`;
  if (expected === undefined)
    return `${what}: not available; a guest may import Extism's kernel functions ('${KERNEL_MODULE}'), WASI preview 1 ('${WASI_MODULE}') and what its grants allow ('${USER_MODULE}')`;
  if (signature !== expected)
    return `${what} with the wrong signature ${spell(signature)}; it is ${spell(expected)}`;
  return undefined;
}

const LETTERS: Record<string, string> = {
  i: "i32",
  I: "i64",
  f: "f32",
  F: "f64",
  v: "v128",
  r: "funcref",
  e: "externref",
};

function spell(signature: string): string {
  const [parameters = "", results = ""] = signature.split(">");
  const list = (letters: string): string => `(${[...letters].map((l) => LETTERS[l] ?? "?").join(", ")})`;
  return `${list(parameters)} -> ${list(results)}`;
}

/** A name from a hostile module, fit for a message. */
function quote(name: string): string {
  return `'${name.slice(0, 80).replace(/[^\x20-\x7e]/g, "?")}'`;
}
