/** Messages in memory, as a test writes them and as a plugin sees them. */
import type { Headers } from "../plugin.ts";

/** Fields of a test: an object, whose values may be lists, or pairs in their order. */
export type GivenHeaders =
  | Readonly<Record<string, string | readonly string[]>>
  | readonly (readonly [name: string, value: string])[];

/** A body of a test: text as UTF-8, bytes as they are, anything else as JSON. */
export type GivenBody = string | Uint8Array | object | null;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/;

/** Keeps order and spelling; refuses what could not be sent, as the gateway does. */
export class TestHeaders implements Headers {
  #list: [string, string][] = [];

  constructor(given: GivenHeaders = []) {
    for (const [name, value] of Array.isArray(given) ? given : Object.entries(given))
      for (const one of Array.isArray(value) ? value : [value]) this.add(name, one);
  }

  get(name: string): string | undefined {
    return this.#list.find(([own]) => own.toLowerCase() === name.toLowerCase())?.[1];
  }

  getAll(name: string): string[] {
    return this.#list.filter(([own]) => own.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  set(name: string, value: string): void {
    checkField(name, value);
    this.remove(name);
    this.#list.push([name, value]);
  }

  add(name: string, value: string): void {
    checkField(name, value);
    this.#list.push([name, value]);
  }

  remove(name: string): void {
    this.#list = this.#list.filter(([own]) => own.toLowerCase() !== name.toLowerCase());
  }

  entries(): [string, string][] {
    return this.#list.map(([name, value]) => [name, value]);
  }
}

function checkField(name: string, value: string): void {
  if (!TOKEN.test(name)) throw new TypeError(`'${name}' is no name of a header field`);
  if (BAD_VALUE.test(value)) throw new TypeError(`header field ${name}: a value that could not be sent`);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Null stays null: there is no body. */
export function bytesOf(body: GivenBody | undefined): Uint8Array | null {
  if (body === undefined || body === null) return null;
  if (body instanceof Uint8Array) return body;
  return encoder.encode(typeof body === "string" ? body : JSON.stringify(body));
}

/** A message as a verdict shows it. */
export class TestMessage {
  readonly headers: TestHeaders;
  /** Null if it has none. */
  readonly body: Uint8Array | null;

  constructor(headers: GivenHeaders, body: Uint8Array | null) {
    this.headers = new TestHeaders(headers);
    this.body = body;
  }

  /** The body as UTF-8; empty if there is none. */
  text(): string {
    return this.body === null ? "" : decoder.decode(this.body);
  }

  /** @throws {SyntaxError} */
  json(): unknown {
    return JSON.parse(this.text());
  }
}
