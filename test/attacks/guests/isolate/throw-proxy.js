// biome-ignore-all lint: hostile on purpose
/** Throws a Proxy that throws at every touch. */
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
        throw new Proxy(
          {},
          {
            get() {
              throw new Error("touched");
            },
            getPrototypeOf() {
              throw new Error("touched");
            },
          },
        );
      },
    };
  },
});
