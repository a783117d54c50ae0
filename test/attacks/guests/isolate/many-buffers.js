// biome-ignore-all lint: hostile on purpose
/** Many buffers that live outside of the heap. */
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
        const kept = [];
        for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
      },
    };
  },
});
