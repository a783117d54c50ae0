// biome-ignore-all lint: hostile on purpose
/** Doubles a string until something gives. */
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
        let text = "xxxxxxxx";
        const all = [];
        for (;;) {
          text = (text + text).replace(/^x/, "y");
          all.push(text);
        }
      },
    };
  },
});
