/**
 * Holds what a guest wants done against what a guest may do, before any of it touches the request.
 *
 * The values come from a process that a guest may have taken over. So everything that could change how a
 * message is framed, routed or attributed is refused here: control characters, hop-by-hop and framing
 * fields, paths that climb, identities that the guest may not speak for.
 */
import { type Context, type Headers, isDeepJson, type Phase, type Reply } from "@gatehouse/sdk";
import type { GuestLimits, HeaderEdit, Verdict } from "../protocol/engine.ts";
import { type HeaderGrant, IDENTITY, type Sight } from "./grants.ts";
import { MAX_VAR_DEPTH } from "./host-call-limits.ts";

/** The guest asked for something that its contract does not allow. */
export class Violation extends Error {}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 section 5.5: everything but tab among the control characters is out. */
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/;
const BAD_PATH = /[\x00-\x20"#<>?\\^`{|}\x7f-\xff]|%(?![0-9a-fA-F]{2})/;
const BAD_QUERY = /[\x00-\x20#\x7f-\xff]/;
const HOST = /^[A-Za-z0-9._~\-[\]:]{1,255}$/;
const VAR_NAME = /^[A-Za-z0-9_.:-]{1,64}$/;

/** Framing and hop-by-hop fields (RFC 9110 section 7.6.1): the codec's alone. */
const UNTOUCHABLE = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Fields that upstreams trust as the gateway's word: only for a guest whose manifest names them. */
const BY_NAME_ONLY =
  /^(?:authorization|cookie|proxy-authorization|set-cookie|host|forwarded|x-forwarded-.*|x-real-ip)$/;

/** Of the vars that all guests of one request have set: they cross with each of its calls. */
export const MAX_VARS = 64;
export const MAX_VARS_BYTES = 64 * 1024;

const MAY_EDIT_REQUEST = new Set<Phase>(["rewrite", "access"]);
const MAY_EDIT_RESPONSE_HEADERS = new Set<Phase>(["rewrite", "access", "response", "header_filter"]);
const MAY_SET_STATUS = new Set<Phase>(["response", "header_filter"]);
const MAY_REPLY = new Set<Phase>(["rewrite", "access", "response"]);

/** Throws a Violation unless every value of the verdict is allowed. */
export function checkVerdict(verdict: Verdict, phase: Phase, sight: Sight, limits: GuestLimits): void {
  const { request, response, chunk, reply, vars, authenticated } = verdict;
  let output = 0;
  if (request !== undefined) {
    if (!MAY_EDIT_REQUEST.has(phase)) throw new Violation(`a ${phase} hook may not edit the request`);
    if (request.headers !== undefined) checkEdits(request.headers, sight.requestHeaders, sight, limits);
    if (request.method !== undefined) checkMethod(request.method);
    if (request.path !== undefined) checkPath(request.path);
    if (request.query !== undefined && BAD_QUERY.test(request.query))
      throw new Violation("a query with control characters, spaces, '#' or characters beyond ASCII");
    output += request.body?.length ?? 0;
  }
  if (response !== undefined) {
    if (response.headers !== undefined) {
      if (!MAY_EDIT_RESPONSE_HEADERS.has(phase))
        throw new Violation(`a ${phase} hook may not edit the response's headers`);
      checkEdits(response.headers, sight.responseHeaders, sight, limits);
    }
    if (response.status !== undefined) {
      if (!MAY_SET_STATUS.has(phase)) throw new Violation(`a ${phase} hook may not set the status`);
      checkStatus(response.status);
    }
    if (response.body !== undefined && phase !== "response")
      throw new Violation(`a ${phase} hook may not set the response's body`);
    output += response.body?.length ?? 0;
  }
  if (chunk !== undefined) {
    if (phase !== "body_filter") throw new Violation(`a ${phase} hook may not replace a chunk`);
    output += chunk.length;
  }
  if (reply !== undefined) {
    if (!MAY_REPLY.has(phase)) throw new Violation(`a ${phase} hook may not reply`);
    checkStatus(reply.status);
    checkEdits(
      reply.headers.map(([name, value]) => ["add", name, value] as const),
      sight.responseHeaders,
      sight,
      limits,
    );
    output += reply.body.length;
  }
  if (output > limits.outputBytes)
    throw new Violation(`bodies of ${output} bytes, at most ${limits.outputBytes} may leave a guest`);
  if (vars !== undefined)
    for (const name of Object.keys(vars))
      if (!VAR_NAME.test(name) || name === "__proto__")
        throw new Violation("a shared var with an unusable name");
  if (authenticated !== undefined) {
    if (!sight.grants.consumer) throw new Violation("authenticate() without the consumer grant");
    if (phase !== "access" && phase !== "rewrite")
      throw new Violation(`a ${phase} hook may not authenticate a consumer`);
  }
}

function checkEdits(
  edits: readonly HeaderEdit[],
  grant: HeaderGrant,
  sight: Sight,
  limits: GuestLimits,
): void {
  if (edits.length > limits.headerCount)
    throw new Violation(`${edits.length} header edits, at most ${limits.headerCount}`);
  let bytes = 0;
  for (const edit of edits) {
    const name = edit[1];
    if (!TOKEN.test(name)) throw new Violation("a header name that is no token");
    const lower = name.toLowerCase();
    if (UNTOUCHABLE.has(lower))
      throw new Violation(`an edit of the header ${lower}, which frames the message`);
    if ((BY_NAME_ONLY.test(lower) && !grant.names(lower)) || grant.conceals(lower))
      throw new Violation(`an edit of the header ${lower}, which the manifest does not name`);
    if (IDENTITY.test(lower) && !grant.names(lower) && !sight.grants.consumer)
      throw new Violation(`an edit of the header ${lower} without the consumer grant`);
    bytes += name.length;
    if (edit[0] === "remove") {
      if (lower === "host") throw new Violation("a request without Host");
      continue;
    }
    bytes += edit[2].length;
    if (BAD_VALUE.test(edit[2]))
      throw new Violation(`control characters or outer spaces in the header ${lower}`);
    if (lower === "host" && (edit[0] === "add" || !HOST.test(edit[2])))
      throw new Violation("a second or malformed Host");
  }
  if (bytes > limits.headerBytes)
    throw new Violation(`header edits of ${bytes} bytes, at most ${limits.headerBytes}`);
}

function checkMethod(method: string): void {
  if (!TOKEN.test(method) || method.length > 32) throw new Violation("a method that is no token");
  // TRACE has the upstream show, in a body, credentials that the guest may not see (RFC 9110 section 9.3.8).
  if (/^(?:CONNECT|TRACE)$/i.test(method)) throw new Violation(`the method ${method.toUpperCase()}`);
}

/** `/`-rooted, without a step upwards however it is written, and nothing that could be read as an authority. */
function checkPath(path: string): void {
  if (path[0] !== "/" || path[1] === "/") throw new Violation("a path that does not start with one '/'");
  if (BAD_PATH.test(path)) throw new Violation("a path with characters that must be percent-encoded");
  const bare = path.replace(/%2e/gi, ".").replace(/%2f|%5c/gi, "/");
  if (bare.startsWith("//")) throw new Violation("a path that does not start with one '/'");
  for (const segment of bare.split("/"))
    if (segment === ".." || segment === "." || /^\.\.?;/.test(segment))
      throw new Violation("a path with '.' or '..' segments");
}

function checkStatus(status: number): void {
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new Violation(`the status ${status}, between 200 and 599 is allowed`);
}

/** A var as it crosses to the next guest. */
function varText(value: unknown): string {
  let text: string | null;
  try {
    text = JSON.stringify(value) ?? "";
  } catch {
    text = null; // so deep that this thread's stack has no room for it
  }
  if (text === null || isDeepJson(text, MAX_VAR_DEPTH))
    throw new Violation(`a shared var that is nested deeper than ${MAX_VAR_DEPTH} levels`);
  return text;
}

/** Bytes of the vars that guests have set, by name, for each request's vars. */
const guestVars = new WeakMap<object, Map<string, number>>();

/** Makes room for a verdict's vars. Throws a Violation if guests would have set more along a request than they may. */
export function reserveVars(vars: Verdict["vars"], ctx: Context): void {
  if (vars === undefined) return;
  const sizes = new Map(guestVars.get(ctx.vars));
  for (const [name, value] of Object.entries(vars)) {
    if (value === null) sizes.delete(name);
    else sizes.set(name, name.length + Buffer.byteLength(varText(value)));
  }
  let bytes = 0;
  for (const size of sizes.values()) bytes += size;
  if (sizes.size > MAX_VARS)
    throw new Violation(`${sizes.size} shared vars, at most ${MAX_VARS} may be set along a request`);
  if (bytes > MAX_VARS_BYTES)
    throw new Violation(`shared vars of ${bytes} bytes, at most ${MAX_VARS_BYTES} along a request`);
  guestVars.set(ctx.vars, sizes);
}

/** Does what a checked verdict says, except for `authenticated`. Returns the reply, if there is one. */
export function applyVerdict(
  verdict: Verdict,
  ctx: Context,
  { requestHeaders }: Pick<Sight, "requestHeaders">,
): Reply | undefined {
  const { request, response, reply, vars } = verdict;
  if (request !== undefined) {
    if (request.headers !== undefined) applyEdits(request.headers, ctx.request.headers);
    if (request.method !== undefined) ctx.request.method = request.method;
    if (request.path !== undefined) ctx.request.upstreamPath = request.path;
    if (request.query !== undefined)
      ctx.request.query = requestHeaders.writtenQuery(request.query, ctx.request.query);
    if (request.body !== undefined) ctx.request.setBody(request.body);
  }
  if (response !== undefined) {
    if (response.headers !== undefined) applyEdits(response.headers, ctx.response.headers);
    if (response.status !== undefined) ctx.response.status = response.status;
    if (response.body !== undefined) ctx.response.setBody(response.body);
  }
  if (vars !== undefined)
    for (const name of Object.keys(vars)) {
      if (vars[name] === null) delete ctx.vars[name];
      else ctx.vars[name] = vars[name];
    }
  return reply && { kind: "reply", status: reply.status, headers: reply.headers, body: reply.body };
}

function applyEdits(edits: readonly HeaderEdit[], headers: Headers): void {
  for (const edit of edits) {
    if (edit[0] === "set") headers.set(edit[1], edit[2]);
    else if (edit[0] === "add") headers.add(edit[1], edit[2]);
    else headers.remove(edit[1]);
  }
}
