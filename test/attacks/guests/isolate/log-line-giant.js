// biome-ignore-all lint: hostile on purpose
/** One log line as long as a string can be. */
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
        host.log(
          "info",
          "x"
            .repeat(2 ** 29 - 30)
            .split("")
            .join("y"),
        );
      },
    };
  },
});
