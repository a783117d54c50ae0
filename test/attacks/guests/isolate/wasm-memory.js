// biome-ignore-all lint: hostile on purpose
/** Asks for memory that no isolate counts: a WebAssembly.Memory and shared buffers. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  const found = [];
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics", "FinalizationRegistry", "WeakRef"])
    if (name in globalThis) found.push(name);
  return reply(200, found);
}
