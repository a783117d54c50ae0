/** Calls into libc, for the little that the kernel offers and Node does not. */
import { createRequire } from "node:module";

/**
 * `node:ffi`, without the warning that it is experimental: operators can do nothing about it.
 * @throws {Error} if this Node has none.
 */
export function loadFfi(): typeof import("node:ffi") {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return createRequire(import.meta.url)("node:ffi");
  } finally {
    process.emitWarning = emitWarning;
  }
}
