/**
 * Refusals in the form that the client understands, as Kong's `response.error` writes them: JSON by default,
 * or plain text, HTML or XML by the request's Accept, always with the request's id, so that a user can quote
 * it and an operator can find it.
 */
import type { PluginRequest } from "./plugin.ts";
import { checkReplyStatus, type Reply } from "./reply.ts";

const FORMS = ["application/json", "text/html", "text/plain", "application/xml"] as const;
export type ErrorForm = (typeof FORMS)[number];

/**
 * A reply `status` that tells `message`. Unlike `reply(status, { message })` its form follows the request.
 * Of the request only the id and the Accept and Content-Type headers are read.
 * @throws {RangeError} if `status` is not between 200 and 599.
 */
export function errorReply(
  request: Pick<PluginRequest, "id" | "headers">,
  status: number,
  message: string,
  headers: Readonly<Record<string, string>> = {},
  form: ErrorForm = errorForm(request.headers.get("accept")),
): Reply {
  checkReplyStatus(status);
  const pairs = Object.entries(headers) as [string, string][];
  if (request.headers.get("content-type")?.startsWith("application/grpc")) {
    const fields = [
      ["grpc-status", String(grpcStatus(status))] as const,
      ["grpc-message", grpcMessage(message)] as const,
    ];
    return { kind: "reply", status: 200, headers: [...fields, ...pairs], body: "" };
  }
  return {
    kind: "reply",
    status,
    headers: [["Content-Type", `${form}; charset=utf-8`], ...pairs],
    body: errorBody(form, message, request.id),
  };
}

/** The form of an error body that an Accept header prefers (RFC 9110 section 12.5.1); JSON if it has no say. */
export function errorForm(accept: string | undefined): ErrorForm {
  let best: ErrorForm = "application/json";
  if (accept === undefined || accept === "*/*") return best;
  let bestQuality = 0;
  for (const part of accept.split(",", 32)) {
    const [range = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    const form = formFor(range);
    if (form === undefined) continue;
    const quality = Number(parameters.find((text) => text.startsWith("q="))?.slice(2) ?? 1);
    if (quality > bestQuality) {
      best = form;
      bestQuality = quality;
    }
  }
  return best;
}

function formFor(range: string): ErrorForm | undefined {
  if (range === "*/*" || range === "application/*") return "application/json";
  if (range === "text/*") return "text/html";
  if (range === "text/xml") return "application/xml";
  return FORMS.find((form) => form === range);
}

export function errorBody(form: ErrorForm, message: string, id: string): string {
  switch (form) {
    case "application/json":
      return `{\n  "message":${JSON.stringify(message)},\n  "request_id":"${id}"\n}`;
    case "text/plain":
      return `${message}\nrequest_id: ${id}\n`;
    case "text/html":
      return (
        '<!doctype html>\n<html>\n  <head>\n    <meta charset="utf-8">\n    <title>Error</title>\n  </head>\n' +
        `  <body>\n    <h1>Error</h1>\n    <p>${escapeMarkup(message)}.</p>\n    <p>request_id: ${id}</p>\n` +
        "  </body>\n</html>\n"
      );
    case "application/xml":
      return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<error>\n' +
        `  <message>${escapeMarkup(message)}</message>\n  <requestid>${id}</requestid>\n</error>\n`
      );
  }
}

/** A message may quote what the client sent: in markup it must stay text. */
function escapeMarkup(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

/** gRPC percent-encodes everything but printable ASCII ("Responses" in its HTTP/2 protocol document). */
function grpcMessage(text: string): string {
  return text.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent);
}

/** The gRPC status for an HTTP one, by the table of gRPC's "HTTP to gRPC Status Code Mapping". */
function grpcStatus(status: number): number {
  if (status === 400) return 13;
  if (status === 401) return 16;
  if (status === 403) return 7;
  if (status === 404) return 12;
  if (status === 429 || (status >= 502 && status <= 504)) return 14;
  return 2;
}
