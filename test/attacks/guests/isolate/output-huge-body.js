// biome-ignore-all lint: hostile on purpose
/** A reply of 20 MB. */
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
        return reply(200, "b".repeat(20e6));
      },
    };
  },
});
