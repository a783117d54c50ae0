/** Flags of V8 that are set when a cordon has started: see fence.ts for why not before. */
import { createRequire } from "node:module";

/** `v8::V8::SetFlagsFromString(const char*)`, which the node binary shows to addons. */
const SET_FLAGS = "_ZN2v82V818SetFlagsFromStringEPKc";

/**
 * For everything that is compiled from now on. `node:v8` does it too, and takes 0.2 MiB of a cordon's memory: it is
 * loaded where foreign functions cannot be had.
 */
export function setV8Flag(flag: string): void {
  const require = createRequire(process.argv[1] as string);
  try {
    const ffi = require("node:ffi") as typeof import("node:ffi");
    const { functions } = ffi.dlopen(null, { [SET_FLAGS]: { arguments: ["string"], return: "void" } });
    functions[SET_FLAGS]?.(flag);
  } catch {
    (require("node:v8") as typeof import("node:v8")).setFlagsFromString(flag);
  }
}
