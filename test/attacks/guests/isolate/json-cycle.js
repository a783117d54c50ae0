// biome-ignore-all lint: hostile on purpose
/** A cycle that JSON cannot write, thrown as it is. */
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
        const cycle = { toString: () => `${cycle}` };
        cycle.self = cycle;
        JSON.stringify(cycle);
      },
    };
  },
});
