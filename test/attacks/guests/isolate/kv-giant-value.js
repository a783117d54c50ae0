// biome-ignore-all lint: hostile on purpose
/** A text of many megabytes as a value, and bytes of which one is too many. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return {
      async access() {
        const found = [];
        for (const make of [() => "x".repeat(2 ** 24), () => new Uint8Array(65_537)]) {
          try {
            await host.kv.set("k", make());
            found.push("kept");
          } catch {}
        }
        if ((await host.kv.get("k")) !== null) found.push("there");
        return reply(200, found);
      },
    };
  },
});
