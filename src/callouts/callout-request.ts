/**
 * What a plugin wants to send, held against what it may: the host is one that its grant names, nothing in URL,
 * method or headers ends a line or a field, and what frames a message is the gateway's alone.
 */
import type { FetchRequest } from "@gatehouse/sdk";
import { HostCallError } from "../sandbox/calls/host-call-error.ts";
import { HOST_CALL_LIMITS } from "../sandbox/calls/host-call-limits.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 section 5.5, and nothing beyond the bytes that a field holds. */
const BAD_VALUE = /[^\t\x20-\x7e\x80-\xff]|^[ \t]|[ \t]$/;
/** Absolute, and nothing that a reader of URLs drops without a word: the WHATWG's takes line ends out. */
const URL_TEXT = /^https?:\/\/[\x21-\x5b\x5d-\x7e]+$/i;

/** Framing and hop-by-hop fields (RFC 9110 section 7.6.1), and the host, which the URL names. */
const RESERVED =
  /^(?:connection|content-length|expect|host|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade)$/;
/** What a redirect to another origin does not take along (RFC 9110 section 15.4). */
const CREDENTIALS = ["authorization", "cookie"];

export interface Callout {
  readonly url: URL;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | null;
}

/** `hosts` are those that the plugin may call; null for all. @throws {HostCallError} */
export function readCallout(
  { url, method = "GET", headers = [], body = null }: FetchRequest,
  hosts: readonly string[] | null,
): Callout {
  const { fetchUrlCharacters, fetchHeaders, fetchHeaderBytes, fetchBodyBytes } = HOST_CALL_LIMITS;
  if (typeof url !== "string" || url.length > fetchUrlCharacters || !URL_TEXT.test(url))
    throw new HostCallError(
      `fetch: the URL is not an absolute one of http or https, of at most ${fetchUrlCharacters} printable characters`,
    );
  const upper = String(method).toUpperCase();
  if (!METHODS.includes(upper)) throw new HostCallError(`fetch: the method is none of ${METHODS.join(", ")}`);
  if (headers.length > fetchHeaders) throw new HostCallError(`fetch: more than ${fetchHeaders} headers`);
  let bytes = 0;
  for (const [name, value] of headers) {
    if (!TOKEN.test(name)) throw new HostCallError("fetch: a header name that is no token");
    if (RESERVED.test(name.toLowerCase()))
      throw new HostCallError(`fetch: the header ${name.toLowerCase()} is the gateway's to write`);
    if (typeof value !== "string" || BAD_VALUE.test(value))
      throw new HostCallError(
        `fetch: control characters or outer spaces in the header ${name.toLowerCase()}`,
      );
    bytes += name.length + value.length;
  }
  if (bytes > fetchHeaderBytes)
    throw new HostCallError(`fetch: headers of more than ${fetchHeaderBytes} bytes`);
  const sent = typeof body === "string" ? Buffer.from(body) : body;
  if (sent !== null && sent.length > fetchBodyBytes)
    throw new HostCallError(`fetch: a body of more than ${fetchBodyBytes} bytes`);
  if (sent !== null && (upper === "GET" || upper === "HEAD"))
    throw new HostCallError(`fetch: a ${upper} request has no body`);
  return { url: checkedUrl(url, undefined, hosts), method: upper, headers, body: sent };
}

/** Where a redirect leads, as the request that follows it (RFC 9110 section 15.4). @throws {HostCallError} */
export function redirected(
  callout: Callout,
  status: number,
  location: string,
  hosts: readonly string[] | null,
): Callout {
  if (location.length > HOST_CALL_LIMITS.fetchUrlCharacters || /[^\x21-\x7e]/.test(location))
    throw new HostCallError("fetch: redirected to something that is no URL");
  const url = checkedUrl(location, callout.url, hosts);
  const changes = status === 303 ? callout.method !== "HEAD" : status < 303 && callout.method === "POST";
  const kept = callout.headers.filter(([name]) => {
    const lower = name.toLowerCase();
    if (url.origin !== callout.url.origin && CREDENTIALS.includes(lower)) return false;
    return !(changes && lower.startsWith("content-"));
  });
  return changes
    ? { url, method: "GET", headers: kept, body: null }
    : { url, method: callout.method, headers: kept, body: callout.body };
}

function checkedUrl(text: string, base: URL | undefined, hosts: readonly string[] | null): URL {
  const url = URL.parse(text, base);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new HostCallError("fetch: the URL is not an absolute one of http or https");
  if (url.username !== "" || url.password !== "")
    throw new HostCallError("fetch: the URL has a user or password; send an Authorization header");
  if (hosts !== null && !isGranted(url, hosts))
    throw new HostCallError(`fetch: ${url.host} is not among the hosts that http_hosts grants`);
  return url;
}

/** `host` alone stands for https on its own port. */
function isGranted({ hostname, port, protocol }: URL, hosts: readonly string[]): boolean {
  if (protocol === "https:" && port === "" && hosts.includes(hostname)) return true;
  return hosts.includes(`${hostname}:${port === "" ? (protocol === "https:" ? 443 : 80) : port}`);
}
