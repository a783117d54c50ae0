// biome-ignore-all lint: hostile on purpose
/** Asks for memory that no isolate counts: a WebAssembly.Memory and shared buffers. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

const schema = record({});

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema,
  create(_config, host) {
    return {
      access(ctx) {
        const found = [];
        for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics", "FinalizationRegistry", "WeakRef"])
          if (name in globalThis) found.push(name);
        return reply(200, found);
      },
    };
  },
});
