// biome-ignore-all lint: hostile on purpose
/** Uses prepareStackTrace and callers to get at frames of the runtime. */
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
        try {
          Error.prepareStackTrace = (_error, sites) => sites;
        } catch {}
        const { stack } = new Error("x");
        if (typeof stack !== "string") {
          found.push("structured stack");
          for (const site of stack)
            if (site.getThis?.() !== undefined || site.getFunction?.() !== undefined) found.push("frame");
        }
        const sloppy = {};
        try {
          Error.captureStackTrace(sloppy, undefined);
          if (typeof sloppy.stack !== "string") found.push("captureStackTrace");
        } catch {}
        return reply(200, found);
      },
    };
  },
});
