/**
 * The forge's work on one artifact: bytes in, a report and the emitted bytes out, or every reason for a
 * refusal. It executes nothing of the guest. Only the emitted bytes ever run, and their SHA-256 is their name.
 *
 * Runs in a child process of its own (forge-child.ts), because parsing hostile input, in V8 above all, takes
 * time and memory that nobody can promise; call it through forge-client.ts.
 */
import { createHash } from "node:crypto";
import type { Phase } from "@gatehouse/sdk";
import { ABORT_MODULE, ABORT_NAME } from "../wasm/abi.ts";
import { emittedReasons, uploadedReasons } from "./admission.ts";
import { ShapeError } from "./binary.ts";
import type { ForgeLimits } from "./limits.ts";
import { type CodeOutline, meterModule, readCode } from "./meter.ts";
import { type LimitsShape, type ModuleShape, readShape } from "./module-shape.ts";
import { inspectModuleSource } from "./module-source.ts";
import { unmeteredPlaces } from "./proof.ts";

export type ForgeKind = "extism" | "isolate";

/** What the author is shown about an accepted artifact. */
export interface ForgeReport {
  bytesIn: number;
  bytesOut: number;
  /** `module.name` for WebAssembly, all of them; always empty for isolates, whose bundle must be whole. */
  imports: string[];
  exports: string[];
  /** WebAssembly only, as emitted. */
  functions?: number;
  memoryPages?: LimitsShape | null;
  tables?: LimitsShape[];
  /** Features beyond WebAssembly 1.0 that its code uses. */
  features?: string[];
  /** Fuel that the start function may use. */
  startFuel?: number;
  /** Things that the author should know and that are no reason to refuse. */
  notes: string[];
}

export type Forged =
  | { ok: true; digest: string; emitted: Uint8Array; report: ForgeReport }
  | {
      ok: false;
      reasons: string[];
      /** WebAssembly: as in a report, where they could be read. */
      imports?: string[];
    };

/** Checks and prepares one artifact. Never throws for what the artifact holds. */
export async function forgeArtifact(
  artifact: Uint8Array,
  kind: ForgeKind,
  phases: readonly Phase[],
  limits: ForgeLimits,
): Promise<Forged> {
  return kind === "isolate" ? forgeIsolate(artifact, limits) : forgeExtism(artifact, phases, limits);
}

/** The name by which emitted bytes are found: `sha256:` and 64 hexadecimal digits. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function forgeExtism(
  artifact: Uint8Array,
  phases: readonly Phase[],
  limits: ForgeLimits,
): Promise<Forged> {
  if (artifact.length > limits.wasmBytes)
    return refuse(`the module has ${artifact.length} bytes; at most ${limits.wasmBytes} are allowed`);
  const uploaded = outline(artifact);
  if (typeof uploaded === "string") return refuse(uploaded);
  const invalid = validityReason(artifact);
  const code = invalid === undefined ? codeOutline(artifact) : { features: [], refused: [] };
  if (typeof code === "string") return refuse(code);
  const reasons = uploadedReasons(uploaded, code.refused, phases, limits);
  // What V8 says last is said least: it stops at the first thing that it does not like.
  if (invalid !== undefined) reasons.push(invalid);
  if (reasons.length > 0) return { ok: false, reasons, imports: importNames(uploaded) };

  const emitted = meterModule(artifact, limits);
  if (emitted.length > limits.emittedBytes)
    return refuse(
      `the metered module has ${emitted.length} bytes; at most ${limits.emittedBytes} are allowed`,
    );
  if (!WebAssembly.validate(emitted))
    return refuse(
      "the metered module is not valid WebAssembly: a function may be too long when it is metered",
    );
  const shape = outline(emitted);
  if (typeof shape === "string") return refuse(`the metered module: ${shape}`);
  const left = [...emittedReasons(shape, phases, limits), ...disagreements(emitted, shape)];
  const unmetered = unmeteredPlaces(emitted, shape);
  if (unmetered > 0) left.push(`runs unmetered in ${unmetered} places`);
  if (left.length > 0) return refuse(...left.map((reason) => `the metered module ${reason}`));
  return {
    ok: true,
    digest: digestOf(emitted),
    emitted,
    report: report(artifact, uploaded, code, emitted, shape, limits),
  };
}

async function forgeIsolate(artifact: Uint8Array, limits: ForgeLimits): Promise<Forged> {
  if (artifact.length > limits.isolateBytes)
    return refuse(`the bundle has ${artifact.length} bytes; at most ${limits.isolateBytes} are allowed`);
  const found = await inspectModuleSource(artifact);
  if (!found.ok) return refuse(...found.reasons);
  const bytes = { bytesIn: artifact.length, bytesOut: artifact.length };
  return {
    ok: true,
    digest: digestOf(artifact),
    emitted: artifact,
    report: { ...bytes, imports: [], exports: found.exports, notes: [] },
  };
}

function refuse(...reasons: string[]): Forged {
  return { ok: false, reasons };
}

function importNames({ imports }: ModuleShape): string[] {
  return imports.map(({ module, name }) => `${module}.${name}`);
}

function outline(bytes: Uint8Array): ModuleShape | string {
  try {
    return readShape(bytes);
  } catch (error) {
    if (error instanceof ShapeError) return error.message;
    throw error;
  }
}

function codeOutline(bytes: Uint8Array): CodeOutline | string {
  try {
    return readCode(bytes);
  } catch (error) {
    if (error instanceof ShapeError) return error.message;
    throw error;
  }
}

/** V8's own words for what is wrong with a module; undefined for a valid one. */
function validityReason(bytes: Uint8Array): string | undefined {
  if (WebAssembly.validate(bytes)) return undefined;
  try {
    new WebAssembly.Module(bytes);
  } catch (error) {
    const words = error instanceof Error ? error.message.replace(/^WebAssembly\.Module\(\): /, "") : "";
    return `the module is not valid WebAssembly: ${words.slice(0, 300)}`;
  }
  return "the module is not valid WebAssembly";
}

/** Where V8 sees other imports or exports in the emitted bytes than the reader that the rules used. */
function disagreements(emitted: Uint8Array, shape: ModuleShape): string[] {
  const module = new WebAssembly.Module(emitted);
  const line = (item: { module?: string; name: string; kind: string }): string =>
    `${item.module ?? ""}\0${item.name}\0${item.kind}`;
  const seen = (items: { module?: string; name: string; kind: string }[]): string =>
    items.map(line).join("\n");
  const reasons: string[] = [];
  if (seen(WebAssembly.Module.imports(module)) !== seen(shape.imports)) reasons.push("has unclear imports");
  if (
    seen(WebAssembly.Module.exports(module)) !== seen(shape.exports.map(({ name, kind }) => ({ name, kind })))
  )
    reasons.push("has unclear exports");
  return reasons;
}

/** Names as a report lists them: it is read by people and kept for ever. Imports are from a list of ours. */
export function listed(names: readonly string[]): string[] {
  const shown = names.slice(0, MAX_LISTED).map((name) => name.slice(0, 100));
  return names.length > MAX_LISTED ? [...shown, `and ${names.length - MAX_LISTED} more`] : shown;
}

const MAX_LISTED = 200;

function report(
  artifact: Uint8Array,
  uploaded: ModuleShape,
  code: CodeOutline,
  emitted: Uint8Array,
  shape: ModuleShape,
  limits: ForgeLimits,
): ForgeReport {
  const notes: string[] = [];
  if (uploaded.imports.some(({ module, name }) => module === ABORT_MODULE && name === ABORT_NAME))
    notes.push("env.abort is bound to a trap: a failed assertion ends the call as a trap");
  if (uploaded.customBytes > 0)
    notes.push(`${uploaded.customBytes} bytes of custom sections (names, debug information) were removed`);
  for (const { max } of uploaded.memories)
    if (max === null || max > limits.memoryPages)
      notes.push(`memory is limited to ${limits.memoryPages} pages`);
  for (const { max } of uploaded.tables)
    if (max === null || max > limits.tableEntries)
      notes.push(`a table is limited to ${limits.tableEntries} entries`);
  return {
    bytesIn: artifact.length,
    bytesOut: emitted.length,
    imports: importNames(shape),
    exports: listed(shape.exports.map(({ name }) => name)),
    functions: shape.functions,
    memoryPages: shape.memories[0] ?? null,
    tables: shape.tables,
    features: code.features,
    startFuel: limits.startFuel,
    notes,
  };
}
