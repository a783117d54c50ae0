/** What a hook is called with. Members are read from the input when they are asked for: most guests need few. */
// @ts-nocheck AssemblyScript, not TypeScript
import { fromBase64 } from "./base64";
import { readInput } from "./extism";
import { isString, member, skip, stringAt } from "./json";

export { config } from "./extism";

export class Call {
  /** The input's JSON, for whoever wants more than there is a member for (json.ts). */
  readonly input: string;
  private readonly requestAt: i32;
  private readonly responseAt: i32;

  constructor() {
    const input = readInput();
    this.input = input;
    this.requestAt = member(input, 0, "request");
    this.responseAt = member(input, 0, "response");
  }

  get phase(): string {
    return this.text(0, "phase");
  }
  /** The request's id, 32 hexadecimal digits. */
  get id(): string {
    return this.text(0, "id");
  }
  get method(): string {
    return this.text(this.requestAt, "method");
  }
  get scheme(): string {
    return this.text(this.requestAt, "scheme");
  }
  get host(): string {
    return this.text(this.requestAt, "host");
  }
  /** Without the query. */
  get path(): string {
    return this.text(this.requestAt, "path");
  }
  /** Without `?`; empty if there is none. */
  get query(): string {
    return this.text(this.requestAt, "query");
  }
  get clientIp(): string {
    return this.text(this.requestAt, "client_ip");
  }
  /** Of the response; 0 before there is one. */
  get status(): i32 {
    const at = member(this.input, this.responseAt, "status");
    return at < 0 ? 0 : <i32>parseInt(this.input.substring(at, skip(this.input, at)));
  }
  /** User name of the consumer; null if nobody is known, or without the grant. */
  get consumer(): string | null {
    const at = member(this.input, 0, "consumer");
    return at < 0 ? null : this.text(at, "username");
  }

  /** The first value of a request header that is granted; `name` in lower case. Null if there is none. */
  header(name: string): string | null {
    return this.headerOf(this.requestAt, name);
  }

  /** The same of the response. */
  responseHeader(name: string): string | null {
    return this.headerOf(this.responseAt, name);
  }

  /** The request's body; null if it has none, or without the grant. */
  body(): Uint8Array | null {
    return this.bytes(this.requestAt, "body");
  }

  /** The whole body of the response, in the phase `response`. */
  responseBody(): Uint8Array | null {
    return this.bytes(this.responseAt, "body");
  }

  /** What `body_filter` is given. */
  chunk(): Uint8Array {
    const bytes = this.bytes(member(this.input, 0, "chunk"), "data");
    return bytes === null ? new Uint8Array(0) : bytes;
  }

  /** Whether it is the last one. */
  get isLast(): bool {
    const at = member(this.input, member(this.input, 0, "chunk"), "last");
    return at >= 0 && this.input.startsWith("true", at);
  }

  /** JSON of a value that plugins share along a request; null if there is none. */
  variable(name: string): string | null {
    const at = member(this.input, member(this.input, 0, "vars"), name);
    return at < 0 ? null : this.input.substring(at, skip(this.input, at));
  }

  private text(at: i32, name: string): string {
    return stringAt(this.input, member(this.input, at, name));
  }

  private bytes(at: i32, name: string): Uint8Array | null {
    const value = member(this.input, at, name);
    return value < 0 ? null : fromBase64(stringAt(this.input, value));
  }

  /** `[["Name","value"],["Name","value"]]` */
  private headerOf(message: i32, lower: string): string | null {
    const input = this.input;
    let at = member(input, message, "headers") + 1;
    if (at == 0) return null;
    while (at < input.length && input.charCodeAt(at) == 0x5b) {
      const value = skip(input, at + 1) + 1;
      if (isString(input, at + 1, lower, true)) return stringAt(input, value);
      at = skip(input, value) + 1;
      if (at < input.length && input.charCodeAt(at) == 0x2c) at++;
    }
    return null;
  }
}
