// biome-ignore-all lint: hostile on purpose
/** A promise chain without end. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

const schema = record({});

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema,
  create(_config, host) {
    return {
      async access(ctx) {
        const again = () => Promise.resolve().then(again);
        again();
        await new Promise(() => {});
      },
    };
  },
});
