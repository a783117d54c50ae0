/**
 * ts-hello: greets the upstream and the client by name.
 * An example of a plugin in TypeScript that runs in an isolate when it is uploaded, and natively when the
 * operator ships it: the same source.
 */
import { definePlugin, record, string } from "@gatehouse/sdk";

const schema = record({
  name: string({ default: "world", description: "Whom to greet." }),
});

export default definePlugin({
  name: "ts-hello",
  version: "1.0.0",
  priority: 600,
  schema,
  create(config, host) {
    const greeting = `Hello, ${config.name}`;
    return {
      access(ctx) {
        ctx.request.headers.set("X-Hello", greeting);
        host.log("debug", `greeted on ${ctx.request.path}`);
      },
      headerFilter(ctx) {
        ctx.response.headers.set("X-Hello", greeting);
      },
    };
  },
});
