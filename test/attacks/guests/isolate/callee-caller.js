// biome-ignore-all lint: hostile on purpose
/** Walks the stack of its callers for an object of the host. */
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
        const found = [];
        const sloppy = function () {
          try {
            if (sloppy.caller !== null) found.push("caller");
          } catch {}
          try {
            if (arguments.callee.caller !== undefined) found.push("callee.caller");
          } catch {}
        };
        sloppy();
        return reply(200, found);
      },
    };
  },
});
