/** A request that somebody wants explained, from what they wrote: a method, a URL, header fields. */
import { isIP } from "node:net";
import { isObject } from "@gatehouse/sdk";
import { hostOf } from "../pipeline/exchange.ts";
import { byteString, normalizePath } from "../router/path.ts";
import type { MatchInput } from "../router/router.ts";

/** In the words of the Admin API. */
export interface ExplainRequest {
  readonly method: string;
  readonly url: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly client_ip?: string;
  readonly sni?: string;
}

/** Why a request cannot be explained, for whoever wrote it. */
export class ExplainInputError extends Error {
  override name = "ExplainInputError";
}

/** What routes and the upstream's request line are made from. */
export interface ExplainedInput extends MatchInput {
  /** Value of Host. */
  readonly authority: string;
  readonly hasQuery: boolean;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const MAX_URL = 16_384;
const MAX_HEADERS = 1_000;

/** @throws {ExplainInputError} */
export function readExplainRequest(value: unknown): ExplainedInput {
  if (!isObject(value)) throw new ExplainInputError("expected an object with method and url");
  const known = ["method", "url", "headers", "client_ip", "sni"];
  const stranger = Object.keys(value).find((key) => !known.includes(key));
  if (stranger !== undefined)
    throw new ExplainInputError(`unknown field '${stranger}'; allowed: ${known.join(", ")}`);
  const method = text(value.method, "method");
  if (!TOKEN.test(method)) throw new ExplainInputError(`'${method}' is no method; write GET, POST, …`);
  const { scheme, authority, path, query, hasQuery } = readUrl(text(value.url, "url"));
  const headers = readHeaders(value.headers ?? []);
  const host = headers.get("host")?.[0] ?? authority;
  const clientIp = value.client_ip === undefined ? "127.0.0.1" : text(value.client_ip, "client_ip");
  if (isIP(clientIp) === 0) throw new ExplainInputError(`client_ip: '${clientIp}' is no IP address`);
  const named = value.sni === undefined ? null : text(value.sni, "sni").toLowerCase();
  // A client asks for the name that it connects to, which an address is not.
  const ofUrl = isIP(hostOf(authority).replace(/^\[|\]$/g, "")) === 0 ? hostOf(authority) : null;
  return {
    method,
    scheme,
    host: hostOf(host),
    authority: host,
    port: portOf(authority, scheme),
    path: normalizePath(path),
    query,
    hasQuery,
    sni: scheme === "https" ? (named ?? ofUrl) : null,
    clientIp,
    // Not known of a request that is only thought of: expressions that ask are false.
    clientPort: Number.NaN,
    localIp: "",
    headerValues: (name) => headers.get(name) ?? [],
  };
}

function text(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  throw new ExplainInputError(
    value === undefined ? `${field}: required field missing` : `${field}: expected a string`,
  );
}

function readUrl(url: string) {
  if (url.length > MAX_URL)
    throw new ExplainInputError(`the URL has ${url.length} characters; at most ${MAX_URL} are allowed`);
  if (!/^[\x21-\x7e]*$/.test(url))
    throw new ExplainInputError("the URL has characters that no request line may have; percent-encode them");
  // By hand, as a parsed URL has its path normalised in another way than requests'.
  const parts = /^(https?):\/\/([^/?#]+)([^?#]*)(?:(\?)([^#]*))?(?:#.*)?$/.exec(url);
  if (parts === null || !URL.canParse(`${parts[1]}://${parts[2]}`) || parts[2]!.includes("@"))
    throw new ExplainInputError(
      `'${url}' is no URL of a request; write http://host/path or https://host/path`,
    );
  const [, scheme, authority, path, question, query] = parts;
  return {
    scheme: scheme as "http" | "https",
    authority: authority as string,
    path: path || "/",
    query: query ?? "",
    hasQuery: question !== undefined,
  };
}

function portOf(authority: string, scheme: string): number {
  const port = /:(\d+)$/.exec(authority)?.[1];
  return port === undefined ? (scheme === "https" ? 443 : 80) : Number(port);
}

function readHeaders(list: unknown): Map<string, string[]> {
  const out = new Map<string, string[]>();
  if (!Array.isArray(list) || list.length > MAX_HEADERS)
    throw new ExplainInputError(`headers: expected a list of at most ${MAX_HEADERS} [name, value] pairs`);
  for (const pair of list as unknown[]) {
    const [name, value] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    if (typeof name !== "string" || typeof value !== "string")
      throw new ExplainInputError("headers: expected [name, value] pairs of strings");
    if (!TOKEN.test(name)) throw new ExplainInputError(`'${name}' is no name of a header`);
    const lower = name.toLowerCase();
    const values = out.get(lower);
    if (values === undefined) out.set(lower, [byteString(value)]);
    else values.push(byteString(value));
  }
  return out;
}
