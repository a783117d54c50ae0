/** Small guests for tests, written as WebAssembly text, and the calls that are made to them. */

import type { Phase } from "@gatehouse/sdk";
import binaryen from "binaryen";
import { forgeArtifact } from "../../../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../../../src/sandbox/forge/limits.ts";
import type {
  Engine,
  GuestCall,
  GuestConfig,
  GuestLimits,
  Turn,
} from "../../../src/sandbox/protocol/engine.ts";

const parser = binaryen as unknown as { parseText(text: string): binaryen.Module };
const FEATURES = binaryen.Features as unknown as { All: number; CompactImports: number };
/** Every proposal, except an encoding of imports that toolchains do not emit yet. */
const ALL = FEATURES.All & ~FEATURES.CompactImports;

/** Assembles WebAssembly text. */
export function assemble(text: string): Uint8Array {
  const module = parser.parseText(text);
  try {
    module.setFeatures(ALL);
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

/** Assembles and forges a module that must be accepted. */
export async function forged(
  module: string | Uint8Array,
  phases: Phase[] = ["access"],
): Promise<{ digest: string; emitted: Uint8Array }> {
  const bytes = typeof module === "string" ? assemble(module) : module;
  const result = await forgeArtifact(bytes, "extism", phases, DEFAULT_FORGE_LIMITS);
  if (!result.ok) throw new Error(result.reasons.join("; "));
  return result;
}

export const LIMITS: GuestLimits = {
  memoryBytes: 32 * 1024 * 1024,
  cpuMs: 25,
  fuel: 20_000_000,
  wallMs: 1000,
  outputBytes: 64 * 1024,
  headerCount: 10,
  headerBytes: 4096,
  hostCalls: 50,
  instances: 4,
  concurrentCalls: 512,
};

/** Configures `instance` of an engine with a forged guest. */
export async function configure(
  engine: Engine,
  instance: number,
  module: string | Uint8Array,
  options: Partial<GuestConfig> = {},
): Promise<void> {
  const phases = options.phases ?? ["access"];
  const { digest, emitted } = await forged(module, phases);
  engine.load(digest, emitted);
  engine.configure(instance, {
    digest,
    runtime: "extism",
    phases,
    instance: "resident",
    pluginId: "5f1f6b5e-3f8c-4a52-9a55-0d4d9e3d0b11",
    config: {},
    asks: [],
    limits: LIMITS,
    ...options,
  });
}

/** A hook call with plain values. */
export function hookCall(phase: Phase = "access", overrides: Partial<GuestCall> = {}): GuestCall {
  const isResponse = phase !== "rewrite" && phase !== "access";
  return {
    phase,
    requestId: "0123456789abcdef0123456789abcdef",
    now: 1_700_000_000_000,
    workspace: "default",
    request: {
      method: "GET",
      scheme: "http",
      host: "example.org",
      port: 80,
      path: "/admin/users",
      upstreamPath: null,
      query: "a=1",
      clientIp: "192.0.2.7",
      clientPort: 4711,
      startedAt: 1_700_000_000_000,
      uriCaptures: null,
      headers: [["Accept", "*/*"]],
      body: null,
    },
    response: isResponse
      ? { status: 200, source: "service", headers: [["Content-Type", "text/plain"]], body: null }
      : null,
    chunk: phase === "body_filter" ? { data: new TextEncoder().encode("chunk"), last: false } : null,
    route: null,
    service: null,
    consumer: null,
    credential: null,
    vars: {},
    measures: { requestBytes: 0, responseBytes: 0, totalMs: -1, upstreamMs: -1, gatewayMs: -1 },
    ...overrides,
  };
}

/** The imports that the text guests use. */
export const IMPORTS = `
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))`;

/** A guest whose access hook runs `code` and returns what it leaves on the stack. */
export function guest(code: string, declarations = ""): string {
  return `(module ${IMPORTS} ${declarations} (func (export "access") (result i32) ${code}))`;
}

/** A guest that answers with `text`: it copies a data segment into the kernel's memory, byte by byte. */
export function answering(text: string | Uint8Array, code = 0): string {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  const data = [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
  const pages = Math.ceil((bytes.length + 1) / 65536);
  return `(module ${IMPORTS} (memory ${pages}) (data (i32.const 0) "${data}")
    ${STORE}
    (func $answer (result i32) (local $block i64)
      (local.set $block (call $store (i32.const 0) (i32.const ${bytes.length})))
      (call $output_set (local.get $block) (i64.const ${bytes.length})) (i32.const ${code}))
    ${["rewrite", "access", "response", "header_filter", "body_filter", "log"]
      .map((phase) => `(export "${phase}" (func $answer))`)
      .join(" ")})`;
}

/** Copies `$length` bytes at `$from` of the guest's memory into a new block. */
export const STORE = `
  (func $store (param $from i32) (param $length i32) (result i64) (local $block i64) (local $i i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $length)))
      (call $store_u8 (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (i32.add (local.get $from) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (local.get $block))`;

/** `$told_to` answers 1 if the guest's input has a `~` in it: JSON without a header that says so has none. */
export const TOLD_TO = {
  imports: `
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))`,
  code: `
  (func $told_to (result i32) (local $i i64)
    (block $no (loop $next
      (br_if $no (i64.ge_u (local.get $i) (call $input_length)))
      (if (i32.eq (call $input_load_u8 (local.get $i)) (i32.const 0x7e)) (then (return (i32.const 1))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (i32.const 0))`,
};

/** The turn of a call to a guest that never waits: it is there when `start` returns. */
export function startNow(engine: Engine, instance: number, call: GuestCall, id = 1): Turn {
  const turn = engine.start(id, instance, call);
  if (turn instanceof Promise) throw new Error("the guest's turn ends later, although it cannot wait");
  return turn;
}

/** The failure of a turn that must have failed. */
export function failureOf(turn: Turn): string {
  return turn.kind === "failure" ? turn.failure : `no failure but a ${turn.kind}`;
}
