/** Request and Response as the Fetch Standard has them, as far as a gateway's plugin needs: whole bodies, no streams. */
import type { MaybePromise } from "../plugin.ts";
import { Headers } from "./headers.ts";
import { URL } from "./url.ts";

export type BodyInit = string | Uint8Array | ArrayBuffer | null;

class Message {
  readonly headers: Headers;
  #bodyUsed = false;
  readonly #read: () => MaybePromise<Uint8Array | null>;

  constructor(
    headers: ConstructorParameters<typeof Headers>[0],
    read: () => MaybePromise<Uint8Array | null>,
  ) {
    this.headers = new Headers(headers);
    this.#read = read;
  }

  get bodyUsed(): boolean {
    return this.#bodyUsed;
  }
  async bytes(): Promise<Uint8Array> {
    if (this.#bodyUsed) throw new TypeError("the body was read already");
    this.#bodyUsed = true;
    return (await this.#read()) ?? new Uint8Array(0);
  }
  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.bytes()).slice().buffer as ArrayBuffer;
  }
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }
  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }
}

export interface RequestInit {
  readonly method?: string;
  readonly headers?: ConstructorParameters<typeof Headers>[0];
  readonly body?: BodyInit | (() => MaybePromise<Uint8Array | null>);
}

export class Request extends Message {
  readonly method: string;
  readonly url: string;

  /** A body that is a function is read when it is asked for. */
  constructor(url: string | URL, { method = "GET", headers = [], body = null }: RequestInit = {}) {
    super(headers, typeof body === "function" ? body : () => bytesOf(body));
    this.url = String(new URL(url));
    this.method = /^(?:get|head|post|put|delete|options)$/i.test(method) ? method.toUpperCase() : method;
    if (typeof body === "string" && !this.headers.has("content-type"))
      this.headers.set("content-type", "text/plain;charset=UTF-8");
  }
}

export interface ResponseInit {
  readonly status?: number;
  readonly statusText?: string;
  readonly headers?: ConstructorParameters<typeof Headers>[0];
}

export class Response extends Message {
  readonly status: number;
  readonly statusText: string;

  /** @throws {RangeError} if `status` is not between 200 and 599. */
  constructor(body: BodyInit = null, { status = 200, statusText = "", headers = [] }: ResponseInit = {}) {
    super(headers, () => bytesOf(body));
    if (!Number.isInteger(status) || status < 200 || status > 599)
      throw new RangeError(`the status of a response must be between 200 and 599, not ${status}`);
    this.status = status;
    this.statusText = statusText;
    if (typeof body === "string" && !this.headers.has("content-type"))
      this.headers.set("content-type", "text/plain;charset=UTF-8");
  }

  static json(value: unknown, init: ResponseInit = {}): Response {
    const headers = new Headers(init.headers ?? []);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(value), { ...init, headers });
  }

  static redirect(url: string | URL, status = 302): Response {
    if (![301, 302, 303, 307, 308].includes(status))
      throw new RangeError(`${status} is no status of a redirect`);
    return new Response(null, { status, headers: { location: String(new URL(url)) } });
  }

  get ok(): boolean {
    return this.status < 300;
  }
}

function bytesOf(body: BodyInit): Uint8Array | null {
  if (typeof body === "string") return new TextEncoder().encode(body);
  return body instanceof ArrayBuffer ? new Uint8Array(body) : body;
}
