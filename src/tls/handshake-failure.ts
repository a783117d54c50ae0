/** Kinds of handshakes that fail, for those who count them. */

export const HANDSHAKE_FAILURES = [
  /** HTTP without TLS. */
  "plain_http",
  "timeout",
  /** The connection ended, or broke, in the middle. */
  "client_left",
  /** The client refused what it was shown: it sent an alert. */
  "client_alert",
  "protocol_version",
  /** No cipher, group or signature that both know. */
  "no_shared_parameters",
  "no_shared_protocol",
  "client_hello",
  /** A session that was made for another name. */
  "session_name",
  /** The gateway's own certificate cannot be used. */
  "certificate",
  /** The gateway stops, or has no descriptors left. */
  "abandoned",
  "other",
] as const;

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];

/** OpenSSL's words for reasons (`openssl errstr`), by what they come to. The first that fits counts. */
const OPENSSL: readonly (readonly [pattern: RegExp, kind: HandshakeFailure])[] = [
  [/alert/, "client_alert"],
  [/unsupported protocol|version/, "protocol_version"],
  [/no application protocol/, "no_shared_protocol"],
  [/no shared|no suitable|no common|bad key share/, "no_shared_parameters"],
];

/** What an error of the connection, or of OpenSSL on it, comes to. */
export function failureOf(reason: string): HandshakeFailure {
  if (!reason.startsWith("TLS: ")) return "client_left";
  return OPENSSL.find(([pattern]) => pattern.test(reason))?.[1] ?? "other";
}
