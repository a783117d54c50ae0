/** Every rule that an Extism module must keep, and what its author is told. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import { NO_GRANTS } from "../../../src/sandbox/calls/grants.ts";
import { type ForgeReport, forgeArtifact } from "../../../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS, type ForgeLimits } from "../../../src/sandbox/forge/limits.ts";
import { readShape } from "../../../src/sandbox/forge/module-shape.ts";
import { ungranted } from "../../../src/sandbox/wasm/abi.ts";
import { assemble } from "../wasm/guests.ts";

const OK = '(func (export "access") (result i32) (i32.const 0))';

async function reasonsFor(
  module: string | Uint8Array,
  phases: Phase[] = ["access"],
  limits: Partial<ForgeLimits> = {},
): Promise<string[]> {
  const bytes = typeof module === "string" ? assemble(module) : module;
  const result = await forgeArtifact(bytes, "extism", phases, { ...DEFAULT_FORGE_LIMITS, ...limits });
  return result.ok ? [] : result.reasons;
}

async function accepted(module: string): Promise<{ emitted: Uint8Array; report: ForgeReport }> {
  const result = await forgeArtifact(assemble(module), "extism", ["access"], DEFAULT_FORGE_LIMITS);
  assert.ok(result.ok, result.ok ? "" : result.reasons.join("; "));
  return result;
}

describe("a module is refused with a reason", () => {
  const refusals: [what: string, module: string, reason: RegExp][] = [
    ["no export for a phase", "(module)", /exports no function 'access'/],
    [
      "a phase that takes a parameter",
      '(module (func (export "access") (param i32) (result i32) (i32.const 0)))',
      /must be a function without parameters that returns an i32/,
    ],
    ["a phase without result", '(module (func (export "access")))', /must be a function without parameters/],
    [
      "a phase that is a global",
      '(module (global (export "access") i32 (i32.const 0)))',
      /must be a function without parameters/,
    ],
    [
      "_initialize with a parameter",
      `(module ${OK} (func (export "_initialize") (param i32)))`,
      /'_initialize' must be a function without parameters and results/,
    ],
    [
      "an unknown import",
      `(module (import "env" "system" (func (param i32))) ${OK})`,
      /imports 'env'\.'system': not available/,
    ],
    [
      "another version of WASI",
      `(module (import "wasi:clocks/wall-clock@0.2.0" "now" (func (param i32))) ${OK})`,
      /this version of WASI is not available; preview 1 is/,
    ],
    [
      "a function that WASI does not have",
      `(module (import "wasi_snapshot_preview1" "sock_open" (func (param i32) (result i32))) ${OK})`,
      /imports 'wasi_snapshot_preview1'\.'sock_open': not available/,
    ],
    [
      "a function of WASI with another signature",
      `(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32) (result i32))) ${OK})`,
      /with the wrong signature \(i32, i32\) -> \(i32\); it is \(i32, i32, i32, i32\) -> \(i32\)/,
    ],
    [
      "a program in place of a library",
      `(module (func (export "_start")) ${OK})`,
      /exports '_start': it is built as a program that runs once; build a library/,
    ],
    [
      "a host function that does not exist",
      `(module (import "extism:host/user" "kv_list" (func (param i64) (result i64))) ${OK})`,
      /no such host function; 'extism:host\/user' has kv_get, kv_set, /,
    ],
    [
      "a kernel function that does not exist",
      `(module (import "extism:host/env" "constructor" (func)) ${OK})`,
      /'constructor': not available/,
    ],
    [
      "a kernel function with another signature",
      `(module (import "extism:host/env" "alloc" (func (param i32) (result i32))) ${OK})`,
      /wrong signature \(i32\) -> \(i32\); it is \(i64\) -> \(i64\)/,
    ],
    [
      "an imported memory",
      `(module (import "env" "memory" (memory 1)) ${OK})`,
      /a memory must be the module's own/,
    ],
    [
      "an imported table",
      `(module (import "env" "table" (table 1 funcref)) ${OK})`,
      /a table must be the module's own/,
    ],
    [
      "an imported global",
      `(module (import "gatehouse" "fuel" (global (mut i64))) ${OK})`,
      /only functions may be imported, not a global/,
    ],
    [
      "an export in the gateway's name",
      `(module ${OK} (global (export "gatehouse:fuel") (mut i64) (i64.const 0)))`,
      /names that start with 'gatehouse:' are the gateway's own/,
    ],
    [
      "a large initial memory",
      `(module (memory 513) ${OK})`,
      /starts with a memory of 513 pages; at most 512/,
    ],
    ["the largest memory", `(module (memory 65536) ${OK})`, /starts with a memory of 65536 pages/],
    ["a shared memory", `(module (memory 1 2 shared) ${OK})`, /shared memory \(threads\)/],
    ["a 64-bit memory", `(module (memory i64 1 2) ${OK})`, /64-bit memory \(memory64\)/],
    ["two memories", `(module (memory 1) (memory 1) ${OK})`, /has 2 memories; at most 1|not valid/],
    [
      "a large table",
      `(module (table 32769 funcref) ${OK})`,
      /starts with 32769 table entries; at most 32768/,
    ],
    [
      "tables that are large together",
      `(module ${"(table 20000 funcref)".repeat(2)} ${OK})`,
      /40000 table entries/,
    ],
    [
      "atomic instructions",
      `(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))) ${OK})`,
      /threads|atomic/,
    ],
    ["exceptions", `(module (tag $t) (func (throw $t)) ${OK})`, /exceptions/],
    [
      "garbage-collected types",
      `(module (type $s (struct (field i32))) (func (drop (struct.new $s (i32.const 1)))) ${OK})`,
      /garbage collection/,
    ],
    ["tail calls", `(module (func $f (return_call $f)) ${OK})`, /tail calls/],
    [
      "relaxed SIMD",
      `(module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))) ${OK})`,
      /relaxed SIMD/,
    ],
  ];
  for (const [what, module, reason] of refusals) {
    it(what, async () => {
      const reasons = await reasonsFor(module);
      assert.ok(
        reasons.some((text) => reason.test(text)),
        JSON.stringify(reasons),
      );
    });
  }

  const bounds: [what: string, module: string, limits: Partial<ForgeLimits>, reason: RegExp][] = [
    ["bytes", `(module ${OK})`, { wasmBytes: 20 }, /bytes; at most 20 are allowed/],
    ["functions", `(module (func) (func) ${OK})`, { functions: 2 }, /has 3 functions; at most 2/],
    ["globals", `(module ${"(global i32 (i32.const 0))".repeat(4)} ${OK})`, { items: 3 }, /has 4 globals/],
    [
      "data",
      `(module (memory 1) (data (i32.const 0) "0123456789") ${OK})`,
      { dataBytes: 9 },
      /data segments/,
    ],
    [
      "elements",
      `(module (table 9 funcref) (func $f) (elem (i32.const 0) $f $f $f $f) ${OK})`,
      { elementBytes: 5 },
      /element segments/,
    ],
    [
      "locals",
      `(module (func (local i32 i64 f32 f64)) ${OK})`,
      { locals: 3 },
      /has 4 locals in one function/,
    ],
    ["metered bytes", `(module ${OK})`, { emittedBytes: 40 }, /the metered module has \d+ bytes; at most 40/],
  ];
  for (const [what, module, limits, reason] of bounds) {
    it(`too many ${what}`, async () => {
      const reasons = await reasonsFor(module, ["access"], limits);
      assert.ok(
        reasons.some((text) => reason.test(text)),
        JSON.stringify(reasons),
      );
    });
  }

  it("every reason at once", async () => {
    const reasons = await reasonsFor(`(module (memory 600) (table 40000 funcref) ${OK})`, ["access", "log"]);
    assert.equal(reasons.length, 3);
  });

  const files: [what: string, bytes: Uint8Array, reason: RegExp][] = [
    ["an empty file", new Uint8Array(0), /no WebAssembly module/],
    ["text", new TextEncoder().encode("(module)"), /no WebAssembly module/],
    ["a truncated module", assemble(`(module ${OK})`).subarray(0, 20), /ends in the middle of a section/],
    [
      "a section longer than the file",
      Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 200, 1),
      /middle of a section/,
    ],
    [
      "a forged count",
      Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 255, 255, 255, 255, 15),
      /declares 4294967295 types/,
    ],
    [
      "an unknown section",
      Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 42, 0),
      /section of an unknown kind \(42\)/,
    ],
    [
      "a module that V8 refuses",
      Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 3, 2, 1, 0),
      /not valid WebAssembly/,
    ],
  ];
  for (const [what, bytes, reason] of files) {
    it(what, async () => {
      const reasons = await reasonsFor(bytes);
      assert.match(reasons.join(), reason);
    });
  }

  it("a million functions", async () => {
    const count = [0xc0, 0x84, 0x3d]; // 1,000,000
    const body = [...count, ...new Array<number>(1_000_000).fill(0)];
    const size = leb(body.length);
    const types = [1, 4, 1, 0x60, 0, 0];
    const module = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, ...types, 3, ...size].concat(body));
    assert.match((await reasonsFor(module)).join(), /not valid|functions/);
  });

  it("200,000 nested blocks end in a verdict", async () => {
    const depth = 200_000;
    const blocks = [...new Array(depth).fill([0x02, 0x40]).flat(), ...new Array(depth).fill(0x0b)];
    const code = [0, ...blocks, 0x41, 0, 0x0b];
    const section = [1, ...leb(code.length), ...code];
    const head = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 7, 10, 1, 6];
    const name = [...Buffer.from("access"), 0, 0];
    const module = Uint8Array.from([...head, ...name, 10, ...leb(section.length)].concat(section));
    const result = await forgeArtifact(module, "extism", ["access"], DEFAULT_FORGE_LIMITS);
    if (result.ok) assert.ok(WebAssembly.validate(result.emitted));
    else assert.ok(result.reasons.length > 0);
  });
});

describe("an accepted module", () => {
  it("has its memory limited to the quota, however much it declared", async () => {
    for (const memory of ["(memory 1)", "(memory 1 65536)", "(memory 1 513)"]) {
      const { emitted } = await accepted(`(module ${memory} ${OK})`);
      assert.deepEqual(readShape(emitted).memories, [{ min: 1, max: 512 }]);
    }
  });

  it("keeps a smaller maximum of its own", async () => {
    const { emitted } = await accepted(`(module (memory 1 3) (table 1 7 funcref) ${OK})`);
    assert.deepEqual(readShape(emitted).memories, [{ min: 1, max: 3 }]);
    assert.deepEqual(readShape(emitted).tables, [{ min: 1, max: 7 }]);
  });

  it("has its tables limited to the quota", async () => {
    const { emitted } = await accepted(`(module (table 1 funcref) ${OK})`);
    assert.deepEqual(readShape(emitted).tables, [{ min: 1, max: 32_768 }]);
  });

  it("cannot grow its memory past the quota", async () => {
    const { emitted } = await accepted(
      '(module (memory 1) (func (export "access") (result i32) (memory.grow (i32.const 512))))',
    );
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(emitted), {});
    assert.equal((exports.access as () => number)(), -1);
  });

  it("loses its custom sections", async () => {
    const named = Buffer.concat([assemble(`(module ${OK})`), Uint8Array.of(0, 6, 4, 110, 97, 109, 101, 1)]);
    const result = await forgeArtifact(named, "extism", ["access"], DEFAULT_FORGE_LIMITS);
    assert.ok(result.ok);
    assert.deepEqual(readShape(result.emitted).customSections, []);
    assert.match(result.report.notes.join(), /6 bytes of custom sections/);
  });

  it("may import AssemblyScript's abort, and its author is told what it does", async () => {
    const { report } = await accepted(`(module (import "env" "abort" (func (param i32 i32 i32 i32))) ${OK})`);
    assert.match(report.notes.join(), /env\.abort is bound to a trap/);
  });

  it("is named by the hash of the emitted bytes, the same each time", async () => {
    const first = await forgeArtifact(assemble(`(module ${OK})`), "extism", ["access"], DEFAULT_FORGE_LIMITS);
    const second = await forgeArtifact(
      assemble(`(module ${OK})`),
      "extism",
      ["access"],
      DEFAULT_FORGE_LIMITS,
    );
    assert.ok(first.ok && second.ok);
    assert.match(first.digest, /^sha256:[0-9a-f]{64}$/);
    assert.equal(first.digest, second.digest);
  });

  it("is described in the report", async () => {
    const { report } = await accepted(
      `(module (import "extism:host/env" "input_length" (func (result i64))) (memory 2 4) ${OK})`,
    );
    assert.deepEqual(report.imports, ["extism:host/env.input_length"]);
    assert.deepEqual(report.exports, ["access", "gatehouse:fuel", "gatehouse:memory"]);
    assert.equal(report.functions, 1);
    assert.deepEqual(report.memoryPages, { min: 2, max: 4 });
    assert.ok(report.bytesOut > report.bytesIn);
  });

  it("is asked for the grant of its last import, however many come before it", async () => {
    const length = '(import "extism:host/env" "length" (func (param i64) (result i64)))';
    const get = '(import "extism:host/user" "kv_get" (func (param i64) (result i64)))';
    const { report } = await accepted(`(module ${length.repeat(250)} ${get} ${OK})`);
    assert.equal(report.imports.length, 251);
    assert.match(ungranted(report.imports, NO_GRANTS).join(), /kv_get.*grants\.kv_bytes/);
  });
});

function leb(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 128) {
    out.push((rest & 127) | 128);
    rest >>>= 7;
  }
  out.push(rest);
  return out;
}
