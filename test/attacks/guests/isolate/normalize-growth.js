// biome-ignore-all lint: hostile on purpose
/** Texts that ICU makes eighteen times longer, outside of the counted heap. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return {
      async access() {
        const text = "\uFDFA".repeat(2 ** 20);
        return reply(200, [text.normalize("NFKD").length]);
      },
    };
  },
});
