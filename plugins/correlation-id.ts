/**
 * correlation-id: one id that follows a request through every service it touches.
 * An id that the client sent is kept; otherwise one is made up and sent upstream.
 */
import { boolean, type Context, definePlugin, type Host, record, string } from "@gatehouse/sdk";

const schema = record({
  header_name: string({
    default: "Kong-Request-ID",
    match: "^[A-Za-z0-9!#$%&'*+.^_|~-]+$",
    description: "Header that carries the id.",
  }),
  generator: string({
    required: true,
    default: "uuid#counter",
    oneOf: ["uuid", "uuid#counter"],
    description:
      "How an id is made: `uuid` is a new UUID each time; `uuid#counter` is one UUID and a counter, cheaper. " +
      "Kong's `tracker` is not built yet: it needs connection numbers.",
  }),
  echo_downstream: boolean({
    required: true,
    default: false,
    description: "Send the id back to the client as well.",
  }),
});

/** Where other plugins of the request, and the log, find the id. */
const SHARED = "correlation_id";
/** A field's value (RFC 9110 section 5.5). */
const SOUND = /^[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?$/;

export default definePlugin({
  name: "correlation-id",
  version: "1.0.0",
  priority: 100001,
  schema,
  create(config, host) {
    const lower = config.header_name.toLowerCase();
    const next = config.generator === "uuid" ? () => host.uuid() : countedIds(host);

    function access(ctx: Context): void {
      const { headers } = ctx.request;
      let id = headers.get(lower);
      if (id === undefined || id === "") {
        id = next();
        headers.set(config.header_name, id);
      }
      ctx.vars[SHARED] = id;
    }

    if (!config.echo_downstream) return { access };
    return {
      access,
      headerFilter(ctx) {
        // A request that was refused before access has no shared id, but may have brought its own.
        const id = ctx.vars[SHARED] ?? ctx.request.headers.get(lower);
        // Every plugin of the request can write what is shared, guests included.
        if (typeof id === "string" && SOUND.test(id)) ctx.response.headers.set(config.header_name, id);
      },
    };
  },
});

function countedIds(host: Host): () => string {
  let prefix: string | undefined;
  let count = 0;
  return () => {
    prefix ??= `${host.uuid()}#`;
    return prefix + ++count;
  };
}
