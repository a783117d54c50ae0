/**
 * The JSON that an Extism guest is given and answers with: version 1 of the guest contract.
 *
 *     in   {v: 1, phase, id, config, request: {method, scheme, host, path, query, client_ip,
 *           headers: [[name, value]], body?: base64}, response?: {status, headers, body?},
 *           chunk?: {data: base64, last}, consumer?: {id, username}, vars: {}}
 *     out  {request?: Edit, response?: Edit, chunk?: base64, reply?: {status, headers, body: base64}, vars?: {}}
 *     Edit {headers?: [["set" | "add", name, value] | ["remove", name]], method?, path?, query?, status?,
 *           body?: base64}
 *
 * The answer is parsed strictly: an unknown key, a wrong type, or an edit that the phase does not allow is a
 * violation. Whether a header's name or a status makes sense is checked by the data thread, for every engine.
 */
import type { Phase } from "@gatehouse/sdk";
import { MAX_VAR_DEPTH } from "../calls/host-call-limits.ts";
import type {
  GuestLimits,
  HeaderEdit,
  RequestEdit,
  ResponseEdit,
  ShownCall,
  Verdict,
} from "../protocol/engine.ts";
import { GuestFault } from "./fault.ts";

/** The input for one call. `configJson` is the plugin's config, rendered once when it was configured. */
export function renderInput(call: ShownCall, configJson: string): string {
  const { request, response, chunk, consumer } = call;
  const rest = JSON.stringify({
    request: {
      method: request.method,
      scheme: request.scheme,
      host: request.host,
      path: request.path,
      query: request.query,
      client_ip: request.clientIp,
      headers: request.headers,
      body: base64(request.body),
    },
    response: response
      ? { status: response.status, headers: response.headers, body: base64(response.body) }
      : undefined,
    chunk: chunk ? { data: base64(chunk.data), last: chunk.last } : undefined,
    consumer: consumer ? { id: consumer.id, username: consumer.username } : undefined,
    vars: call.vars,
  });
  const head = `{"v":1,"phase":"${call.phase}","id":${JSON.stringify(call.requestId)},"config":${configJson},`;
  return head + rest.slice(1);
}

function base64(bytes: Uint8Array | null): string | undefined {
  if (bytes === null) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

type ResponsePart = "headers" | "status" | "body";
type RequestPart = "headers" | "method" | "path" | "query" | "body";

interface Allowed {
  request: readonly RequestPart[];
  response: readonly ResponsePart[];
  keys: readonly string[];
}

const REQUEST_PHASE: Allowed = {
  request: ["headers", "method", "path", "query", "body"],
  response: [],
  keys: ["request", "reply", "vars"],
};
/** What each phase may change: what has already left the gateway cannot be edited. */
const ALLOWED: Readonly<Record<Phase, Allowed>> = {
  rewrite: REQUEST_PHASE,
  access: REQUEST_PHASE,
  response: { request: [], response: ["headers", "status", "body"], keys: ["response", "reply", "vars"] },
  header_filter: { request: [], response: ["headers", "status"], keys: ["response", "vars"] },
  body_filter: { request: [], response: [], keys: ["chunk", "vars"] },
  log: { request: [], response: [], keys: [] },
};

/** Bytes of JSON for a verdict of `outputBytes`: base64 takes four thirds, escapes and names the rest. */
export function maxOutputJson(limits: GuestLimits): number {
  return limits.outputBytes * 2 + limits.headerBytes * 2 + 64 * 1024;
}

/** Reads a guest's answer. Throws GuestFault("violation") for one that its contract does not allow. */
export function parseOutput(bytes: Uint8Array, phase: Phase, limits: GuestLimits): Verdict {
  if (bytes.length === 0) return {};
  if (bytes.length > maxOutputJson(limits))
    throw wrong("output", `has ${bytes.length} bytes; at most ${maxOutputJson(limits)} are read`);
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    throw wrong("output", "is not JSON in UTF-8");
  }
  return new Answer(phase, limits).verdict(value);
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

class Answer {
  readonly #allowed: Allowed;
  readonly #phase: Phase;
  readonly #limits: GuestLimits;
  #bytes = 0;
  #headers = 0;
  #headerBytes = 0;

  constructor(phase: Phase, limits: GuestLimits) {
    this.#allowed = ALLOWED[phase];
    this.#phase = phase;
    this.#limits = limits;
  }

  verdict(value: unknown): Verdict {
    const verdict: Verdict = {};
    for (const [key, part] of entries(value, "output")) {
      if (!["request", "response", "chunk", "reply", "vars"].includes(key))
        throw wrong(key, "is no key of an answer; there are request, response, chunk, reply and vars");
      if (!this.#allowed.keys.includes(key)) throw wrong(key, `is not allowed in ${this.#phase}`);
      if (key === "request") verdict.request = this.#edit(part, key, this.#allowed.request) as RequestEdit;
      else if (key === "response")
        verdict.response = this.#edit(part, key, this.#allowed.response) as ResponseEdit;
      else if (key === "chunk") verdict.chunk = this.#base64(part, key);
      else if (key === "reply") verdict.reply = this.#reply(part);
      else verdict.vars = this.#vars(part);
    }
    return verdict;
  }

  #edit(value: unknown, where: string, allowed: readonly string[]): Record<string, unknown> {
    const edit: Record<string, unknown> = {};
    for (const [key, part] of entries(value, where)) {
      const path = `${where}.${key}`;
      if (!allowed.includes(key))
        throw wrong(path, `is not allowed in ${this.#phase}; ${allowed.join(", ")} are`);
      if (key === "headers")
        edit.headers = list(part, path).map((item, i) => this.#headerEdit(item, `${path}[${i}]`));
      else if (key === "status") edit.status = integer(part, path);
      else if (key === "body") edit.body = this.#base64(part, path);
      else edit[key] = this.#string(part, path);
    }
    return edit;
  }

  #headerEdit(value: unknown, path: string): HeaderEdit {
    const [action, ...rest] = list(value, path);
    if (action === "remove" && rest.length === 1) return ["remove", this.#header(rest, path)[0] as string];
    if ((action === "set" || action === "add") && rest.length === 2) {
      const [name, content] = this.#header(rest, path) as [string, string];
      return [action, name, content];
    }
    throw wrong(path, 'is no header edit: ["set" | "add", name, value] or ["remove", name]');
  }

  #reply(value: unknown): NonNullable<Verdict["reply"]> {
    const reply: NonNullable<Verdict["reply"]> = { status: 0, headers: [], body: new Uint8Array(0) };
    let hasStatus = false;
    for (const [key, part] of entries(value, "reply")) {
      const path = `reply.${key}`;
      if (key === "status") {
        reply.status = integer(part, path);
        hasStatus = true;
      } else if (key === "headers") {
        reply.headers = list(part, path).map((item, i) => {
          const pair = list(item, `${path}[${i}]`);
          if (pair.length !== 2) throw wrong(`${path}[${i}]`, "is no [name, value]");
          return this.#header(pair, `${path}[${i}]`) as [string, string];
        });
      } else if (key === "body") reply.body = this.#base64(part, path);
      else throw wrong(path, "is no key of a reply; there are status, headers and body");
    }
    if (!hasStatus) throw wrong("reply.status", "is missing");
    return reply;
  }

  #vars(value: unknown): Record<string, unknown> {
    const vars: Record<string, unknown> = {};
    for (const [key, part] of entries(value, "vars")) {
      if (key === "__proto__") throw wrong("vars.__proto__", "is not a name that can be used");
      if (isDeeper(part, MAX_VAR_DEPTH)) throw wrong("vars", `is nested deeper than ${MAX_VAR_DEPTH} levels`);
      this.#count(key.length + JSON.stringify(part).length, "vars");
      vars[key] = part;
    }
    return vars;
  }

  #header(parts: unknown[], path: string): string[] {
    if (++this.#headers > this.#limits.headerCount)
      throw wrong(path, `is one header too many; an answer may have ${this.#limits.headerCount}`);
    return parts.map((part) => {
      if (typeof part !== "string") throw wrong(path, "must hold strings");
      this.#headerBytes += part.length;
      if (this.#headerBytes > this.#limits.headerBytes)
        throw wrong(path, `is over the ${this.#limits.headerBytes} bytes of headers that an answer may have`);
      return part;
    });
  }

  #string(value: unknown, path: string): string {
    if (typeof value !== "string") throw wrong(path, "must be a string");
    this.#count(value.length, path);
    return value;
  }

  #base64(value: unknown, path: string): Uint8Array {
    if (typeof value !== "string") throw wrong(path, "must be a base64 string");
    let bytes: Uint8Array;
    try {
      bytes = Uint8Array.fromBase64(value, { lastChunkHandling: "strict" });
    } catch {
      throw wrong(path, "is not base64");
    }
    this.#count(bytes.length, path);
    return bytes;
  }

  #count(bytes: number, path: string): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#limits.outputBytes)
      throw wrong(path, `is over the ${this.#limits.outputBytes} bytes that an answer may carry`);
  }
}

/** Whether a JSON value is nested deeper than `levels`. Its own recursion goes no deeper than that. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((part) => isDeeper(part, levels - 1));
}

function entries(value: unknown, path: string): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong(path, "must be an object");
  return Object.entries(value);
}

function list(value: unknown, path: string): unknown[] {
  if (!Array.isArray(value)) throw wrong(path, "must be a list");
  return value;
}

function integer(value: unknown, path: string): number {
  if (!Number.isInteger(value)) throw wrong(path, "must be an integer");
  return value as number;
}

function wrong(path: string, message: string): GuestFault {
  return new GuestFault("violation", `answer: ${JSON.stringify(path.slice(0, 100))} ${message}`);
}
