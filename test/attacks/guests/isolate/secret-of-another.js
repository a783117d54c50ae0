// biome-ignore-all lint: hostile on purpose
/** A secret of another workspace, by paths and by names that no grant has. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return {
      async access() {
        const found = [];
        for (const name of [
          "../neighbour/TOKEN",
          "..",
          "/etc/passwd",
          "TOKEN\0",
          "TOKEN/../../neighbour/TOKEN",
        ]) {
          try {
            const secret = await host.secret(name);
            if (secret !== null) found.push(name);
          } catch {}
        }
        return reply(200, found);
      },
    };
  },
});
