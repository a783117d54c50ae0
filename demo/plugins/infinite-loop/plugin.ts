/** infinite-loop: a plugin that never ends. What it costs is its own workspace's request, and nobody else's. */
import { definePlugin, record } from "@gatehouse/sdk";

export default definePlugin({
  name: "infinite-loop",
  version: "1.0.0",
  priority: 500,
  schema: record({}),
  create() {
    return {
      access() {
        for (;;);
      },
    };
  },
});
