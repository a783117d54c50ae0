/** One request in memory, behind the same `Context` that a plugin gets from the gateway. */
import { HeldContext, type HeldRequestParts } from "../held-context.ts";
import type { Consumer, Context, Measures } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { bytesOf, type GivenBody, type GivenHeaders, TestHeaders } from "./message.ts";

/** A request as a test writes it. What is left out is that of a plain `GET http://example.test/`. */
export interface TestRequest {
  readonly method?: string;
  /** Absolute, or from its path on: `/orders?page=2`. */
  readonly url?: string;
  readonly headers?: GivenHeaders;
  readonly body?: GivenBody;
  readonly clientIp?: string;
  /** What the route's regular expression captured. */
  readonly uriCaptures?: Readonly<Record<string, string>>;
}

/** What the service answers where the plugin lets the request through. */
export interface TestResponse {
  readonly status?: number;
  readonly headers?: GivenHeaders;
  readonly body?: GivenBody;
}

export interface Surroundings {
  readonly workspace?: string;
  readonly route?: Context["route"];
  readonly service?: Context["service"];
  /** Whoever earlier plugins have made known. */
  readonly consumer?: Consumer | null;
  readonly vars?: Readonly<Record<string, unknown>>;
  /** When the request arrives, milliseconds since the epoch. */
  readonly now?: number;
}

const MEASURES: Measures = { requestBytes: 0, responseBytes: 0, totalMs: 0, upstreamMs: 0, gatewayMs: 0 };
const EMPTY = new Uint8Array();

/** @throws {TypeError} if the URL is none. */
function partsOf(given: TestRequest, now: number): HeldRequestParts<TestHeaders> {
  const url = URL.parse(given.url ?? "/", "http://example.test");
  if (url === null) throw new TypeError(`'${given.url}' is no URL`);
  const headers = new TestHeaders(given.headers);
  if (!headers.has("host")) headers.add("Host", url.host);
  const body = bytesOf(given.body);
  if (body !== null && !headers.has("content-length")) headers.add("Content-Length", String(body.length));
  return {
    id: crypto.randomUUID().replaceAll("-", ""),
    method: given.method ?? "GET",
    scheme: url.protocol.slice(0, -1),
    host: url.hostname,
    port: url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port),
    path: url.pathname,
    query: url.search.slice(1),
    clientIp: given.clientIp ?? "127.0.0.1",
    clientPort: 40_000,
    headers,
    startedAt: now,
    uriCaptures: given.uriCaptures ?? null,
    body,
  };
}

export class TestContext extends HeldContext<TestHeaders> {
  constructor(request: TestRequest, around: Surroundings) {
    super({
      request: partsOf(request, around.now ?? Date.now()),
      responseHeaders: new TestHeaders(),
      workspace: around.workspace ?? "default",
      route: around.route === undefined ? { id: "route-under-test", name: "test" } : around.route,
      service:
        around.service === undefined
          ? { id: "service-under-test", name: "test", host: "upstream.test" }
          : around.service,
      consumer: around.consumer ?? null,
      vars: { ...around.vars },
      measures: MEASURES,
    });
  }

  /** The service has answered. */
  answer({ status = 200, headers = [], body }: TestResponse): void {
    this.response.status = status;
    this.response.headers = new TestHeaders(headers);
    this.response.body = bytesOf(body) ?? EMPTY;
  }

  /** The plugin answers by itself. */
  reply({ status, headers, body }: Reply): void {
    this.response.source = "exit";
    this.response.status = status;
    this.response.headers = new TestHeaders(headers);
    this.response.body = bytesOf(body) ?? EMPTY;
  }
}
