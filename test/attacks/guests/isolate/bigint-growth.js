// biome-ignore-all lint: hostile on purpose
/** Squares a BigInt: a single multiplication takes seconds. */
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
        let big = 3n;
        for (;;) big *= big;
      },
    };
  },
});
