// biome-ignore-all lint: hostile on purpose
/** A value of a gigabyte. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return {
      async access() {
        await host.kv.set("k", new Uint8Array(2 ** 30));
        return reply(200, ["kept"]);
      },
    };
  },
});
