/**
 * What of a request a guest may see. Nothing crosses that the manifest's grants do not name.
 */
import type { Context, Headers, Measures, Phase } from "@gatehouse/sdk";
import { HeaderList } from "../../http1/headers.ts";
import type { GuestCall } from "../protocol/engine.ts";
import { type CredentialNames, NO_CREDENTIALS, queryWithConcealed, shownQuery } from "./credential-names.ts";

/** `grants` of plugin.yaml, as consented to. Header names are lower-case. */
export interface GuestGrants {
  /** Names, or "*" for all but authorization, cookie and proxy-authorization (those only by name). */
  readonly requestHeaders: readonly string[];
  /** Names, or "*" for all but set-cookie. */
  readonly responseHeaders: readonly string[];
  /** The longest body that crosses; 0 for none. */
  readonly requestBodyBytes: number;
  readonly responseBodyBytes: number;
  readonly consumer: boolean;
  readonly log: boolean;
  readonly metrics: boolean;
  /** Most that its keys and values take; above 0 it may count windows too. */
  readonly kvBytes: number;
  /** Hosts that it may call, `host` (https on port 443) or `host:port`, lower-case. */
  readonly httpHosts: readonly string[];
  /** Names of the secrets that it may read. */
  readonly secrets: readonly string[];
}

export const NO_GRANTS: GuestGrants = {
  requestHeaders: [],
  responseHeaders: [],
  requestBodyBytes: 0,
  responseBodyBytes: 0,
  consumer: false,
  log: false,
  metrics: false,
  kvBytes: 0,
  httpHosts: [],
  secrets: [],
};

/** Names that `*` does not cover. */
export const SECRET_REQUEST_HEADERS = ["authorization", "cookie", "proxy-authorization"];
export const SECRET_RESPONSE_HEADERS = ["set-cookie"];

/** What tells an upstream who the consumer is. */
export const IDENTITY = /^x-(?:consumer|credential|anonymous-consumer)(?:-|$)/;

interface Withheld {
  readonly secret: readonly string[];
  readonly credentials: CredentialNames;
  /** Whether who the consumer is. */
  readonly identity: boolean;
}

/** Decides by lower-case name. */
export class HeaderGrant {
  readonly #all: boolean;
  readonly #named: ReadonlySet<string>;
  /** What "*" does not cover. */
  readonly #withheld: Withheld;

  constructor(names: readonly string[], withheld: Withheld) {
    this.#all = names.includes("*");
    this.#named = new Set(names.map((name) => name.toLowerCase()));
    this.#withheld = withheld;
  }

  readonly #allowed = (name: string): boolean => this.allows(name);

  /** Whether the guest may read the header. */
  allows(name: string): boolean {
    if (this.#named.has(name)) return true;
    const { secret, credentials, identity } = this.#withheld;
    if (!this.#all || secret.includes(name)) return false;
    return !(
      (credentials.size > 0 && credentials.has(name)) ||
      (identity && name.startsWith("x-") && IDENTITY.test(name))
    );
  }

  /** Whether clients send credentials under the name, and the manifest does not ask for it. */
  conceals(name: string): boolean {
    return this.#withheld.credentials.has(name) && !this.#named.has(name);
  }

  /** The query as the guest sees it. */
  shownQuery(query: string): string {
    if (this.#withheld.credentials.size === 0 || query === "") return query;
    return shownQuery(query, (name) => this.conceals(name));
  }

  /** The query that a guest wrote, with what it could not see of the one before. */
  writtenQuery(written: string, before: string): string {
    if (this.#withheld.credentials.size === 0 || before === "") return written;
    return queryWithConcealed(written, before, (name) => this.conceals(name));
  }

  /** Whether the manifest asks for this very name. */
  names(name: string): boolean {
    return this.#named.has(name);
  }

  select(headers: Headers): [string, string][] {
    if (!this.#all && this.#named.size === 0) return [];
    // Those of a request know their names in lower case.
    if (headers instanceof HeaderList) return headers.select(this.#allowed);
    return headers.entries().filter(([name]) => this.allows(name.toLowerCase()));
  }
}

/** `credentials` are the names under which clients of the workspace send theirs. */
export function requestHeaderGrant(
  grants: GuestGrants,
  credentials: CredentialNames = NO_CREDENTIALS,
): HeaderGrant {
  return new HeaderGrant(grants.requestHeaders, {
    secret: SECRET_REQUEST_HEADERS,
    credentials,
    identity: !grants.consumer,
  });
}

export function responseHeaderGrant(grants: GuestGrants): HeaderGrant {
  return new HeaderGrant(grants.responseHeaders, {
    secret: SECRET_RESPONSE_HEADERS,
    credentials: NO_CREDENTIALS,
    identity: false,
  });
}

export interface Sight {
  readonly grants: GuestGrants;
  readonly requestHeaders: HeaderGrant;
  readonly responseHeaders: HeaderGrant;
}

/** The request as one guest may see it. `body` is the request's, if it may cross. */
export function guestCall(
  sight: Sight,
  ctx: Context,
  phase: Phase,
  now: number,
  body: Uint8Array | null,
  chunk: { data: Uint8Array; last: boolean } | null,
): GuestCall {
  const { request, route, service, consumer, credential } = ctx;
  const seesResponse = phase !== "rewrite" && phase !== "access";
  return {
    phase,
    requestId: request.id,
    now,
    workspace: ctx.workspace,
    request: {
      method: request.method,
      scheme: request.scheme,
      host: request.host,
      port: request.port,
      path: request.path,
      upstreamPath: request.upstreamPath,
      query: sight.requestHeaders.shownQuery(request.query),
      clientIp: request.clientIp,
      clientPort: request.clientPort,
      startedAt: request.startedAt,
      uriCaptures: request.uriCaptures as Record<string, string> | null,
      headers: sight.requestHeaders.select(request.headers),
      body,
    },
    response: seesResponse
      ? {
          status: ctx.response.status,
          source: ctx.response.source,
          headers: sight.responseHeaders.select(ctx.response.headers),
          body: phase === "response" ? responseBody(sight.grants, ctx) : null,
        }
      : null,
    chunk,
    route: route && shownRoute(route),
    service: service && shownService(service),
    consumer:
      sight.grants.consumer && consumer !== null
        ? { id: consumer.id, username: consumer.username, custom_id: consumer.custom_id }
        : null,
    credential: sight.grants.consumer && credential !== null ? { id: credential.id } : null,
    vars: ctx.vars,
    measures: phase === "log" ? coarse(ctx.measures) : ctx.measures,
  };
}

/** What is shown of a route or a service is the same in every call, and so is its text (`constantJson` of text.ts). */
function shown<T extends object, S>(show: (of: T) => S): (of: T) => S {
  const known = new WeakMap<T, S>();
  return (of) => {
    let made = known.get(of);
    if (made === undefined) {
      made = show(of);
      known.set(of, made);
    }
    return made;
  };
}

const shownRoute = shown(({ id, name }: NonNullable<Context["route"]>) => Object.freeze({ id, name }));
const shownService = shown(({ id, name, host }: NonNullable<Context["service"]>) =>
  Object.freeze({ id, name, host }),
);

/** In whole milliseconds, as the guest's clock: a finer one would tell of what shares the machine with it. */
function coarse({ requestBytes, responseBytes, totalMs, upstreamMs, gatewayMs }: Measures): Measures {
  return {
    requestBytes,
    responseBytes,
    totalMs: Math.round(totalMs),
    upstreamMs: Math.round(upstreamMs),
    gatewayMs: Math.round(gatewayMs),
  };
}

/** A body that is too long for the grant: the call fails by the plugin's policy rather than going unseen. */
export class BodyTooLong extends Error {}

function responseBody(grants: GuestGrants, ctx: Context): Uint8Array | null {
  if (grants.responseBodyBytes === 0) return null;
  const { body } = ctx.response;
  return body === null ? null : withinGrant(body, grants.responseBodyBytes, "response");
}

export function withinGrant(body: Uint8Array, max: number, which: "request" | "response"): Uint8Array {
  if (body.length > max)
    throw new BodyTooLong(`the ${which} body has ${body.length} bytes, ${which}_body_bytes grants ${max}`);
  return body;
}
