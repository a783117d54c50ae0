/**
 * Everything that can go wrong between a client and its upstream, in one table: the status and message that a
 * client may see (Kong's words), where the fault lies, and whether another attempt may help. Context and cause
 * are for the log.
 */

export type ErrorSource = "downstream" | "upstream" | "plugin" | "internal";

interface ErrorKind {
  readonly status: number;
  readonly source: ErrorSource;
  readonly message: string;
  /** Whether trying another target may help. */
  readonly retry?: boolean;
  /**
   * Errors that Kong answers itself are JSON unless Accept says otherwise; those that nginx answers for it go by
   * `error_default_type`.
   */
  readonly json?: boolean;
}

export const ERRORS = {
  // What the client sent cannot be one request: the connection is closed after the answer.
  bad_request: { status: 400, source: "downstream", message: "Bad request" },
  bad_request_line: { status: 400, source: "downstream", message: "Bad request" },
  bad_header: { status: 400, source: "downstream", message: "Bad request" },
  bad_framing: { status: 400, source: "downstream", message: "Bad request" },
  bad_host: { status: 400, source: "downstream", message: "Bad request" },
  bad_chunk: { status: 400, source: "downstream", message: "Bad request" },
  head_too_large: { status: 431, source: "downstream", message: "Request header or cookie too large" },
  url_too_long: { status: 414, source: "downstream", message: "URI too long" },
  method_refused: { status: 405, source: "downstream", message: "CONNECT is not served" },
  expectation_failed: { status: 417, source: "downstream", message: "Expectation failed" },
  method_unknown: { status: 501, source: "downstream", message: "Not implemented" },
  transfer_coding: { status: 501, source: "downstream", message: "Not implemented" },
  http_version: { status: 505, source: "downstream", message: "HTTP version not supported" },
  misdirected: { status: 421, source: "downstream", message: "Misdirected request" },
  request_timeout: { status: 408, source: "downstream", message: "Request timeout" },
  body_too_large: { status: 413, source: "downstream", message: "Payload too large" },
  client_slow: { status: 499, source: "downstream", message: "Client closed request" },
  client_closed: { status: 499, source: "downstream", message: "Client closed request" },
  https_required: { status: 426, source: "downstream", message: "Please use HTTPS protocol", json: true },

  // Upgrades (RFC 9110 section 7.8, RFC 6455 section 4.2).
  upgrade_refused: { status: 501, source: "downstream", message: "Only upgrades to WebSocket are served" },
  websocket_handshake: { status: 400, source: "downstream", message: "Not a WebSocket handshake" },
  websocket_version: {
    status: 426,
    source: "downstream",
    message: "Only version 13 of WebSocket is served",
  },

  // The configuration has no answer.
  no_route: { status: 404, source: "internal", message: "no Route matched with those values", json: true },
  no_service: { status: 503, source: "internal", message: "no Service found with those values", json: true },

  // The upstream.
  no_peer: {
    status: 503,
    source: "upstream",
    message: "failure to get a peer from the ring-balancer",
    json: true,
  },
  egress_refused: {
    status: 503,
    source: "upstream",
    message: "failure to get a peer from the ring-balancer",
    json: true,
  },
  name_resolution: { status: 503, source: "upstream", message: "name resolution failed", json: true },
  upstream_connect: {
    status: 502,
    source: "upstream",
    message: "An invalid response was received from the upstream server",
    retry: true,
  },
  upstream_connect_timeout: {
    status: 504,
    source: "upstream",
    message: "The upstream server is timing out",
    retry: true,
  },
  upstream_timeout: { status: 504, source: "upstream", message: "The upstream server is timing out" },
  upstream_closed: {
    status: 502,
    source: "upstream",
    message: "An invalid response was received from the upstream server",
  },
  upstream_invalid: {
    status: 502,
    source: "upstream",
    message: "An invalid response was received from the upstream server",
  },
  response_too_large: {
    status: 502,
    source: "upstream",
    message: "An invalid response was received from the upstream server",
  },

  // Plugins and ourselves.
  plugin_failed: { status: 500, source: "plugin", message: "An unexpected error occurred", json: true },
  plugin_unavailable: {
    status: 503,
    source: "plugin",
    message: "A plugin of this route is unavailable",
    json: true,
  },
  plugin_budget: {
    status: 429,
    source: "plugin",
    message: "The plugins of this workspace have used up their CPU time",
    json: true,
  },
  body_storage: { status: 503, source: "internal", message: "The body cannot be stored" },
  internal: { status: 500, source: "internal", message: "An unexpected error occurred" },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** A request that cannot go on. `detail` is for the log alone. */
export class GatewayError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  /** Seconds after which the client may try again (Retry-After); null where nobody knows. */
  readonly retryAfterS: number | null;

  constructor(code: ErrorCode, detail?: string, options?: ErrorOptions & { retryAfterS?: number }) {
    super(detail ?? ERRORS[code].message, options);
    this.retryAfterS = options?.retryAfterS ?? null;
    this.name = "GatewayError";
    this.code = code;
    this.kind = ERRORS[code];
  }
}
