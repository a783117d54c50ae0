/**
 * my-plugin: greets the service and the client by a header, and closes paths.
 * Work is done once, in `create`; hooks only decide.
 */
import { array, definePlugin, record, reply, string } from "@gatehouse/sdk";

const schema = record({
  greeting: string({ default: "Hello", description: "Value of X-Greeting." }),
  closed: array(string(), { default: [], description: "Beginnings of paths that are answered with 403." }),
});

export default definePlugin({
  name: "my-plugin",
  version: "0.1.0",
  priority: 500,
  schema,
  create(config, host) {
    const closed = reply(403, { message: "This path is closed" });
    return {
      access(ctx) {
        const { path, headers } = ctx.request;
        if (config.closed.some((start) => path.startsWith(start))) {
          host.log("info", `closed: ${path}`);
          return closed;
        }
        headers.set("X-Greeting", config.greeting);
      },
      headerFilter(ctx) {
        ctx.response.headers.set("X-Greeting", config.greeting);
      },
    };
  },
});
