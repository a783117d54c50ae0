/**
 * The SDK's Context as a guest has it: a copy of what its grants let through, and a list of what it changed.
 * Part of the in-isolate runtime: see bootstrap.ts.
 */
import type { Consumer, Context, Headers, PluginRequest, PluginResponse } from "@gatehouse/sdk";
import type { CallRecord, EncodedVerdict } from "./guest-call.ts";
import { bytesToLatin1, latin1ToBytes, utf8Latin1 } from "./harden.ts";

/** GuestCall of engine.ts, as JSON: bodies come beside it, and what is not there is left out. */
interface CallJson {
  phase: string;
  last?: boolean;
  workspace: string;
  requestId: string;
  request: {
    method: string;
    scheme: string;
    host: string;
    port: number;
    path: string;
    upstreamPath?: string;
    query: string;
    clientIp: string;
    clientPort: number;
    startedAt: number;
    uriCaptures?: Record<string, string>;
    headers: [string, string][];
  };
  response?: { status: number; source: "service" | "exit" | "error"; headers: [string, string][] };
  route?: Context["route"];
  service?: Context["service"];
  consumer?: Consumer;
  credential?: { id: string };
  vars?: Record<string, unknown>;
  measures?: Context["measures"];
}

const NO_BYTES = new Uint8Array(0);
const NO_MEASURES = { requestBytes: 0, responseBytes: 0, totalMs: -1, upstreamMs: -1, gatewayMs: -1 };

class GuestHeaders implements Headers {
  #entries: [string, string][];
  #lower: string[];
  readonly edits: string[][] = [];
  readonly #record: CallRecord;
  #editBytes = 0;

  constructor(record: CallRecord, entries: [string, string][]) {
    this.#record = record;
    this.#entries = entries;
    this.#lower = entries.map((entry) => entry[0].toLowerCase());
  }

  get(name: string): string | undefined {
    const at = this.#lower.indexOf(name);
    return at < 0 ? undefined : this.#entries[at]?.[1];
  }

  getAll(name: string): string[] {
    return this.#entries.filter((_, i) => this.#lower[i] === name).map((entry) => entry[1]);
  }

  has(name: string): boolean {
    return this.#lower.includes(name);
  }

  set(name: string, value: string): void {
    this.#edit(["set", byteText(name), byteText(value)]);
    this.#drop(name.toLowerCase());
    this.#push(name, value);
  }

  add(name: string, value: string): void {
    this.#edit(["add", byteText(name), byteText(value)]);
    this.#push(name, value);
  }

  remove(name: string): void {
    this.#edit(["remove", byteText(name)]);
    this.#drop(name.toLowerCase());
  }

  entries(): [string, string][] {
    return this.#entries.map((entry) => [entry[0], entry[1]]);
  }

  #push(name: string, value: string): void {
    this.#entries.push([name, value]);
    this.#lower.push(name.toLowerCase());
  }

  #drop(lower: string): void {
    this.#entries = this.#entries.filter((_, i) => this.#lower[i] !== lower);
    this.#lower = this.#lower.filter((name) => name !== lower);
  }

  #edit(edit: string[]): void {
    const { limits } = this.#record;
    for (const part of edit) this.#editBytes += part.length;
    if (this.edits.length >= limits.headerCount)
      this.#record.violate(`more than ${limits.headerCount} header edits in one hook call`);
    if (this.#editBytes > limits.headerBytes)
      this.#record.violate(`header edits of more than ${limits.headerBytes} bytes in one hook call`);
    this.edits.push(edit);
  }
}

class GuestRequest implements PluginRequest {
  readonly #call: CallJson;
  readonly #body: string | null;
  readonly #record: CallRecord;
  readonly headers: GuestHeaders;
  changed: { method?: string; path?: string; query?: string } = {};
  newBody: string | null = null;

  constructor(record: CallRecord, call: CallJson, body: string | null) {
    this.#record = record;
    this.#call = call;
    this.#body = body;
    this.headers = new GuestHeaders(record, call.request.headers);
  }

  get id(): string {
    return this.#call.requestId;
  }
  get method(): string {
    return this.changed.method ?? this.#call.request.method;
  }
  set method(value: string) {
    this.changed.method = byteText(value);
  }
  get scheme(): string {
    return this.#call.request.scheme;
  }
  get host(): string {
    return this.#call.request.host;
  }
  get port(): number {
    return this.#call.request.port;
  }
  get path(): string {
    return this.#call.request.path;
  }
  get upstreamPath(): string | null {
    return this.changed.path ?? this.#call.request.upstreamPath ?? null;
  }
  set upstreamPath(value: string | null) {
    if (value !== null) this.changed.path = byteText(value);
  }
  get query(): string {
    return this.changed.query ?? this.#call.request.query;
  }
  set query(value: string) {
    this.changed.query = byteText(value);
  }
  get clientIp(): string {
    return this.#call.request.clientIp;
  }
  get clientPort(): number {
    return this.#call.request.clientPort;
  }
  get startedAt(): number {
    return this.#call.request.startedAt;
  }
  get uriCaptures(): Readonly<Record<string, string>> | null {
    return this.#call.request.uriCaptures ?? null;
  }
  readBody(): Uint8Array | null {
    const text = this.newBody ?? this.#body;
    return text === null ? null : latin1ToBytes(text);
  }
  setBody(body: Uint8Array): void {
    this.newBody = bodyText(this.#record, body);
  }
}

class GuestResponse implements PluginResponse {
  readonly #call: CallJson;
  readonly #body: string | null;
  readonly #record: CallRecord;
  readonly headers: GuestHeaders;
  newStatus: number | null = null;
  newBody: string | null = null;

  constructor(record: CallRecord, call: CallJson, body: string | null) {
    this.#record = record;
    this.#call = call;
    this.#body = body;
    this.headers = new GuestHeaders(record, call.response?.headers ?? []);
  }

  get status(): number {
    return this.newStatus ?? this.#call.response?.status ?? 0;
  }
  set status(value: number) {
    this.newStatus = statusCode(value);
  }
  get source(): "service" | "exit" | "error" {
    return this.#call.response?.source ?? "service";
  }
  get body(): Uint8Array | null {
    const text = this.newBody ?? this.#body;
    return text === null ? null : latin1ToBytes(text);
  }
  setBody(body: Uint8Array): void {
    this.newBody = bodyText(this.#record, body);
  }
}

export class GuestContext implements Context {
  readonly request: GuestRequest;
  readonly response: GuestResponse;
  readonly workspace: string;
  readonly route: Context["route"];
  readonly service: Context["service"];
  readonly measures: Context["measures"];
  readonly chunk: Uint8Array;
  readonly phase: string;
  authenticated: { consumer: string | null; credential: string | null } | null = null;
  #consumer: Consumer | null;
  #credential: { readonly id: string } | null;
  #vars: Record<string, unknown>;
  /** JSON of every var as it came, once the guest has asked for them. */
  #varsBefore: Record<string, string> | null = null;
  readonly record: CallRecord;

  constructor(record: CallRecord, call: CallJson, body: string | null, extra: string | null) {
    this.record = record;
    this.phase = call.phase;
    this.request = new GuestRequest(record, call, body);
    this.response = new GuestResponse(record, call, call.phase === "response" ? extra : null);
    this.chunk = call.phase === "body_filter" && extra !== null ? latin1ToBytes(extra) : NO_BYTES;
    this.workspace = call.workspace;
    this.route = call.route ?? null;
    this.service = call.service ?? null;
    this.measures = call.measures ?? { ...NO_MEASURES };
    this.#consumer = call.consumer ?? null;
    this.#credential = call.credential ?? null;
    this.#vars = call.vars ?? {};
  }

  get consumer(): Consumer | null {
    return this.#consumer;
  }

  get credential(): { readonly id: string } | null {
    return this.#credential;
  }

  get vars(): Record<string, unknown> {
    if (this.#varsBefore === null) {
      this.#varsBefore = {};
      for (const name of Object.keys(this.#vars)) this.#varsBefore[name] = JSON.stringify(this.#vars[name]);
    }
    return this.#vars;
  }

  authenticate(consumer: Consumer | null, credential: { readonly id: string } | null): void {
    this.#consumer = consumer;
    this.#credential = credential;
    this.authenticated = {
      consumer: consumer === null ? null : anyText(consumer.id),
      credential: credential === null ? null : anyText(credential.id),
    };
  }

  /** The vars that differ from what came; null for one that is gone. */
  changedVars(): Record<string, unknown> | undefined {
    const before = this.#varsBefore;
    if (before === null) return undefined;
    let changed: Record<string, unknown> | undefined;
    for (const name of Object.keys(this.#vars)) {
      const value = this.#vars[name] ?? null;
      if (JSON.stringify(value) === before[name]) continue;
      changed ??= {};
      changed[name] = value;
    }
    for (const name of Object.keys(before)) {
      if (name in this.#vars) continue;
      changed ??= {};
      changed[name] = null;
    }
    return changed;
  }
}

/** Everything that a hook did and returned, as plain data; or what is wrong with it. */
export function readResult(ctx: GuestContext, result: unknown): EncodedVerdict | string {
  try {
    return verdictOf(ctx, result);
  } catch (error) {
    if (ctx.record.violation !== null) return ctx.record.violation;
    return error instanceof TypeError || error instanceof RangeError
      ? error.message
      : "its result is unreadable";
  }
}

function verdictOf(ctx: GuestContext, result: unknown): EncodedVerdict {
  const verdict: EncodedVerdict = { bodies: "" };
  const { request, response } = ctx;
  const requestHeaders = request.headers.edits;
  if (requestHeaders.length > 0 || request.newBody !== null || Object.keys(request.changed).length > 0) {
    verdict.request = { ...request.changed };
    if (requestHeaders.length > 0) verdict.request.headers = requestHeaders;
    if (request.newBody !== null) {
      verdict.request.body = request.newBody.length;
      verdict.bodies += request.newBody;
    }
  }
  const responseHeaders = response.headers.edits;
  if (responseHeaders.length > 0 || response.newBody !== null || response.newStatus !== null) {
    verdict.response = {};
    if (response.newStatus !== null) verdict.response.status = response.newStatus;
    if (responseHeaders.length > 0) verdict.response.headers = responseHeaders;
    if (response.newBody !== null) {
      verdict.response.body = response.newBody.length;
      verdict.bodies += response.newBody;
    }
  }
  if (result !== undefined) readReturned(ctx, result, verdict);
  const vars = ctx.changedVars();
  if (vars !== undefined) verdict.vars = vars;
  if (ctx.authenticated !== null) verdict.authenticated = ctx.authenticated;
  return verdict;
}

function readReturned(ctx: GuestContext, result: unknown, verdict: EncodedVerdict): void {
  if (ctx.phase === "body_filter") {
    const chunk = bodyText(ctx.record, result);
    verdict.chunk = chunk.length;
    verdict.bodies += chunk;
    return;
  }
  if (ctx.phase !== "rewrite" && ctx.phase !== "access" && ctx.phase !== "response")
    throw new TypeError(`a ${ctx.phase} hook returned a value: only rewrite, access and response may reply`);
  if (typeof result !== "object" || result === null)
    throw new TypeError("a hook returned something that is no reply");
  const { kind, status, headers, body } = result as Record<string, unknown>;
  if (kind !== "reply") throw new TypeError("a hook returned something that is no reply: use reply()");
  const pairs: string[][] = [];
  if (!Array.isArray(headers)) throw new TypeError("a reply's headers are no list");
  for (const pair of headers) {
    if (pairs.length >= ctx.record.limits.headerCount)
      throw new RangeError(`a reply with more than ${ctx.record.limits.headerCount} headers`);
    if (!Array.isArray(pair)) throw new TypeError("a reply's header is no pair");
    pairs.push([byteText(pair[0]), byteText(pair[1])]);
  }
  const bytes = body === undefined ? "" : bodyText(ctx.record, body);
  verdict.reply = { status: statusCode(status), headers: pairs, body: bytes.length };
  verdict.bodies += bytes;
}

/** Text that crosses as one byte a character. */
function byteText(value: unknown): string {
  const text = anyText(value);
  if (/[^\x00-\xff]/.test(text))
    throw new TypeError("header fields, methods, paths and queries hold characters up to U+00FF");
  return text;
}

function anyText(value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`expected a string, not ${typeof value}`);
  return value;
}

function statusCode(value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 200 || value > 599)
    throw new RangeError("a status must be an integer between 200 and 599");
  return value;
}

function bodyText(record: CallRecord, body: unknown): string {
  if (typeof body === "string") {
    const text = body.length <= record.limits.outputBytes ? utf8Latin1(body) : body;
    return withinLimit(record, text);
  }
  if (!(body instanceof Uint8Array)) throw new TypeError("a body must be a string or a Uint8Array");
  if (body.length > record.limits.outputBytes)
    record.violate(`a body of ${body.length} bytes, at most ${record.limits.outputBytes}`);
  return bytesToLatin1(body);
}

function withinLimit(record: CallRecord, text: string): string {
  if (text.length > record.limits.outputBytes)
    record.violate(`a body of ${text.length} bytes, at most ${record.limits.outputBytes}`);
  return text;
}
