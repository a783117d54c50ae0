// biome-ignore-all lint: hostile on purpose
/** Returns a Proxy in place of a reply. */
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
        return new Proxy(
          {},
          {
            get() {
              throw new TypeError("touched");
            },
          },
        );
      },
    };
  },
});
