/**
 * Max-Forwards (RFC 9110 section 7.6.2): a client that traces a request, or asks for options, may say at which
 * hop it wants its answer. Here that is the gateway itself when the count is at its end.
 */
import { type Reply, reply } from "@gatehouse/sdk";
import type { ExchangeRequest } from "./exchange.ts";

/** What the gateway itself takes; the resource behind it may take less. TRACE is passed on, and never answered here. */
export const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** Takes one from Max-Forwards. Returns the answer if the request ends here. A value that is no number counts nothing. */
export function countForward({ method, headers }: ExchangeRequest): Reply | undefined {
  const value = headers.get("max-forwards");
  if (value === undefined || !/^[0-9]{1,15}$/.test(value)) return;
  const left = Number(value);
  if (left > 0) return void headers.set("Max-Forwards", String(left - 1));
  // A trace would show whatever credentials are in the request, some under names that nobody here knows.
  return reply(method === "TRACE" ? 405 : 200, null, { Allow: ALLOW });
}
