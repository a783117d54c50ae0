// biome-ignore-all lint: hostile on purpose
/** An error whose message has 256 million characters. */
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
        throw new Error("m".repeat(2 ** 28));
      },
    };
  },
});
