// biome-ignore-all lint: hostile on purpose
/** A million keys, errors swallowed. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return {
      async access() {
        for (let i = 0; i < 1e6; i++) {
          try {
            await host.kv.set(`k${i}`, "v");
          } catch {
            if (i > 1000) break;
          }
        }
        return reply(200, []);
      },
    };
  },
});
