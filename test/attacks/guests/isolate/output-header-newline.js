// biome-ignore-all lint: hostile on purpose
/** A header value that would split the request. */
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
        ctx.request.headers.set("x-a", "1\r\nx-b: 2");
      },
    };
  },
});
