/** What a request to the Admin API says of whoever makes it. */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Bearer } from "../access/access.ts";

export function bearerOf({ headers, socket }: IncomingMessage): Bearer {
  const adminToken = headers["kong-admin-token"];
  return {
    authorization: headers.authorization,
    adminToken: Array.isArray(adminToken) ? adminToken.join() : adminToken,
    address: socket.remoteAddress ?? "",
    certificate: certificateOf(socket as Partial<TLSSocket>),
  };
}

/** The certificate that the other end showed, if it was verified. */
function certificateOf(socket: Partial<TLSSocket>): Bearer["certificate"] {
  if (socket.authorized !== true) return null;
  const { fingerprint256, subject } = socket.getPeerCertificate?.() ?? {};
  if (fingerprint256 === undefined) return null;
  const name = subject?.CN;
  return {
    fingerprint: fingerprint256.replaceAll(":", "").toLowerCase(),
    subject: String(Array.isArray(name) ? name[0] : (name ?? "without a name")).slice(0, 200),
  };
}
