/**
 * cors: lets browsers of other origins call an API (the Fetch standard's CORS protocol). Preflight requests
 * are answered here; other responses get the headers that tell the browser what it may read.
 */
import {
  array,
  boolean,
  type Context,
  definePlugin,
  type Headers,
  type HookResult,
  integer,
  type Reply,
  record,
  string,
} from "@gatehouse/sdk";
import { originProblem, originRule } from "./origins.ts";

const METHODS = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"] as const;
const TOKEN = "^[A-Za-z0-9!#$%&'*+.^_|~-]+$";

const schema = record({
  origins: array(string({ check: originProblem }), {
    description:
      "Origins that may call: `*` for all, a literal such as https://example.com, a literal host without scheme, " +
      "or `https://*.example.com` for every host below one. None given means all.",
  }),
  headers: array(string({ match: TOKEN }), {
    description: "Request headers that may be sent; without it, whatever the preflight asks for.",
  }),
  exposed_headers: array(string({ match: TOKEN }), {
    description: "Response headers that scripts may read.",
  }),
  methods: array(string({ oneOf: METHODS }), {
    default: METHODS,
    description: "Methods that may be used.",
  }),
  max_age: integer({
    between: [0, 2147483647],
    description: "Seconds for which a browser may keep the preflight's answer.",
  }),
  credentials: boolean({
    required: true,
    default: false,
    description: "Allow cookies and other credentials.",
  }),
  private_network: boolean({
    required: true,
    default: false,
    description: "Allow requests from public pages into a private network.",
  }),
  preflight_continue: boolean({
    required: true,
    default: false,
    description: "Send preflight requests on to the upstream in place of answering them.",
  }),
  allow_origin_absent: boolean({
    required: true,
    default: true,
    description: "Add CORS headers also to responses to requests without an Origin.",
  }),
});

/** Tells the header filter that the preflight's answer is complete. */
const SHARED = "cors-preflight";

export default definePlugin({
  name: "cors",
  version: "1.0.0",
  priority: 2000,
  schema,
  forbids: ["consumer"],
  create(config) {
    const origins = config.origins ?? [];
    const allowAll = origins.length === 0 || origins.includes("*");
    const rules = allowAll ? [] : origins.map(originRule);
    const fixed =
      rules.length === 1 && rules[0]?.literal ? decision(origins[0], config.credentials, true) : null;
    const everyone = decision("*", false, false);
    const nobody = decision(undefined, false, true);
    const allowedHeaders = config.headers?.length ? config.headers.join(",") : undefined;
    const exposed = config.exposed_headers?.length ? config.exposed_headers.join(",") : undefined;
    const methods = config.methods.join(",");
    const maxAge = config.max_age === null ? undefined : String(config.max_age);

    function decide(origin: string | undefined): Decision {
      // The Fetch standard refuses `*` together with credentials: the origin itself stands for it.
      if (allowAll)
        return config.credentials && origin !== undefined ? decision(origin, true, true) : everyone;
      if (fixed !== null) return fixed;
      if (origin === undefined || !rules.some((rule) => rule.allows(origin))) return nobody;
      return decision(origin, config.credentials, true);
    }

    function preflight(ctx: Context, origin: string): Reply {
      const asked = ctx.request.headers;
      const fields: [string, string][] = [];
      const add = (name: string, value: string | undefined) => {
        if (value !== undefined) fields.push([name, value]);
      };
      const { allow, credentials, varies } = decide(origin);
      add("Access-Control-Allow-Origin", allow);
      if (credentials) add("Access-Control-Allow-Credentials", "true");
      if (varies) add("Vary", "Origin");
      add("Access-Control-Allow-Headers", allowedHeaders ?? asked.get("access-control-request-headers"));
      add("Access-Control-Allow-Methods", methods);
      add("Access-Control-Max-Age", maxAge);
      if (config.private_network && asked.get("access-control-request-private-network") === "true")
        add("Access-Control-Allow-Private-Network", "true");
      return { kind: "reply", status: 200, headers: fields, body: "" };
    }

    function access(ctx: Context): HookResult {
      const { method, headers } = ctx.request;
      if (method !== "OPTIONS") return;
      const origin = headers.get("origin");
      if (origin === undefined || !headers.has("access-control-request-method")) return;
      ctx.vars[SHARED] = true;
      return preflight(ctx, origin);
    }

    return {
      ...(config.preflight_continue ? {} : { access }),
      headerFilter(ctx) {
        if (ctx.vars[SHARED] === true) return;
        const origin = ctx.request.headers.get("origin");
        if (origin === undefined && !config.allow_origin_absent) return;
        const { headers } = ctx.response;
        const { allow, credentials, varies } = decide(origin);
        if (allow === undefined) headers.remove("access-control-allow-origin");
        else headers.set("Access-Control-Allow-Origin", allow);
        if (credentials) headers.set("Access-Control-Allow-Credentials", "true");
        if (varies) varyByOrigin(headers);
        if (exposed !== undefined) headers.set("Access-Control-Expose-Headers", exposed);
      },
    };
  },
});

/** Who may read a response: the value of Access-Control-Allow-Origin, and what goes with it. */
interface Decision {
  readonly allow: string | undefined;
  readonly credentials: boolean;
  readonly varies: boolean;
}

function decision(allow: string | undefined, credentials: boolean, varies: boolean): Decision {
  return { allow, credentials, varies };
}

/** A response that depends on the Origin must not be cached for others (RFC 9110 section 12.5.5). */
function varyByOrigin(headers: Headers): void {
  for (const value of headers.getAll("vary")) {
    if (value.split(",").some((name) => /^(origin|\*)$/i.test(name.trim()))) return;
  }
  headers.add("Vary", "Origin");
}
