// biome-ignore-all lint: hostile on purpose
/** Five million brackets for the parser. */
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
        JSON.parse("[".repeat(5e6));
      },
    };
  },
});
