/**
 * The format of recordings: what the Admin API shows, what a file of exported ones has on each line, and what is kept.
 * docs/replay.md is its description for people.
 */
import { isObject, type RecordedBody, type Recording } from "@gatehouse/sdk";

/** Of this format; a reader refuses others. */
export const RECORDING_FORMAT = 1;

export interface KeptRecording extends Recording {
  /** In the order of time. */
  readonly id: string;
}

/** It is no recording, or one of another format. The message names the field. */
export class BadRecording extends Error {
  override readonly name = "BadRecording";
}

export function recordingJson(recording: KeptRecording): object {
  const { id, at, route, service, consumer, request, response } = recording;
  const { clientIp, headers, body, ...line } = request;
  return {
    recording: RECORDING_FORMAT,
    id,
    recorded_at: new Date(at).toISOString(),
    route: route && { id: route.id, name: route.name },
    service: service && { id: service.id, name: service.name, host: service.host },
    consumer: consumer && {
      id: consumer.id,
      username: consumer.username,
      custom_id: consumer.custom_id,
    },
    request: { ...line, client_ip: clientIp, headers, ...bodyJson(body) },
    response: response && {
      status: response.status,
      headers: response.headers,
      ...bodyJson(response.body),
    },
  };
}

function bodyJson(body: RecordedBody | null): object {
  if (body === null) return { body: null, body_bytes: 0 };
  return { body: Buffer.from(body.bytes).toString("base64"), body_bytes: body.length };
}

/** Whether all of a body is there. */
export const isWhole = (body: RecordedBody | null): boolean =>
  body === null || body.length === body.bytes.length;

const MOST_FIELDS = 1000;
const MOST_CHARACTERS = 1 << 20;

/**
 * Reads one line of an exported file, or what is kept.
 * @throws {BadRecording}
 */
export function readRecording(written: unknown): KeptRecording {
  const value = typeof written === "string" ? parsed(written) : written;
  const top = object(value, "a recording");
  if (top.recording !== RECORDING_FORMAT)
    throw new BadRecording(`recording: ${RECORDING_FORMAT} is the one format that is known`);
  const request = object(top.request, "request");
  const response = top.response === null ? null : object(top.response, "response");
  const at = Date.parse(text(top.recorded_at, "recorded_at"));
  if (!Number.isFinite(at)) throw new BadRecording("recorded_at: no time");
  return {
    id: text(top.id, "id"),
    at,
    route: top.route === null ? null : named(top.route, "route"),
    service:
      top.service === null
        ? null
        : {
            ...named(top.service, "service"),
            host: text(object(top.service, "service").host, "service.host"),
          },
    consumer: top.consumer === null ? null : consumer(top.consumer),
    request: {
      method: text(request.method, "request.method"),
      scheme: text(request.scheme, "request.scheme"),
      host: text(request.host, "request.host"),
      port: whole(request.port, "request.port"),
      path: text(request.path, "request.path"),
      query: text(request.query, "request.query"),
      clientIp: text(request.client_ip, "request.client_ip"),
      headers: fields(request.headers, "request.headers"),
      body: body(request, "request"),
    },
    response: response && {
      status: whole(response.status, "response.status"),
      headers: fields(response.headers, "response.headers"),
      body: body(response, "response"),
    },
  };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new BadRecording("it is no JSON");
  }
}

function object(value: unknown, field: string): Record<string, unknown> {
  if (!isObject(value)) throw new BadRecording(`${field}: no object`);
  return value;
}

function text(value: unknown, field: string): string {
  if (typeof value !== "string" || value.length > MOST_CHARACTERS)
    throw new BadRecording(`${field}: no text of at most ${MOST_CHARACTERS} characters`);
  return value;
}

function whole(value: unknown, field: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new BadRecording(`${field}: no whole number`);
  return value as number;
}

const textOrNull = (value: unknown, field: string) => (value === null ? null : text(value, field));

function named(value: unknown, field: string) {
  const { id, name } = object(value, field);
  return { id: text(id, `${field}.id`), name: textOrNull(name, `${field}.name`) };
}

function consumer(value: unknown) {
  const { id, username, custom_id } = object(value, "consumer");
  return {
    id: text(id, "consumer.id"),
    username: textOrNull(username, "consumer.username"),
    custom_id: textOrNull(custom_id, "consumer.custom_id"),
  };
}

function fields(value: unknown, field: string): [string, string][] {
  if (!Array.isArray(value) || value.length > MOST_FIELDS)
    throw new BadRecording(`${field}: no list of at most ${MOST_FIELDS} fields`);
  return value.map((pair, i) => {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new BadRecording(`${field}[${i}]: no pair of name and value`);
    return [text(pair[0], `${field}[${i}]`), text(pair[1], `${field}[${i}]`)];
  });
}

function body(message: Record<string, unknown>, field: string): RecordedBody | null {
  if (message.body === null) return null;
  const written = text(message.body, `${field}.body`);
  if (written.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(written))
    throw new BadRecording(`${field}.body: no base64`);
  const length = message.body_bytes === null ? null : whole(message.body_bytes, `${field}.body_bytes`);
  const bytes = new Uint8Array(Buffer.from(written, "base64"));
  if (length !== null && length < bytes.length)
    throw new BadRecording(`${field}.body_bytes: less than what is there of the body`);
  return { bytes, length };
}
