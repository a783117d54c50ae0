/**
 * The SDK's Context as a guest has it: a copy of what its grants let through, and a list of what it changed.
 * Part of the in-isolate runtime: see bootstrap.ts.
 */
import type { Consumer, Context, Headers, PluginRequest, PluginResponse } from "@gatehouse/sdk";
import {
  type CallText,
  type HeaderText,
  parsed,
  type RequestText,
  type ResponseText,
} from "../protocol/call-text.ts";
import type { HeaderEdit } from "../protocol/engine.ts";
import { utf8Latin1 } from "../protocol/text.ts";
import type { VerdictText } from "../protocol/turn-text.ts";
import type { CallRecord } from "./guest-call.ts";
import { bytesToLatin1, latin1ToBytes } from "./harden.ts";

const NO_BYTES = new Uint8Array(0);
const NO_MEASURES = { requestBytes: 0, responseBytes: 0, totalMs: -1, upstreamMs: -1, gatewayMs: -1 };

class GuestHeaders implements Headers {
  readonly edits: HeaderEdit[] = [];
  readonly #record: CallRecord;
  /** What came, as long as nothing of it was changed. */
  #text: HeaderText | null;
  /** What was added to it; every field once `#text` is null. */
  #entries: [string, string][] = [];
  #editBytes = 0;

  /** `text` is null where there are no fields. */
  constructor(record: CallRecord, text: HeaderText | null) {
    this.#record = record;
    this.#text = text;
  }

  get(name: string): string | undefined {
    const came = this.#text?.find(name);
    if (came !== undefined) return came;
    for (const entry of this.#entries) if (isNamed(entry, name)) return entry[1];
    return undefined;
  }

  getAll(name: string): string[] {
    const values: string[] = [];
    for (const entry of this.#all()) if (isNamed(entry, name)) values.push(entry[1]);
    return values;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  set(name: string, value: string): void {
    this.#edit(["set", byteText(name), byteText(value)]);
    this.#drop(name.toLowerCase());
    this.#entries.push([name, value]);
  }

  add(name: string, value: string): void {
    this.#edit(["add", byteText(name), byteText(value)]);
    this.#entries.push([name, value]);
  }

  remove(name: string): void {
    this.#edit(["remove", byteText(name)]);
    this.#drop(name.toLowerCase());
  }

  entries(): [string, string][] {
    return this.#all().map((entry) => [entry[0], entry[1]]);
  }

  #all(): [string, string][] {
    if (this.#text !== null) {
      this.#entries = [...this.#text.entries(), ...this.#entries];
      this.#text = null;
    }
    return this.#entries;
  }

  #drop(lower: string): void {
    if (this.has(lower)) this.#entries = this.#all().filter((entry) => !isNamed(entry, lower));
  }

  #edit(edit: HeaderEdit): void {
    const { limits } = this.#record;
    for (const part of edit) this.#editBytes += part.length;
    if (this.edits.length >= limits.headerCount)
      this.#record.violate(`more than ${limits.headerCount} header edits in one hook call`);
    if (this.#editBytes > limits.headerBytes)
      this.#record.violate(`header edits of more than ${limits.headerBytes} bytes in one hook call`);
    this.edits.push(edit);
  }
}

/** Names compare without case; `lower` is in lower case. */
function isNamed(entry: readonly [string, string], lower: string): boolean {
  return entry[0].length === lower.length && entry[0].toLowerCase() === lower;
}

class GuestRequest implements PluginRequest {
  readonly id: string;
  readonly #request: RequestText;
  readonly #record: CallRecord;
  #captures: Readonly<Record<string, string>> | null | undefined;
  readonly headers: GuestHeaders;
  changed: { method?: string; path?: string; query?: string } = {};
  newBody: string | null = null;

  constructor(record: CallRecord, id: string, request: RequestText) {
    this.#record = record;
    this.id = id;
    this.#request = request;
    this.headers = new GuestHeaders(record, request.headers);
  }

  get method(): string {
    return this.changed.method ?? this.#request.method;
  }
  set method(value: string) {
    this.changed.method = byteText(value);
  }
  get scheme(): string {
    return this.#request.scheme;
  }
  get host(): string {
    return this.#request.host;
  }
  get port(): number {
    return this.#request.port;
  }
  get path(): string {
    return this.#request.path;
  }
  get upstreamPath(): string | null {
    return this.changed.path ?? this.#request.upstreamPath;
  }
  set upstreamPath(value: string | null) {
    if (value !== null) this.changed.path = byteText(value);
  }
  get query(): string {
    return this.changed.query ?? this.#request.query;
  }
  set query(value: string) {
    this.changed.query = byteText(value);
  }
  get clientIp(): string {
    return this.#request.clientIp;
  }
  get clientPort(): number {
    return this.#request.clientPort;
  }
  get startedAt(): number {
    return this.#request.startedAt;
  }
  get uriCaptures(): Readonly<Record<string, string>> | null {
    if (this.#captures === undefined)
      this.#captures = parsed<Record<string, string>>(this.#request.uriCaptures);
    return this.#captures;
  }
  readBody(): Uint8Array | null {
    const text = this.newBody ?? this.#request.body;
    return text === null ? null : latin1ToBytes(text);
  }
  setBody(body: Uint8Array): void {
    this.newBody = bodyText(this.#record, body);
  }
}

class GuestResponse implements PluginResponse {
  readonly #response: ResponseText | null;
  readonly #record: CallRecord;
  readonly headers: GuestHeaders;
  newStatus: number | null = null;
  newBody: string | null = null;

  constructor(record: CallRecord, response: ResponseText | null) {
    this.#record = record;
    this.#response = response;
    this.headers = new GuestHeaders(record, response?.headers ?? null);
  }

  get status(): number {
    return this.newStatus ?? this.#response?.status ?? 0;
  }
  set status(value: number) {
    this.newStatus = statusCode(value);
  }
  get source(): "service" | "exit" | "error" {
    return this.#response?.source ?? "service";
  }
  get body(): Uint8Array | null {
    const text = this.newBody ?? this.#response?.body ?? null;
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
  readonly measures: Context["measures"];
  readonly phase: string;
  authenticated: { consumer: string | null; credential: string | null } | null = null;
  readonly #call: CallText;
  #route: Context["route"] | undefined;
  #service: Context["service"] | undefined;
  #consumer: Consumer | null;
  #credential: { readonly id: string } | null;
  #vars: Record<string, unknown>;
  /** JSON of every var as it came, once the guest has asked for them. */
  #varsBefore: Record<string, string> | null = null;
  readonly record: CallRecord;

  constructor(record: CallRecord, call: CallText) {
    this.record = record;
    this.#call = call;
    this.phase = call.phase;
    this.request = new GuestRequest(record, call.requestId, call.request);
    this.response = new GuestResponse(record, call.response);
    this.workspace = call.workspace;
    this.measures = call.measures ?? { ...NO_MEASURES };
    this.#consumer = parsed(call.consumerJson);
    this.#credential = parsed(call.credentialJson);
    this.#vars = parsed<Record<string, unknown>>(call.varsJson) ?? {};
  }

  get route(): Context["route"] {
    if (this.#route === undefined) this.#route = parsed<NonNullable<Context["route"]>>(this.#call.routeJson);
    return this.#route;
  }

  get service(): Context["service"] {
    if (this.#service === undefined)
      this.#service = parsed<NonNullable<Context["service"]>>(this.#call.serviceJson);
    return this.#service;
  }

  /** What a body filter is given. */
  chunk(): Uint8Array {
    return this.#call.chunk === null ? NO_BYTES : latin1ToBytes(this.#call.chunk);
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
export function readResult(ctx: GuestContext, result: unknown): VerdictText | string {
  try {
    return verdictOf(ctx, result);
  } catch (error) {
    if (ctx.record.violation !== null) return ctx.record.violation;
    return error instanceof TypeError || error instanceof RangeError
      ? error.message
      : "its result is unreadable";
  }
}

function verdictOf(ctx: GuestContext, result: unknown): VerdictText {
  const verdict: VerdictText = {};
  const { request, response } = ctx;
  const requestHeaders = request.headers.edits;
  if (requestHeaders.length > 0 || request.newBody !== null || Object.keys(request.changed).length > 0) {
    verdict.request = { ...request.changed };
    if (requestHeaders.length > 0) verdict.request.headers = requestHeaders;
    if (request.newBody !== null) verdict.request.body = request.newBody;
  }
  const responseHeaders = response.headers.edits;
  if (responseHeaders.length > 0 || response.newBody !== null || response.newStatus !== null) {
    verdict.response = {};
    if (response.newStatus !== null) verdict.response.status = response.newStatus;
    if (responseHeaders.length > 0) verdict.response.headers = responseHeaders;
    if (response.newBody !== null) verdict.response.body = response.newBody;
  }
  if (result !== undefined) readReturned(ctx, result, verdict);
  const vars = ctx.changedVars();
  if (vars !== undefined) verdict.vars = vars;
  if (ctx.authenticated !== null) verdict.authenticated = ctx.authenticated;
  return verdict;
}

function readReturned(ctx: GuestContext, result: unknown, verdict: VerdictText): void {
  if (ctx.phase === "body_filter") {
    verdict.chunk = bodyText(ctx.record, result);
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
  verdict.reply = { status: statusCode(status), headers: pairs, body: bytes };
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
