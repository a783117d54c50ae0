/** A recorded request behind the SDK's Context, as a hook is called with it when it is replayed. */
import { HeldContext, type Measures, type Reply } from "@gatehouse/sdk";
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

export class RecordedContext extends HeldContext<HeaderList> {
  /** @param now when it is replayed, milliseconds since the epoch. */
  constructor({ id, request, route, service, consumer }: KeptRecording, workspace: string, now: number) {
    const { method, scheme, host, port, path, query, clientIp } = request;
    super({
      request: {
        ...{ id: id.replaceAll("-", ""), method, scheme, host, port, path, query, clientIp, clientPort: 0 },
        headers: listOf(request.headers),
        startedAt: now,
        uriCaptures: null,
        body: request.body?.bytes ?? null,
      },
      responseHeaders: new HeaderList(),
      ...{ workspace, route, service, consumer, vars: {}, measures: NO_MEASURES },
    });
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
