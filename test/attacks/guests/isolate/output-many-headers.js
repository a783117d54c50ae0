// biome-ignore-all lint: hostile on purpose
/** Ten thousand headers. */
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
        for (let i = 0; i < 10000; i++) ctx.request.headers.add(`x-${i}`, "v");
      },
    };
  },
});
