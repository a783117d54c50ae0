// biome-ignore-all lint: hostile on purpose
/** A path that climbs out of the service's, encoded. */
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
        ctx.request.upstreamPath = "/a/..%2f..%2Fadmin";
      },
    };
  },
});
