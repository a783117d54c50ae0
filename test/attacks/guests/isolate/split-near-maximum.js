// biome-ignore-all lint: hostile on purpose
/** Aborts a process that runs it unprotected: a string near the greatest length, split. */
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
        "x".padEnd(2 ** 29 - 30).split("");
      },
    };
  },
});
