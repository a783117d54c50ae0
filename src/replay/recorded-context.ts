/** A recorded request behind the SDK's Context, as a hook is called with it when it is replayed. */
import type { Consumer, Context, Measures, PluginRequest, PluginResponse, Reply } from "@gatehouse/sdk";
import { HeaderList } from "../http1/headers.ts";
import type { KeptRecording } from "./recording.ts";

/** Nothing is measured in a replay. */
const NO_MEASURES: Measures = {
  requestBytes: 0,
  responseBytes: 0,
  totalMs: -1,
  upstreamMs: -1,
  gatewayMs: -1,
};

class ReplayedRequest implements PluginRequest {
  readonly id: string;
  method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  upstreamPath: string | null = null;
  query: string;
  readonly clientIp: string;
  readonly clientPort = 0;
  readonly headers: HeaderList;
  readonly startedAt: number;
  readonly uriCaptures = null;
  body: Uint8Array | null;

  constructor({ id, request }: KeptRecording, now: number) {
    this.id = id.replaceAll("-", "");
    this.method = request.method;
    this.scheme = request.scheme;
    this.host = request.host;
    this.port = request.port;
    this.path = request.path;
    this.query = request.query;
    this.clientIp = request.clientIp;
    this.startedAt = now;
    this.headers = listOf(request.headers);
    this.body = request.body?.bytes ?? null;
  }

  readBody(): Uint8Array | null {
    return this.body;
  }

  setBody(body: Uint8Array): void {
    this.body = body;
  }
}

class ReplayedResponse implements PluginResponse {
  status = 0;
  headers = new HeaderList();
  source: PluginResponse["source"] = "service";
  body: Uint8Array | null = null;

  setBody(body: Uint8Array): void {
    this.body = body;
  }
}

export class RecordedContext implements Context {
  readonly request: ReplayedRequest;
  readonly response = new ReplayedResponse();
  readonly workspace: string;
  readonly route: Context["route"];
  readonly service: Context["service"];
  consumer: Consumer | null;
  credential: { readonly id: string } | null = null;
  readonly vars: Record<string, unknown> = {};
  readonly measures = NO_MEASURES;

  /** @param now when it is replayed, milliseconds since the epoch. */
  constructor(recording: KeptRecording, workspace: string, now: number) {
    this.request = new ReplayedRequest(recording, now);
    this.workspace = workspace;
    this.route = recording.route;
    this.service = recording.service;
    this.consumer = recording.consumer;
  }

  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void {
    this.consumer = consumer;
    this.credential = credential;
  }

  /** What the service answered when it was recorded. */
  takeRecorded({ status, headers, body }: NonNullable<KeptRecording["response"]>): void {
    this.response.status = status;
    this.response.headers = listOf(headers);
    this.response.body = body?.bytes ?? new Uint8Array();
  }

  /** The plugin answers by itself. */
  takeReply({ status, headers, body }: Reply): void {
    this.response.source = "exit";
    this.response.status = status;
    this.response.headers = listOf(headers);
    this.response.body = typeof body === "string" ? Buffer.from(body) : body;
  }
}

/** What was recorded is data of others by now: a field that is none is left out. */
function listOf(fields: readonly (readonly [string, string])[]): HeaderList {
  const list = new HeaderList();
  for (const [name, value] of fields)
    try {
      list.add(name, value);
    } catch {
      // It could not be sent either.
    }
  return list;
}
