// biome-ignore-all lint: hostile on purpose
/** Sorting an array of 2^32 - 2 holes: seconds inside a builtin. */
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
        const list = [];
        list.length = 2 ** 32 - 2;
        list[2 ** 31] = 1;
        list.sort();
      },
    };
  },
});
