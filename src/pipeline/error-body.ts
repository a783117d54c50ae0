/**
 * Bodies of the gateway's own errors, in the type that the client accepts (Kong's error templates): JSON, HTML,
 * XML or plain text, each with the message and the request id.
 */

const TYPES = ["application/json", "text/html", "application/xml", "text/plain"] as const;
type ErrorType = (typeof TYPES)[number];

export interface ErrorBody {
  readonly contentType: string;
  readonly text: string;
}

/** `accept` is the Accept field; without one `fallback` is used, and JSON for anything that matches nothing. */
export function errorBody(
  message: string,
  requestId: string,
  accept: string | undefined,
  fallback: string,
): ErrorBody {
  const type = accept === undefined ? known(fallback) : negotiate(accept);
  return { contentType: `${type}; charset=utf-8`, text: render(type, message, requestId) };
}

function known(type: string): ErrorType {
  return TYPES.find((candidate) => candidate === type) ?? "application/json";
}

/** The most wanted of our types; the first named wins among equals. */
function negotiate(accept: string): ErrorType {
  let best: ErrorType = "application/json";
  let bestQuality = 0;
  for (const range of accept.split(",").slice(0, 32)) {
    const [name = "", ...parameters] = range.split(";");
    const type = name.trim().toLowerCase();
    const q = parameters.map((parameter) => /^\s*q=([\d.]{1,5})\s*$/i.exec(parameter)?.[1]).find(Boolean);
    const quality = q === undefined ? 1 : Number(q);
    const match =
      type === "*/*" || type === "application/*"
        ? "application/json"
        : type === "text/*"
          ? "text/plain"
          : type === "text/xml"
            ? "application/xml"
            : TYPES.find((candidate) => candidate === type);
    if (match !== undefined && quality > bestQuality) {
      best = match;
      bestQuality = quality;
    }
  }
  return best;
}

function render(type: ErrorType, message: string, requestId: string): string {
  switch (type) {
    case "application/json":
      return `{\n  "message":${JSON.stringify(message)},\n  "request_id":"${requestId}"\n}`;
    case "text/plain":
      return `${message}\nrequest_id: ${requestId}\n`;
    case "text/html":
      return [
        "<!doctype html>",
        '<html lang="en">',
        '<head><meta charset="utf-8"><title>Error</title></head>',
        `<body><h1>Error</h1><p>${escapeMarkup(message)}.</p><p>request_id: ${requestId}</p></body>`,
        "</html>",
        "",
      ].join("\n");
    case "application/xml":
      return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' +
        `<error><message>${escapeMarkup(message)}</message><requestid>${requestId}</requestid></error>`
      );
  }
}

function escapeMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
