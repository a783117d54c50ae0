/**
 * Fuzzes the forge with good guests of every language whose bytes are changed. Whatever comes, it reaches a verdict;
 * what it admits V8 had accepted, and what it emits is valid, metered at every place, and within its limits.
 */
import { readFile } from "node:fs/promises";
import type { Phase } from "@gatehouse/sdk";
import { forgeArtifact } from "../../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../../src/sandbox/forge/limits.ts";
import { readShape, sections } from "../../src/sandbox/forge/module-shape.ts";
import { unmeteredPlaces } from "../../src/sandbox/forge/proof.ts";
import { type AbsentGuest, buildGuests } from "../../wasm-plugins/build.ts";
import { answering, assemble } from "../sandbox/wasm/guests.ts";

export interface Seedling {
  name: string;
  bytes: Uint8Array;
  phases: Phase[];
}

/** Good modules: every example guest whose compiler is here, and one that uses what compilers leave out. */
export async function seedlings(): Promise<Seedling[]> {
  const absent: AbsentGuest[] = [];
  const found: Seedling[] = [
    { name: "answering", bytes: assemble(answering('{"vars":{"a":1}}')), phases: ["access"] },
    { name: "everything", bytes: assemble(EVERYTHING), phases: ["access"] },
  ];
  for (const { name, runtime, entry } of await buildGuests(undefined, absent)) {
    if (runtime !== "extism") continue;
    const phases: Phase[] = name === "security-headers" ? ["header_filter"] : ["access"];
    found.push({ name, bytes: new Uint8Array(await readFile(entry)), phases });
  }
  return found;
}

const EVERYTHING = `(module (memory 1) (table $t 9 funcref) (table $e 3 externref) (type $f (func (result i32)))
  (data $d "some bytes") (elem $s func $one $one) (global $g (mut i32) (i32.const 7))
  (func $one (result i32) (i32.const 1))
  (func $start (memory.init $d (i32.const 0) (i32.const 0) (i32.const 5)) (data.drop $d))
  (func $many (param i32 i32) (result i32 i32) (local.get 0) (local.get 1))
  (func (export "access") (result i32) (local $v v128) (local $i i32)
    (table.init $t $s (i32.const 0) (i32.const 0) (i32.const 2)) (elem.drop $s)
    (table.fill $t (i32.const 2) (ref.func $one) (i32.const 3))
    (table.copy $t $t (i32.const 5) (i32.const 0) (i32.const 2))
    (drop (table.grow $e (ref.null extern) (i32.const 1)))
    (memory.copy (i32.const 8) (i32.const 0) (i32.const 8))
    (memory.fill (i32.const 16) (i32.const 1) (i32.const 8))
    (local.set $v (i32x4.splat (i32.trunc_sat_f64_s (f64.const 3.5))))
    (v128.store (i32.const 32) (i8x16.add (local.get $v) (v128.load (i32.const 0))))
    (loop $again
      (block $out (br_table $out $again $out (i32.const 0)))
      (local.set $i (i32.add (local.get $i) (call_indirect $t (type $f) (i32.const 0))))
      (if (i32.lt_s (local.get $i) (i32.const 9)) (then (br $again)) (else (nop))))
    (i32.extend8_s (select (result i32) (local.get $i) (i32.const 0) (i32.const 1)))
    (drop (ref.is_null (ref.null func))) (drop (i64.extend32_s (i64.const 5)))
    (drop (call $many (i32.const 1) (i32.const 2))) (drop))
  (start $start))`;

/** A small repeatable source of numbers (mulberry32). */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A copy with a few bytes changed, cut out or doubled; small changes of numbers stay valid more often. */
function mutate(original: Uint8Array, next: (below: number) => number): Uint8Array {
  // Any section as likely as any other: code and data are nearly all of a guest's bytes.
  const parts = [...sections(original)];
  const part = parts[next(parts.length)] as (typeof parts)[number];
  const within = () => Math.min(original.length - 1, part.header + next(part.end - part.header));
  switch (next(12)) {
    case 0:
      return original.slice(0, next(original.length));
    case 1: {
      const [from, to] = [within(), within()].sort((a, b) => a - b) as [number, number];
      return Buffer.concat([original.subarray(0, from), original.subarray(to)]);
    }
    case 2:
      return Buffer.concat([original.subarray(0, part.end), original.subarray(part.header)]);
    default: {
      const bytes = original.slice();
      for (let changes = 1 + next(3); changes > 0; changes--) {
        const at = within();
        bytes[at] = next(3) === 0 ? next(256) : ((bytes[at] as number) + (next(2) === 0 ? 1 : 255)) & 255;
      }
      return bytes;
    }
  }
}

/** What is wrong with the forge's verdict on some bytes; null if nothing is. */
export async function faultOf(bytes: Uint8Array, phases: Phase[]): Promise<string | null | "admitted"> {
  const limits = DEFAULT_FORGE_LIMITS;
  const result = await forgeArtifact(bytes, "extism", phases, limits);
  if (!result.ok) {
    const said = result.reasons.length > 0 && result.reasons.every((reason) => reason.length > 0);
    if (!said) return "it was refused without a reason";
    // A good module made worse is the author's fault, never the forge's own.
    const own = result.reasons.find((reason) => /^the metered module (has unclear|runs|is not)/.test(reason));
    return own === undefined ? null : `the forge blames itself: ${own}`;
  }
  if (!WebAssembly.validate(bytes)) return "V8 refuses what was admitted";
  if (!WebAssembly.validate(result.emitted)) return "V8 refuses what was emitted";
  const shape = readShape(result.emitted);
  if (unmeteredPlaces(result.emitted, shape) > 0) return "something runs unmetered";
  for (const { max } of shape.memories)
    if ((max ?? Infinity) > limits.memoryPages) return "memory is not limited";
  for (const { max } of shape.tables)
    if ((max ?? Infinity) > limits.tableEntries) return "a table is not limited";
  if (shape.customBytes > 0) return "custom sections are left";
  return "admitted";
}

/** Changes `seedling` so many times. Returns what went wrong, with the seed that finds it again, or how many were admitted. */
export async function fuzzForge(seedling: Seedling, seed: number, times: number): Promise<string | number> {
  let admitted = 0;
  for (let i = 0; i < times; i++) {
    const bytes = mutate(seedling.bytes, random(seed + i));
    const at = `${seedling.name}, seed ${seed + i}`;
    try {
      const fault = await faultOf(bytes, seedling.phases);
      if (fault === "admitted") admitted++;
      else if (fault !== null) return `${at}: ${fault}`;
    } catch (error) {
      return `${at}: the forge threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    }
  }
  return admitted;
}
