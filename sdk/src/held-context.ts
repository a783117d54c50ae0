/** A request and the answer to it, held in memory behind the `Context` of a plugin: for tests, and to play one again. */
import type { Consumer, Context, Headers, Measures, PluginRequest, PluginResponse } from "./plugin.ts";

/** What a held request begins with; fields are as in `PluginRequest`. */
export interface HeldRequestParts<H extends Headers>
  extends Omit<PluginRequest, "upstreamPath" | "readBody" | "setBody"> {
  readonly headers: H;
  readonly body: Uint8Array | null;
}

export class HeldRequest<H extends Headers> implements PluginRequest {
  readonly id: string;
  method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  upstreamPath: string | null = null;
  query: string;
  readonly clientIp: string;
  readonly clientPort: number;
  readonly headers: H;
  readonly startedAt: number;
  readonly uriCaptures: Readonly<Record<string, string>> | null;
  body: Uint8Array | null;

  constructor(parts: HeldRequestParts<H>) {
    this.id = parts.id;
    this.method = parts.method;
    this.scheme = parts.scheme;
    this.host = parts.host;
    this.port = parts.port;
    this.path = parts.path;
    this.query = parts.query;
    this.clientIp = parts.clientIp;
    this.clientPort = parts.clientPort;
    this.headers = parts.headers;
    this.startedAt = parts.startedAt;
    this.uriCaptures = parts.uriCaptures;
    this.body = parts.body;
  }

  readBody(): Uint8Array | null {
    return this.body;
  }

  setBody(body: Uint8Array): void {
    this.body = body;
  }
}

export class HeldResponse<H extends Headers> implements PluginResponse {
  status = 0;
  headers: H;
  source: PluginResponse["source"] = "service";
  /** Null outside of the `response` phase, where nobody sees it whole. */
  body: Uint8Array | null = null;

  constructor(headers: H) {
    this.headers = headers;
  }

  setBody(body: Uint8Array): void {
    this.body = body;
  }
}

/** What a held context begins with; fields are as in `Context`. */
export interface HeldContextParts<H extends Headers>
  extends Pick<Context, "workspace" | "route" | "service" | "consumer" | "vars" | "measures"> {
  readonly request: HeldRequestParts<H>;
  /** Of the answer, before there is one. */
  readonly responseHeaders: H;
}

export class HeldContext<H extends Headers> implements Context {
  readonly request: HeldRequest<H>;
  readonly response: HeldResponse<H>;
  readonly workspace: string;
  readonly route: Context["route"];
  readonly service: Context["service"];
  consumer: Consumer | null;
  credential: { readonly id: string } | null = null;
  readonly vars: Record<string, unknown>;
  readonly measures: Measures;

  constructor(parts: HeldContextParts<H>) {
    this.request = new HeldRequest(parts.request);
    this.response = new HeldResponse(parts.responseHeaders);
    this.workspace = parts.workspace;
    this.route = parts.route;
    this.service = parts.service;
    this.consumer = parts.consumer;
    this.vars = parts.vars;
    this.measures = parts.measures;
  }

  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void {
    this.consumer = consumer;
    this.credential = credential;
  }
}
