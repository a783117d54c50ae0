// biome-ignore-all lint: hostile on purpose
/** A second Host. */
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
        ctx.request.headers.add("host", "admin.internal");
      },
    };
  },
});
