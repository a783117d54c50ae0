// biome-ignore-all lint: hostile on purpose
/** A million log lines, errors swallowed. */
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
        for (let i = 0; i < 1e6; i++) {
          try {
            host.log("error", "x".repeat(2000));
          } catch {
            if (i > 1000) break;
          }
        }
        return reply(200, []);
      },
    };
  },
});
