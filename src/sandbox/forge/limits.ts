/** What the forge lets through at most. Everything here is a bound on hostile input. */

export interface ForgeLimits {
  /** Bytes of a WebAssembly module as uploaded. A Go program with JSON and cryptography has 3.5 MB. */
  wasmBytes: number;
  /** Bytes of a JavaScript bundle. */
  isolateBytes: number;
  /** Bytes of a module after metering. */
  emittedBytes: number;
  /**
   * Pages of 64 KiB: a module may not start with more, and its maximum is set to this. The most that a manifest may
   * ask for; Go starts with 30 to 50.
   */
  memoryPages: number;
  /**
   * Entries: a table may not start with more, and its maximum is set to this. Go keeps every function in its table
   * and starts at 4096. A cordon's V8 has the same limit (fence.ts).
   */
  tableEntries: number;
  functions: number;
  /** Globals, exports, imports, types: each. */
  items: number;
  /** Bytes of all data segments together. */
  dataBytes: number;
  /** Bytes of all element segments together. */
  elementBytes: number;
  /** Locals of one function; they are zeroed at each call, which fuel must cover. */
  locals: number;
  /** Units of fuel for the start function and `_initialize`. Go's runtime uses 10 to 20 million for its own. */
  startFuel: number;
}

export const DEFAULT_FORGE_LIMITS: ForgeLimits = {
  wasmBytes: 8 * 1024 * 1024,
  isolateBytes: 1024 * 1024,
  emittedBytes: 16 * 1024 * 1024,
  memoryPages: 512,
  tableEntries: 32_768,
  functions: 50_000,
  items: 10_000,
  dataBytes: 4 * 1024 * 1024,
  elementBytes: 256 * 1024,
  locals: 10_000,
  startFuel: 100_000_000,
};
