// biome-ignore-all lint: hostile on purpose
/** Grows a Map and a Set for ever. */
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
        const map = new Map();
        const set = new Set();
        for (let i = 0; ; i++) {
          map.set(i, {});
          set.add(`${i}`);
        }
      },
    };
  },
});
