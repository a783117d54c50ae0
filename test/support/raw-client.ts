/**
 * A client that writes exactly the bytes it is told to and reads responses strictly: what a real client would
 * forgive (a stray byte after a body, a bare line feed, two lengths) fails the test here.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawResponse {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  /** Fields in order, spelled as received. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** How the end of the body was known. */
  readonly framing: "none" | "length" | "chunked" | "close";
}

export async function openRaw(port: number, host = "127.0.0.1"): Promise<RawClient> {
  const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
  await once(socket, "connect");
  return new RawClient(socket);
}

/** Writes bytes on a fresh connection and reads as many responses as are expected. */
export async function exchangeRaw(
  port: number,
  bytes: string | Uint8Array,
  count = 1,
): Promise<RawResponse[]> {
  await using client = await openRaw(port);
  client.write(bytes);
  const responses: RawResponse[] = [];
  for (let i = 0; i < count; i++) responses.push(await client.read());
  return responses;
}

export class RawClient implements AsyncDisposable {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #ended = false;
  #error: Error | undefined;
  #changed: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#changed?.();
    });
    socket.on("error", (error) => {
      this.#error = error;
      this.#ended = true;
      this.#changed?.();
    });
    socket.on("end", () => {
      this.#ended = true;
      this.#changed?.();
    });
  }

  /** Strings are written one byte a character. */
  write(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Sends FIN; the other direction stays open. */
  end(): void {
    this.socket.end();
  }

  /** Reads one response. `head` says that it answers a HEAD request; interim (1xx) responses are returned too. */
  async read({ head = false }: { head?: boolean } = {}): Promise<RawResponse> {
    const [statusLine, ...lines] = await this.#head();
    const match = /^(HTTP\/1\.[01]) ([1-5]\d\d) ([\t\x20-\x7e\x80-\xff]*)$/.exec(statusLine as string);
    if (!match) throw new Error(`not a status line: ${JSON.stringify(statusLine?.slice(0, 200))}`);
    const headers = lines.map(parseField);
    const status = Number(match[2]);
    const start = { version: match[1] as string, status, reason: match[3] as string, headers };
    const lengths = headers.filter(([name]) => /^content-length$/i.test(name)).map(([, value]) => value);
    const codings = headers.filter(([name]) => /^transfer-encoding$/i.test(name)).map(([, value]) => value);
    if (lengths.length > 1 || codings.length > 1 || (lengths.length > 0 && codings.length > 0))
      throw new Error(`ambiguous framing: ${JSON.stringify({ lengths, codings })}`);
    const empty = { body: Buffer.alloc(0), trailers: [] };
    if (head || status < 200 || status === 204 || status === 304)
      return { ...start, ...empty, framing: "none" };
    if (codings[0] !== undefined) {
      if (codings[0].toLowerCase() !== "chunked") throw new Error(`transfer coding ${codings[0]}`);
      return { ...start, ...(await this.#chunked()), framing: "chunked" };
    }
    if (lengths[0] !== undefined) {
      if (!/^\d+$/.test(lengths[0])) throw new Error(`Content-Length: ${lengths[0]}`);
      return { ...start, body: await this.#bytes(Number(lengths[0])), trailers: [], framing: "length" };
    }
    await this.closed();
    if (this.#error)
      throw new Error("the connection was reset in the middle of a response", { cause: this.#error });
    const body = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return { ...start, body, trailers: [], framing: "close" };
  }

  /** Waits until the other side has closed; what it sent before stays readable. */
  async closed(): Promise<void> {
    while (!this.#ended) await this.#change();
  }

  /** Bytes that no response has taken yet. */
  get pending(): Buffer {
    return this.#buffer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return;
    this.socket.destroy();
    await once(this.socket, "close");
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = resolve;
    });
  }

  async #more(): Promise<void> {
    if (this.#ended) {
      const rest = JSON.stringify(this.#buffer.toString("latin1").slice(0, 200));
      throw new Error(`the connection ended in the middle of a response, after ${rest}`, {
        cause: this.#error,
      });
    }
    await this.#change();
  }

  /** Lines up to an empty one, without their CRLF. */
  async #head(): Promise<string[]> {
    for (;;) {
      const end = this.#buffer.indexOf("\r\n\r\n");
      if (end >= 0) {
        const text = this.#buffer.toString("latin1", 0, end);
        this.#buffer = this.#buffer.subarray(end + 4);
        const lines = text.split("\r\n");
        if (lines.some((line) => /[\r\n\0]/.test(line)))
          throw new Error(`bare CR, LF or NUL: ${JSON.stringify(text)}`);
        return lines;
      }
      await this.#more();
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#buffer.toString("latin1", 0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        return line;
      }
      await this.#more();
    }
  }

  async #bytes(count: number): Promise<Buffer> {
    while (this.#buffer.length < count) await this.#more();
    const bytes = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return bytes;
  }

  async #chunked(): Promise<Pick<RawResponse, "body" | "trailers">> {
    const chunks: Buffer[] = [];
    for (;;) {
      const line = await this.#line();
      if (!/^[0-9a-fA-F]+$/.test(line)) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      if (size === 0) break;
      chunks.push(await this.#bytes(size));
      if ((await this.#bytes(2)).toString("latin1") !== "\r\n")
        throw new Error("a chunk does not end in CRLF");
    }
    const trailers: (readonly [string, string])[] = [];
    for (let line = await this.#line(); line !== ""; line = await this.#line())
      trailers.push(parseField(line));
    return { body: Buffer.concat(chunks), trailers };
  }
}

function parseField(line: string): readonly [string, string] {
  const match = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/.exec(line);
  if (!match) throw new Error(`not a header field: ${JSON.stringify(line)}`);
  return [match[1] as string, match[2] as string];
}
