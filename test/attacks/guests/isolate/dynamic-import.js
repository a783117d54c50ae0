// biome-ignore-all lint: hostile on purpose
/** Imports modules of Node while it runs. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

const schema = record({});

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema,
  create(_config, host) {
    return {
      async access(ctx) {
        const found = [];
        for (const name of ["fs", "node:fs", "isolated-vm", "./cordon.js"]) {
          try {
            await import(name);
            found.push(name);
          } catch {}
        }
        return reply(200, found);
      },
    };
  },
});
