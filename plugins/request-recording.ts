/**
 * request-recording: keeps some requests of a route, so that a new version of a plugin can be tried on them before it
 * serves any. It runs before every other plugin, and what is secret is taken out before anything is kept.
 */
import {
  array,
  boolean,
  type Context,
  definePlugin,
  type HookResult,
  integer,
  number,
  type RecordedBody,
  type Recording,
  record,
  string,
  whenReady,
} from "@gatehouse/sdk";
import { Redaction } from "./redaction.ts";

/** The longest body that is kept, and how many requests of one entity. */
export const MAX_BODY_BYTES = 65_536;
export const MAX_REQUESTS = 1000;
export const MAX_TTL_SECONDS = 7 * 86_400;

const names = (description: string) =>
  array(string({ lenMin: 1, lenMax: 128 }), { required: true, default: [], lenMax: 100, description });

const schema = record({
  sample_rate: number({
    required: true,
    default: 1,
    between: [0, 1],
    description: "The part of the requests that is recorded: 0.01 for one in a hundred.",
  }),
  max_requests: integer({
    required: true,
    default: 100,
    between: [1, MAX_REQUESTS],
    description: "How many requests are kept; the oldest make room for new ones.",
  }),
  ttl_seconds: integer({
    required: true,
    default: 86_400,
    between: [1, MAX_TTL_SECONDS],
    description: "How long a request is kept.",
  }),
  max_body_bytes: integer({
    required: true,
    default: 16_384,
    between: [0, MAX_BODY_BYTES],
    description:
      "Bodies up to this length are kept; of a longer one of a response what comes first, of a request nothing.",
  }),
  response: boolean({
    required: true,
    default: true,
    description:
      "Record what the service answers too. Without it plugins' hooks of the response cannot be replayed.",
  }),
  redact_headers: names(
    "Headers whose value is not kept, beside Authorization, Proxy-Authorization, Cookie, Set-Cookie, those in which " +
      "clients send their keys, and those whose names say that they carry a secret.",
  ),
  redact_query: names(
    "Parameters of the query, and members of urlencoded and JSON bodies, whose value is not kept, beside those in which " +
      "clients send their keys, and those whose names say that they carry a secret.",
  ),
});

/** What is known of a request that is being recorded. */
interface Draft {
  readonly requestId: string;
  readonly redaction: Redaction;
  readonly request: Omit<Recording["request"], "body">;
  body: RecordedBody | null;
  response: Recording["response"];
  /** Of the response: what came of its body. */
  chunks: Uint8Array[];
  length: number;
  /** Whether the body was there whole, for another plugin. */
  collected: boolean;
  /** Whether its end has come. */
  ended: boolean;
}

const EMPTY = new Uint8Array();

export default definePlugin({
  name: "request-recording",
  version: "1.0.0",
  // Before Kong's first, which is pre-function.
  priority: 1_000_001,
  schema,
  forbids: ["consumer"],
  create(config, host) {
    const { recordings } = host;
    if (recordings === undefined) return {};
    const { max_body_bytes: maxBytes } = config;
    /** By context, which may serve one request after the other; null for a request that is not recorded. */
    const drafts = new WeakMap<Context, Draft | string>();

    function draftOf(ctx: Context): Draft | null {
      const draft = drafts.get(ctx);
      return typeof draft === "object" && draft.requestId === ctx.request.id ? draft : null;
    }

    function begin(ctx: Context): Draft | null {
      const { id } = ctx.request;
      const known = drafts.get(ctx);
      if (known === id) return null;
      if (typeof known === "object" && known.requestId === id) return known;
      const chosen =
        config.sample_rate > 0 && Math.random() < config.sample_rate && recordings?.mayRecord() === true;
      if (!chosen) {
        drafts.set(ctx, id);
        return null;
      }
      const { method, scheme, host: name, port, path, query, clientIp, headers } = ctx.request;
      const redaction = new Redaction(
        config.redact_headers,
        config.redact_query,
        recordings.credentialNames(),
      );
      const draft: Draft = {
        requestId: id,
        redaction,
        request: {
          method,
          scheme,
          host: name,
          port,
          path,
          query: redaction.query(query),
          clientIp,
          headers: redaction.headers(headers.entries()),
        },
        body: null,
        response: null,
        chunks: [],
        length: 0,
        collected: false,
        ended: false,
      };
      drafts.set(ctx, draft);
      return draft;
    }

    /** A body that is too long, or whose length nobody knows, is not waited for. */
    function readBody(ctx: Context, draft: Draft): HookResult {
      const { headers } = ctx.request;
      const length = Number(headers.get("content-length") ?? Number.NaN);
      if (length === 0 || (Number.isNaN(length) && !headers.has("transfer-encoding"))) return;
      draft.body = { bytes: EMPTY, length: Number.isNaN(length) ? null : length };
      if (!(length <= maxBytes)) return;
      const type = headers.get("content-type");
      const encoding = headers.get("content-encoding");
      return whenReady(ctx.request.readBody(), (bytes) => {
        if (bytes !== null) draft.body = whole(draft.redaction, bytes, type, encoding);
      });
    }

    function takeHead(ctx: Context, draft: Draft): void {
      const { status, headers, source } = ctx.response;
      if (source !== "service" || draft.response !== null) return;
      draft.response = { status, headers: draft.redaction.headers(headers.entries()), body: null };
    }

    function finished(ctx: Context, draft: Draft): Recording {
      const { route, service, consumer } = ctx;
      const { response } = draft;
      return {
        at: ctx.request.startedAt,
        route: route && { id: route.id, name: route.name },
        service: service && { id: service.id, name: service.name, host: service.host },
        consumer: consumer && { id: consumer.id, username: consumer.username, custom_id: consumer.custom_id },
        request: { ...draft.request, body: draft.body },
        response: response && { ...response, body: responseBody(draft, response.headers) },
      };
    }

    function responseBody(
      draft: Draft,
      headers: readonly (readonly [string, string])[],
    ): RecordedBody | null {
      const { chunks, length, ended, redaction } = draft;
      if (length === 0 && ended) return null;
      const type = fieldOf(headers, "content-type");
      const encoding = fieldOf(headers, "content-encoding");
      const bytes = joined(chunks, Math.min(length, maxBytes));
      if (ended && length <= maxBytes) return whole(redaction, bytes, type, encoding);
      // Of one that broke off nobody knows how long it is.
      return { bytes: redaction.maybePart(type, encoding) ? bytes : EMPTY, length: ended ? length : null };
    }

    const keep = { most: config.max_requests, ttlMs: config.ttl_seconds * 1000 };
    const hooks = {
      // Of entities for everything alone: they see the request before others change it here.
      rewrite(ctx: Context) {
        begin(ctx);
      },
      access(ctx: Context): HookResult {
        const draft = begin(ctx);
        return draft === null ? undefined : readBody(ctx, draft);
      },
      log(ctx: Context) {
        const draft = draftOf(ctx);
        if (draft === null) return;
        drafts.delete(ctx);
        recordings.add(finished(ctx, draft), keep);
      },
    };
    if (!config.response) return hooks;
    return {
      ...hooks,
      observes: true,
      response(ctx) {
        const draft = draftOf(ctx);
        if (draft === null) return;
        takeHead(ctx, draft);
        take(draft, ctx.response.body ?? EMPTY, maxBytes);
        draft.collected = true;
        draft.ended = true;
      },
      headerFilter(ctx) {
        const draft = draftOf(ctx);
        if (draft !== null) takeHead(ctx, draft);
      },
      bodyFilter(ctx, chunk, last) {
        const draft = draftOf(ctx);
        if (draft === null || draft.collected || ctx.response.source !== "service") return;
        take(draft, chunk, maxBytes);
        draft.ended = last;
      },
    };
  },
});

/** A copy of what there is room for. */
function take(draft: Draft, chunk: Uint8Array, maxBytes: number): void {
  const room = maxBytes - draft.length;
  if (room > 0 && chunk.length > 0) draft.chunks.push(new Uint8Array(chunk.subarray(0, room)));
  draft.length += chunk.length;
}

/** What of a body may be kept. */
function whole(
  redaction: Redaction,
  bytes: Uint8Array,
  type: string | undefined,
  encoding: string | undefined,
): RecordedBody {
  const shown = redaction.body(bytes, type, encoding);
  if (shown === null) return { bytes: EMPTY, length: bytes.length };
  // A copy: what is kept is not the gateway's buffer.
  return { bytes: new Uint8Array(shown), length: shown.length };
}

function fieldOf(headers: readonly (readonly [string, string])[], lower: string): string | undefined {
  return headers.find(([name]) => name.toLowerCase() === lower)?.[1];
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
