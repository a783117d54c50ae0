/**
 * request-transformer: changes the path, method, headers, query and body of a request before it goes upstream,
 * in that order except that the body comes before the query, as Kong does it. Values may be templates (see
 * templates.ts), which see the request as it is when their turn comes.
 *
 * A body labelled JSON in which nothing can be edited (no JSON object, no UTF-8, compressed, nested deeper than
 * 1000 levels) is refused with 400 if members are to be removed, renamed or replaced. Kong passes it on, and
 * an upstream that reads more leniently would find the very member that was to be removed. Where members are
 * only added or appended it goes on as it came, and so do bodies of other types.
 */
import {
  type Context,
  definePlugin,
  errorReply,
  fieldValue,
  type HookResult,
  type Hooks,
  type Reply,
  record,
  string,
} from "@gatehouse/sdk";
import { jsonMembers, mediaType } from "./bodies.ts";
import {
  applyEdits,
  type Edits,
  editHeaders,
  edits,
  headerEdits,
  headerNames,
  headerPairs,
  headerRenames,
  names,
  pairs,
} from "./edits.ts";
import { parseTemplate, render, type Template, templateProblem } from "./templates.ts";
import { bytesToLatin1, Fields, latin1ToBytes } from "./urlencoded.ts";

const VALUES = { value: templateProblem };

const schema = record({
  http_method: string({
    match: "^[A-Z]+$",
    description:
      "Method to send upstream. GET, HEAD and TRACE move an urlencoded body into the query string.",
  }),
  remove: record(
    {
      body: names("Members to remove from a JSON or urlencoded body."),
      headers: withoutHost(headerNames("Headers to remove.")),
      querystring: names("Query parameters to remove."),
    },
    { required: true },
  ),
  rename: record(
    {
      body: pairs({ description: "`old:new` names of members." }),
      headers: withoutHost(headerRenames("`old:new` names of headers.")),
      querystring: pairs({ description: "`old:new` names of query parameters." }),
    },
    { required: true },
  ),
  replace: record(
    {
      uri: string({
        check: uriProblem,
        description:
          "Path to send upstream, in place of the service's path and the request's. May be a template.",
      }),
      body: pairs({ description: "`name:value` of members that are there.", ...VALUES }),
      headers: headerPairs({ description: "`name:value` of headers that are there.", ...VALUES }),
      querystring: pairs({ description: "`name:value` of query parameters that are there.", ...VALUES }),
    },
    { required: true },
  ),
  add: record(
    {
      body: pairs({ description: "`name:value` of members that are not there.", ...VALUES }),
      headers: withoutHost(
        headerPairs({ description: "`name:value` of headers that are not there.", ...VALUES }),
      ),
      querystring: pairs({ description: "`name:value` of query parameters that are not there.", ...VALUES }),
    },
    { required: true },
  ),
  append: record(
    {
      body: pairs({ description: "`name:value` to add to a member's values.", ...VALUES }),
      headers: withoutHost(
        headerPairs({
          description: "`name:value` of headers to add beside those that are there.",
          ...VALUES,
        }),
      ),
      querystring: pairs({
        description: "`name:value` of query parameters to add beside those that are there.",
        ...VALUES,
      }),
    },
    { required: true },
  ),
});

export default definePlugin({
  name: "request-transformer",
  version: "1.0.0",
  priority: 801,
  schema,
  create(config): Hooks {
    const place = (name: "headers" | "querystring" | "body") => ({
      remove: config.remove[name],
      rename: config.rename[name],
      replace: config.replace[name],
      add: config.add[name],
      append: config.append[name],
    });
    const uri = config.replace.uri === null ? undefined : parseTemplate(config.replace.uri);
    const method = config.http_method ?? undefined;
    const headers = headerEdits(place("headers"), headerTemplate);
    const query = edits(place("querystring"), parseTemplate);
    const body = edits(place("body"), parseTemplate);
    const bodyless = method === "GET" || method === "HEAD" || method === "TRACE";

    const idle = [uri, method, headers, query, body].every((edit) => edit === undefined);
    if (idle) return {};

    function afterBody(ctx: Context): void {
      if (query !== undefined) transformQuery(query, ctx);
    }

    return {
      access(ctx): HookResult {
        const { request } = ctx;
        if (uri !== undefined) {
          const path = upstreamPath(uri, ctx);
          if (path === undefined) return errorReply(request, 400, "Bad request");
          request.upstreamPath = path;
        }
        if (method !== undefined) request.method = method;
        if (headers !== undefined) editHeaders(headers, request.headers, headerText, ctx);
        if (body === undefined && !bodyless) return afterBody(ctx);

        const type = mediaType(request.headers.get("content-type"));
        if (body !== undefined && type === "multipart") return refuseMultipart(ctx);
        if (type !== "urlencoded" && (type !== "json" || body === undefined)) return afterBody(ctx);
        const bytes = request.readBody();
        if (bytes instanceof Promise) {
          return bytes.then((read) => {
            if (!transformBody(body, type, bodyless, read, ctx)) return refuseUnreadable(ctx);
            afterBody(ctx);
          });
        }
        if (!transformBody(body, type, bodyless, bytes, ctx)) return refuseUnreadable(ctx);
        afterBody(ctx);
      },
    };
  },
});

/** Passing it on unchanged could let through the very field that the configuration removes. */
function refuseMultipart(ctx: Context): Reply {
  return errorReply(ctx.request, 415, "Multipart bodies cannot be transformed yet");
}

function refuseUnreadable(ctx: Context): Reply {
  return errorReply(ctx.request, 400, "The body is not a JSON object that can be read");
}

/** Whether there are edits that must not be passed by. */
function isDemanding({ remove, rename, replace }: Edits<Template>): boolean {
  return remove.length + rename.length + replace.length > 0;
}

/** False if the body cannot be edited and must not pass unedited. */
function transformBody(
  edits: Edits<Template> | undefined,
  type: "json" | "urlencoded",
  bodyless: boolean,
  bytes: Uint8Array | null,
  ctx: Context,
): boolean {
  const { request } = ctx;
  if (type === "json") {
    const members = jsonMembers(bytes === null || bytes.length === 0 ? EMPTY_OBJECT : bytes);
    if (edits === undefined) return true;
    if (members === null) return !isDemanding(edits);
    applyEdits(edits, members, render, ctx);
    request.setBody(members.toBytes());
    return true;
  }
  const fields = new Fields(bytes === null ? "" : bytesToLatin1(bytes));
  if (edits !== undefined) applyEdits(edits, fields, render, ctx);
  const text = fields.toString();
  if (!bodyless) {
    request.setBody(latin1ToBytes(text));
    return true;
  }
  if (text !== "") request.query = request.query === "" ? text : `${request.query}&${text}`;
  request.setBody(new Uint8Array(0));
  return true;
}

const EMPTY_OBJECT = new Uint8Array([0x7b, 0x7d]);

function transformQuery(edits: Edits<Template>, ctx: Context): void {
  const fields = new Fields(ctx.request.query);
  applyEdits(edits, fields, render, ctx);
  ctx.request.query = fields.toString();
}

/** Text that is the same for every request is made a header value once. */
function headerTemplate(text: string): Template {
  const template = parseTemplate(text);
  return typeof template === "string" ? fieldValue(template) : template;
}

/** A value for a header. What a request brought along cannot end the line and begin another header. */
function headerText(template: Template, ctx: Context): string {
  return typeof template === "string" ? template : fieldValue(render(template, ctx));
}

/** Characters that a path cannot hold as they are (RFC 3986 section 3.3). */
const UNSAFE_IN_PATH = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]|%(?![0-9A-Fa-f]{2})/gu;
/** A `.` or `..` segment, however it is spelled: many upstreams decode before they resolve. */
const DOT_SEGMENT = /(^|\/|%2f|%5c)(\.|%2e){1,2}(\/|%2f|%5c|$)/i;

/** The path that a template gives; undefined if the request tries to climb out of it. */
function upstreamPath(template: Template, ctx: Context): string | undefined {
  if (typeof template === "string") return template;
  const text = render(template, ctx).replace(UNSAFE_IN_PATH, (character) =>
    encodeURIComponent(character.toWellFormed()),
  );
  if (DOT_SEGMENT.test(text)) return undefined;
  return `/${text.replace(/^\/+/, "")}`;
}

function uriProblem(text: string): string | undefined {
  const problem = templateProblem(text);
  if (problem !== undefined) return problem;
  if (!text.startsWith("/") && !text.startsWith("$(")) return "should start with: /";
  for (const part of literals(parseTemplate(text))) {
    if (part.includes("?")) return "may hold a path only; set the query with add.querystring";
    if (part.replace(UNSAFE_IN_PATH, "") !== part)
      return "characters that a path cannot hold must be percent-encoded";
  }
}

function literals(template: Template): string[] {
  if (typeof template === "string") return [template];
  return template.parts.filter((part) => typeof part === "string");
}

/** The Host header is the gateway's to add or remove; replace.headers can change it. */
function withoutHost<F extends { readonly elements?: unknown }>(list: F): F {
  const elements = list.elements as { readonly check: (text: string) => string | undefined };
  const check = (text: string) => {
    if (/^host(:|$)/i.test(text.trim())) return "'host' can only be replaced: use replace.headers";
    return elements.check(text);
  };
  return { ...list, elements: { ...elements, check } };
}
