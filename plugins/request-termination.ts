/**
 * request-termination: answer here and now with a fixed response.
 * For maintenance windows, for closing one route without touching its upstream, and (with `echo`) for seeing
 * what a request looks like once it has passed the other plugins.
 */
import {
  boolean,
  type Context,
  definePlugin,
  integer,
  type Reply,
  record,
  reply,
  string,
} from "@gatehouse/sdk";
import { fieldValues } from "./urlencoded.ts";

const schema = record(
  {
    status_code: integer({
      required: true,
      default: 503,
      between: [200, 599],
      description: "Status to send. No 1xx: those announce an answer and are none themselves.",
    }),
    message: string({ description: 'Sent as {"message": ...}; the default depends on the status.' }),
    content_type: string({
      match: "^[\\t\\x20-\\x7e]+$",
      description: "Content type of `body`; application/json; charset=utf-8 if it is left out.",
    }),
    body: string({ description: "Raw body to send in place of a message." }),
    echo: boolean({
      required: true,
      default: false,
      description: "Answer with a description of the request and of the route and service it matched.",
    }),
    trigger: string({
      match: "^[A-Za-z0-9!#$%&'*+.^_|~-]+$",
      description: "Only act on requests that have this header or query parameter.",
    }),
  },
  {
    checks: [
      {
        kind: "custom",
        run(config) {
          if (config.message !== null && (config.body !== null || config.content_type !== null))
            return { "@entity": "message cannot be used with content_type or body" };
          if (config.content_type !== null && config.body === null)
            return { "@entity": "content_type requires a body" };
        },
      },
    ],
  },
);

const DEFAULT_MESSAGE: Readonly<Record<number, string>> = {
  401: "Unauthorized",
  404: "Not found",
  405: "Method not allowed",
  500: "An unexpected error occurred",
  502: "Bad Gateway",
  503: "Service unavailable",
};

export default definePlugin({
  name: "request-termination",
  version: "1.0.0",
  priority: 2,
  schema,
  create(config) {
    const message = config.message ?? DEFAULT_MESSAGE[config.status_code];
    const answer =
      config.body === null
        ? reply(config.status_code, message === undefined ? null : { message })
        : reply(config.status_code, config.body, {
            "Content-Type": config.content_type ?? "application/json; charset=utf-8",
          });
    const trigger = config.trigger?.toLowerCase();

    function isTriggered(ctx: Context): boolean {
      if (trigger === undefined || ctx.request.headers.has(trigger)) return true;
      return ctx.request.query !== "" && fieldValues(ctx.request.query, config.trigger as string).length > 0;
    }

    if (!config.echo) {
      return {
        access(ctx) {
          if (isTriggered(ctx)) return answer;
        },
      };
    }
    return {
      access(ctx) {
        if (!isTriggered(ctx)) return;
        const bytes = ctx.request.readBody();
        if (bytes instanceof Promise)
          return bytes.then((body) => echo(ctx, config.status_code, message, body));
        return echo(ctx, config.status_code, message, bytes);
      },
    };
  },
});

function echo(ctx: Context, status: number, message: string | undefined, body: Uint8Array | null): Reply {
  const { request } = ctx;
  return reply(status, {
    message,
    request: {
      scheme: request.scheme,
      host: request.host,
      port: request.port,
      method: request.method,
      path: request.path,
      query: request.query,
      headers: grouped(request.headers.entries()),
      uri_captures: request.uriCaptures ?? {},
      body: body === null ? "" : new TextDecoder().decode(body),
    },
    matched_route: ctx.route,
    matched_service: ctx.service,
  });
}

/** Headers as an object: a string, or a list where a name occurs more than once. */
function grouped(entries: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  const out = new Map<string, string | string[]>();
  for (const [name, value] of entries) {
    const lower = name.toLowerCase();
    const before = out.get(lower);
    out.set(lower, before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value]);
  }
  return Object.fromEntries(out);
}
