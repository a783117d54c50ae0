// biome-ignore-all lint: hostile on purpose
/** A thousand requests at the same time. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return {
      async access() {
        await Promise.all(
          Array.from({ length: 1000 }, () => host.fetch({ url: "http://127.0.0.1/" }).catch(() => {})),
        );
        return reply(200, []);
      },
    };
  },
});
