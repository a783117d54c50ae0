/**
 * request-schema: lets a request with a JSON body pass only if the body fits a JSON Schema, and tells the client
 * everything that does not fit, as a problem document (RFC 9457).
 */
import { any, boolean, definePlugin, integer, isDeepJson, record, reply, set, string } from "@gatehouse/sdk";
import { compileSchema, type Misfit } from "./json-schema.ts";

const METHODS = ["POST", "PUT", "PATCH", "DELETE"] as const;
const MAX_DEPTH = 100;

const schema = record({
  schema: any({ required: true, description: "JSON Schema of the body; which keywords, see README.md." }),
  methods: set(string({ oneOf: METHODS }), {
    default: ["POST", "PUT", "PATCH"],
    description: "Requests whose body is checked.",
  }),
  body_required: boolean({ default: true, description: "Whether a request without a body is refused." }),
  status: integer({
    default: 400,
    between: [400, 499],
    description: "Of the answer to a body that does not fit.",
  }),
  max_errors: integer({ default: 20, between: [1, 100], description: "Most that one answer tells." }),
});

export default definePlugin({
  name: "request-schema",
  version: "1.0.0",
  priority: 790,
  schema,
  create(config) {
    const check = compileSchema(config.schema);
    const methods: ReadonlySet<string> = new Set(config.methods);

    function problem(status: number, title: string, errors: readonly Misfit[] = []) {
      const told = errors.slice(0, config.max_errors);
      const document = { title, status, ...(told.length > 0 && { errors: told }) };
      return reply(status, JSON.stringify(document), { "Content-Type": "application/problem+json" });
    }

    return {
      async access({ request }) {
        if (!methods.has(request.method)) return;
        const body = await request.readBody();
        if (body === null || body.length === 0)
          return config.body_required ? problem(config.status, "A body is required") : undefined;
        const type = request.headers.get("content-type") ?? "";
        if (!/^application\/(?:json|[\w.-]+\+json)\s*(?:;|$)/i.test(type))
          return problem(415, "The body must be JSON (Content-Type: application/json)");
        let value: unknown;
        try {
          const text = new TextDecoder("utf-8", { fatal: true }).decode(body);
          if (isDeepJson(text, MAX_DEPTH))
            return problem(config.status, `JSON nested deeper than ${MAX_DEPTH}`);
          value = JSON.parse(text);
        } catch {
          return problem(config.status, "The body is not JSON");
        }
        const misfits = check(value);
        if (misfits.length > 0) return problem(config.status, "The body does not fit its schema", misfits);
      },
    };
  },
});
