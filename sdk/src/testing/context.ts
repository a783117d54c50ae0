/** One request in memory, behind the same `Context` that a plugin gets from the gateway. */
import type { Consumer, Context, Measures, PluginRequest, PluginResponse } from "../plugin.ts";
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

class Request implements PluginRequest {
  readonly id = crypto.randomUUID().replaceAll("-", "");
  method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  upstreamPath: string | null = null;
  query: string;
  readonly clientIp: string;
  readonly clientPort = 40_000;
  readonly headers: TestHeaders;
  readonly startedAt: number;
  readonly uriCaptures: Readonly<Record<string, string>> | null;
  body: Uint8Array | null;

  constructor(given: TestRequest, now: number) {
    const url = URL.parse(given.url ?? "/", "http://example.test");
    if (url === null) throw new TypeError(`'${given.url}' is no URL`);
    this.method = given.method ?? "GET";
    this.scheme = url.protocol.slice(0, -1);
    this.host = url.hostname;
    this.port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
    this.path = url.pathname;
    this.query = url.search.slice(1);
    this.clientIp = given.clientIp ?? "127.0.0.1";
    this.headers = new TestHeaders(given.headers);
    if (!this.headers.has("host")) this.headers.add("Host", url.host);
    this.body = bytesOf(given.body);
    if (this.body !== null && !this.headers.has("content-length"))
      this.headers.add("Content-Length", String(this.body.length));
    this.startedAt = now;
    this.uriCaptures = given.uriCaptures ?? null;
  }

  readBody(): Uint8Array | null {
    return this.body;
  }

  setBody(body: Uint8Array): void {
    this.body = body;
  }
}

class Response implements PluginResponse {
  status = 0;
  headers = new TestHeaders();
  source: PluginResponse["source"] = "service";
  /** Null outside of the `response` phase, where nobody sees it whole. */
  body: Uint8Array | null = null;

  setBody(body: Uint8Array): void {
    this.body = body;
  }
}

export class TestContext implements Context {
  readonly request: Request;
  readonly response = new Response();
  readonly workspace: string;
  readonly route: Context["route"];
  readonly service: Context["service"];
  consumer: Consumer | null;
  credential: { readonly id: string } | null = null;
  readonly vars: Record<string, unknown>;
  readonly measures = MEASURES;

  constructor(request: TestRequest, around: Surroundings) {
    this.request = new Request(request, around.now ?? Date.now());
    this.workspace = around.workspace ?? "default";
    this.route = around.route === undefined ? { id: "route-under-test", name: "test" } : around.route;
    this.service =
      around.service === undefined
        ? { id: "service-under-test", name: "test", host: "upstream.test" }
        : around.service;
    this.consumer = around.consumer ?? null;
    this.vars = { ...around.vars };
  }

  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void {
    this.consumer = consumer;
    this.credential = credential;
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
