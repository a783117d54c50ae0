/**
 * `POST /explain`: what the gateway would do with a request, and why. It changes nothing. A POST, so that header
 * fields with secrets in them stand in no URL.
 */
import { numbered, Refusal, unsupportedType } from "./answers.ts";
import type { AdminPort } from "./port.ts";
import type { Route } from "./routes.ts";

/** Longest request to explain, in bytes of JSON. */
const MAX_BYTES = 256 << 10;

export function explainRoutes(port: AdminPort): Route[] {
  return [
    {
      path: "/explain",
      maxBodyBytes: MAX_BYTES,
      before(call, method) {
        if (method === "POST" && call.type !== "application/json")
          throw unsupportedType(["application/json"]);
      },
      POST(call) {
        let request: unknown;
        try {
          request = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(call.body));
        } catch {
          throw new Refusal(400, { message: "Cannot parse JSON body" });
        }
        const answer = port.explain(request);
        if ("refused" in answer) throw numbered("schemaViolation", answer.refused);
        return { status: 200, body: answer.explained };
      },
    },
  ];
}
