/**
 * How the Admin API's parts declare what they answer, and the one place that turns it into Fastify routes:
 * every other verb on a known path is 405, OPTIONS lists what is there.
 */
import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { ANYBODY, type Asker } from "../access/access.ts";
import { denial, ruleOf } from "../access/roles.ts";
import { DEFAULT_WORKSPACE } from "../entities/entities.ts";
import { Refusal, tooLarge } from "./answers.ts";
import { BodyRoom } from "./body-room.ts";
import type { Query } from "./page.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;
type Method = (typeof METHODS)[number];

export interface Call {
  /** Path without query, as the client wrote it. */
  readonly path: string;
  readonly params: Readonly<Record<string, string | undefined>>;
  readonly query: Query;
  /** Media type in lower case without parameters; empty if there is none. */
  readonly type: string;
  /** The whole header, for bodies whose parameters matter. */
  readonly contentType: string;
  /** The header `gatehouse-signature`, for packages; empty if there is none. */
  readonly signature: string;
  /** Whether the client sends a body. */
  readonly hasBody: boolean;
  /** Empty until the body was read. */
  readonly body: Uint8Array;
  /** Who asks, and may. */
  readonly author: Asker;
}

export interface Answer {
  readonly status: number;
  /** Sent as JSON, a stream as the JSON that it is; none for 204. */
  readonly body?: object | Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

type Handler = (call: Call) => Answer | Promise<Answer>;

export type Route = { readonly path: string } & { readonly [M in Method]?: Handler } & {
  /** Refuses before the body is read: whom it does not let pass cannot make the gateway hold one. */
  readonly before?: (call: Call, method: string) => void;
  /** Longest body, in bytes; 0 where none is read. */
  readonly maxBodyBytes?: number;
  /** Its bodies are bounded for tenants by quotas of their own. */
  readonly isUpload?: true;
};

export interface RouteOptions {
  /** Who makes a request. */
  askerOf(request: FastifyRequest): Asker;
  /** Whether who makes it would be admitted still: an answer that goes on ends when they would not. */
  counts(author: Asker): boolean;
  /** Longest body that whoever is at home in a workspace may send. */
  tenantBodyBytes(workspace: string): number;
}

/** Where anybody may make every request. */
const OPEN: RouteOptions = { askerOf: () => ANYBODY, counts: () => true, tenantBodyBytes: () => 0 };

export function addRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  { askerOf, counts, tenantBodyBytes }: RouteOptions = OPEN,
): void {
  const room = new BodyRoom();
  for (const route of routes) {
    const known = METHODS.filter((method) => route[method]);
    const { maxBodyBytes = 0 } = route;
    const checkLength = ({ author: { workspace } }: Call, bytes: number) => {
      if (bytes > maxBodyBytes) throw tooLarge();
      const most = workspace === null || route.isUpload ? maxBodyBytes : tenantBodyBytes(workspace);
      if (bytes > most)
        throw tooLarge(`${bytes} bytes: the quota body_bytes of workspace '${workspace}' is ${most}`);
    };
    const allow = [...known, ...(known.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
    for (const method of METHODS) {
      const handler = route[method];
      app.route({
        method,
        url: route.path,
        ...(maxBodyBytes === 0 ? {} : { bodyLimit: maxBodyBytes }),
        onRequest: async (request, reply) => {
          if (!handler) throw new Refusal(405, { message: "Method not allowed" }, { allow });
          const call = permitted(callOf(request, askerOf(request)), route.path, method);
          route.before?.(call, method);
          // What needs no body is answered before one is read.
          if (maxBodyBytes === 0) return send(reply, await handler(call), () => counts(call.author));
          if (!call.hasBody) return;
          const length = request.headers["content-length"];
          if (length !== undefined) checkLength(call, Number(length));
          room.take(call.author.workspace ?? "", Number(length ?? maxBodyBytes), reply.raw);
        },
        handler: async (request, reply) => {
          const call = permitted(callOf(request, askerOf(request)), route.path, method);
          checkLength(call, call.body.length);
          return send(reply, await (handler as Handler)(call), () => counts(call.author));
        },
      });
    }
    app.options(route.path, (_, reply) =>
      reply
        .code(204)
        .headers({
          allow,
          "access-control-allow-methods": allow,
          "access-control-allow-headers": "Authorization, Content-Type, Kong-Admin-Token",
        })
        .send(),
    );
  }
}

/** How often who reads an answer that goes on is looked at. */
const LOOK_MS = 1000;

function send(
  reply: FastifyReply,
  { status, headers = {}, body }: Answer,
  counts: () => boolean,
): FastifyReply {
  if (body instanceof Readable) {
    reply.type("application/json; charset=utf-8");
    if (reply.request.method === "HEAD") {
      // Nobody will read it.
      body.destroy();
      return reply.code(status).headers(headers).send();
    }
    const look = setInterval(() => counts() || body.destroy(), LOOK_MS);
    look.unref();
    body.once("close", () => clearInterval(look));
  }
  return reply.code(status).headers(headers).send(body);
}

/**
 * The call, if whoever makes it may. What concerns no workspace is asked in the asker's own.
 * @throws {Refusal} 403
 */
function permitted(call: Call, path: string, method: string): Call {
  const { author, params } = call;
  const rule = ruleOf(path, method);
  const { workspace = DEFAULT_WORKSPACE, id = "" } = params;
  // A workspace may be named twice: as where it is asked, and as what is asked for.
  const named = rule.reach !== "self" ? [workspace] : params.workspace === undefined ? [id] : [id, workspace];
  for (const name of named) {
    const why = denial(author, rule, name);
    if (why !== null) throw new Refusal(403, { message: why });
  }
  if (rule.reach !== "anywhere" || author.workspace === null) return call;
  return { ...call, params: { ...params, workspace: author.workspace } };
}

function callOf(request: FastifyRequest, author: Asker): Call {
  const contentType = request.headers["content-type"] ?? "";
  return {
    path: request.url.split("?", 1)[0] as string,
    params: request.params as Call["params"],
    query: request.query as Query,
    type: (contentType.split(";", 1)[0] as string).trim().toLowerCase(),
    contentType,
    signature: String(request.headers["gatehouse-signature"] ?? ""),
    hasBody:
      request.headers["transfer-encoding"] !== undefined ||
      Number(request.headers["content-length"] ?? 0) > 0,
    author,
    body: request.body instanceof Uint8Array ? request.body : new Uint8Array(),
  };
}
