/**
 * From where the Admin API may be spoken to at all. A web page that the operator happens to have open has two ways
 * in, past everything that keeps others out: a name that re-binds to 127.0.0.1 (refused by `Host`) and a request
 * across origins (refused by `Origin`).
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { isLoopback } from "../settings/addresses.ts";
import { plainAddress } from "../threads/address-key.ts";
import { Refusal } from "./answers.ts";

export interface GuardOptions {
  /** Further names, without port. */
  readonly allowedHosts: readonly string[];
  /** Origins of pages that may use the API. */
  readonly allowedOrigins: readonly string[];
}

/**
 * Checks a request's `Host` and `Origin`.
 * @returns the headers that a page of an allowed origin needs to read the answer.
 * @throws {Refusal} 403
 */
export function checkSource(request: IncomingMessage, options: GuardOptions): Record<string, string> {
  const written = request.headers.host ?? "";
  const host = hostName(written);
  // An address cannot be re-bound: only names can lie about where they lead.
  const address = host?.replace(/^\[|\]$/g, "") ?? "";
  const { localAddress = "", encrypted } = request.socket as Socket & { encrypted?: boolean };
  const isOwn = host === "localhost" || isLoopback(address) || address === plainAddress(localAddress);
  if (host === undefined || !(isOwn || options.allowedHosts.includes(host)))
    throw new Refusal(403, {
      message: "This Host is not served by the Admin API; the operator allows names by admin_allowed_hosts",
    });
  const { origin } = request.headers;
  if (origin === undefined) return {};
  if (options.allowedOrigins.includes(origin))
    return {
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
      vary: "Origin",
    };
  // A page that the Admin API itself would have served. Its Host was checked above.
  if (origin === `${encrypted === true ? "https" : "http"}://${written.toLowerCase()}`) return {};
  throw new Refusal(403, {
    message:
      "Pages of this Origin may not use the Admin API; the operator allows origins by admin_allowed_origins",
  });
}

/** Whether a browser asks what a page may send, before it sends it. */
export function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === "OPTIONS" && headers["access-control-request-method"] !== undefined;
}

/** The name in a Host header, lower-case, without its port; undefined if it is not one. */
function hostName(host: string): string | undefined {
  const parts = /^(\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::\d{1,5})?$/.exec(host.toLowerCase());
  return parts?.[1];
}
