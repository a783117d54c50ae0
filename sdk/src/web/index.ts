/**
 * `@gatehouse/sdk/web`: what JavaScript has on the web, for plugins, in a guest as natively: URL, Headers, Request and
 * Response, and how they meet a hook. It is bundled into the plugins that import it; nobody else pays for it.
 */
import type { Context, FetchAnswer, Hooks, Host, MaybePromise } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { type BodyInit, Request, type RequestInit, Response } from "./messages.ts";
import type { URL } from "./url.ts";

export { Headers } from "./headers.ts";
export { type BodyInit, Request, type RequestInit, Response, type ResponseInit } from "./messages.ts";
export { URL, URLSearchParams } from "./url.ts";

/** An `access` hook of a function from Request to Response; without a Response the request goes on. */
export function onRequest(
  handle: (request: Request, ctx: Context) => MaybePromise<Response | undefined | void>,
): Pick<Hooks, "access"> {
  return {
    async access(ctx) {
      const response = await handle(requestOf(ctx), ctx);
      return response === undefined ? undefined : replyOf(response as Response);
    },
  };
}

/** The request as the client sent it, with the headers that are granted. Changes to it change nothing: use `ctx.request`. */
export function requestOf({ request }: Context): Request {
  const { scheme, host, port, path, query, method } = request;
  const url = `${scheme}://${host}:${port}${path}${query === "" ? "" : `?${query}`}`;
  return new Request(url, { method, headers: request.headers.entries(), body: () => request.readBody() });
}

/** A Response as what a hook returns. */
export async function replyOf(response: Response): Promise<Reply> {
  const { status, headers } = response;
  return { kind: "reply", status, headers: [...headers], body: await response.bytes() };
}

/** `host.fetch` in the web's words; hosts need the grant `http_hosts`. */
export async function webFetch(
  host: Pick<Host, "fetch">,
  input: string | URL | Request,
  init: Omit<RequestInit, "body"> & { readonly body?: BodyInit } = {},
): Promise<Response> {
  const request = input instanceof Request ? input : new Request(input, init);
  const { method, url, headers } = request;
  const body = await request.bytes();
  const sent = body.length === 0 ? {} : { body };
  const answer: FetchAnswer = await host.fetch({ method, url, headers: [...headers], ...sent });
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}
