// biome-ignore-all lint: hostile on purpose
/** Exponential backtracking: the engine falls back to one that takes linear time. */
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
        /^(a+)+$/.test(`${"a".repeat(40)}b`);
        return reply(200, []);
      },
    };
  },
});
