// biome-ignore-all lint: hostile on purpose
/** Starts work that goes on after its answer was given. */
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
        const spin = async () => {
          for (let i = 0; i < 1000; i++) await null;
          ctx.request.headers.set("x-late", "yes");
          return spin();
        };
        new Promise((resolve) => resolve()).then(() => new Promise(() => {})).then(spin);
        return reply(200, []);
      },
    };
  },
});
