/** The guest that is measured: reads two headers, sets one. */
import { definePlugin, record } from "@gatehouse/sdk";

export default definePlugin({
  name: "bench-guest",
  version: "1.0.0",
  priority: 600,
  schema: record({}),
  create() {
    return {
      access(ctx) {
        const { headers } = ctx.request;
        const agent = headers.get("user-agent") ?? "none";
        headers.set("X-Bench-Guest", `${agent.length} ${headers.has("x-bench-added")}`);
      },
    };
  },
});
