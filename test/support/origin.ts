/** A real upstream for a test: a node:http server on a port of its own that tells what it received. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request as the upstream got it. */
export interface Received {
  readonly method: string;
  readonly url: string;
  /** Fields in order, spelled as received. */
  readonly headers: readonly (readonly [string, string])[];
  readonly bodyLength: number;
  readonly bodySha256: string;
  /** The body as text; cut at 64 KiB. */
  readonly body: string;
}

export type OriginHandler = (
  received: Received,
  response: ServerResponse,
  request: IncomingMessage,
) => void | Promise<void>;

const BODY_TEXT_MAX = 65_536;

/** Starts an upstream; without a handler it answers 200 with `Received` as JSON. */
export async function startOrigin(handler: OriginHandler = echo): Promise<Origin> {
  const origin = new Origin(handler);
  await origin.listen();
  return origin;
}

export class Origin implements AsyncDisposable {
  /** Every request so far, in the order in which their bodies ended. */
  readonly requests: Received[] = [];
  readonly #server: Server;

  constructor(handler: OriginHandler) {
    this.#server = createServer((request, response) => {
      this.#serve(handler, request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The last request; fails the test if there was none. */
  get last(): Received {
    const last = this.requests.at(-1);
    if (last === undefined) throw new Error("the upstream has received no request");
    return last;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #serve(handler: OriginHandler, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const hash = createHash("sha256");
    const kept: Buffer[] = [];
    let bodyLength = 0;
    for await (const chunk of request) {
      const bytes = chunk as Buffer;
      hash.update(bytes);
      if (bodyLength < BODY_TEXT_MAX) kept.push(bytes.subarray(0, BODY_TEXT_MAX - bodyLength));
      bodyLength += bytes.length;
    }
    const received: Received = {
      method: request.method as string,
      url: request.url as string,
      headers: rawPairs(request),
      bodyLength,
      bodySha256: hash.digest("hex"),
      body: Buffer.concat(kept).toString("utf8"),
    };
    this.requests.push(received);
    await handler(received, response, request);
  }
}

/** The values of a field of a received request, joined by ", ", or undefined. */
export function receivedHeader(received: Received, name: string): string | undefined {
  const values = received.headers.filter(([other]) => other.toLowerCase() === name.toLowerCase());
  return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
}

function echo(received: Received, response: ServerResponse): void {
  const body = JSON.stringify(received);
  response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function rawPairs(request: IncomingMessage): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2)
    pairs.push([request.rawHeaders[i] as string, request.rawHeaders[i + 1] as string]);
  return pairs;
}
