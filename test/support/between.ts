/**
 * The gateway between a client and an upstream that both show every byte: for tests of what the RFCs require, and of
 * what attackers try.
 *
 * The upstream reads with Node's strict parser, as an origin server would, and answers with exactly the bytes
 * that a test hands it.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Gateway, startGateway } from "./gateway.ts";
import { openRaw, type RawResponse } from "./raw-client.ts";

type Fields = readonly (readonly [name: string, value: string])[];

/** One request as the upstream understood it. */
export interface Seen {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: Fields;
  body: string;
  trailers: Fields;
  /** Whether its end has come. */
  whole: boolean;
  /** Which of the upstream's connections it came on, from 1. */
  readonly connection: number;
}

/** What the upstream does once a request has come whole; text is written as it is. */
export type Answer = string | ((socket: Socket, seen: Seen) => void);

export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

export class Between implements AsyncDisposable {
  readonly seen: Seen[] = [];
  gateway!: Gateway;
  answer: Answer = OK;
  /** Called with the head of a request that announces its body; the body may come later. */
  onHead: ((socket: Socket, seen: Seen) => void) | null = null;
  readonly #server: Server;
  readonly #connections = new WeakMap<Socket, number>();
  connections = 0;

  constructor() {
    this.#server = createServer({ maxHeaderSize: 65_536 });
    this.#server.on("connection", (socket: Socket) => {
      this.#connections.set(socket, ++this.connections);
      socket.on("error", () => socket.destroy());
    });
    for (const event of ["request", "checkContinue", "checkExpectation"] as const)
      this.#server.on(event, (request: IncomingMessage) => this.#take(request));
  }

  static async start(settings: Record<string, string> = {}): Promise<Between> {
    const between = new Between();
    between.#server.listen(0, "127.0.0.1");
    await once(between.#server, "listening");
    const { port } = between.#server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    between.gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          {
            name: "upstream",
            url,
            routes: [
              { name: "all", paths: ["/"], strip_path: false },
              { name: "preserved", hosts: ["preserved.test"], paths: ["/"], preserve_host: true },
              { name: "star", hosts: ["star.test"] },
              {
                name: "own",
                paths: ["/own"],
                plugins: [{ name: "request-termination", config: { status_code: 200, message: "own" } }],
              },
              {
                name: "guarded",
                paths: ["/guarded"],
                plugins: [{ name: "key-auth", config: {} }],
              },
            ],
          },
        ],
      },
      settings: { data_threads: "1", ...settings },
    });
    return between;
  }

  get port(): number {
    return this.gateway.ports.proxy;
  }

  get last(): Seen {
    const last = this.seen.at(-1);
    assert.ok(last !== undefined, "the upstream has seen no request");
    return last;
  }

  /** Writes bytes on a connection of their own and reads as many responses as are expected. */
  async ask(bytes: string, { answer = OK, count = 1, head = false }: Ask = {}): Promise<RawResponse[]> {
    this.seen.length = 0;
    this.answer = answer;
    await using client = await openRaw(this.port);
    client.write(bytes);
    const responses: RawResponse[] = [];
    for (let i = 0; i < count; i++) responses.push(await client.read({ head: head && i === count - 1 }));
    return responses;
  }

  /** A request for `path` with these field lines, answered with `answer`. */
  async get(path: string, fields: readonly string[] = [], answer: Answer = OK): Promise<RawResponse> {
    const [response] = await this.ask(request("GET", path, fields), { answer });
    return response as RawResponse;
  }

  /**
   * Asserts that bytes get one answer with a status, that the connection then ends, that nothing after them is taken
   * for a request, and that the upstream heard of none of it.
   */
  async refuses(bytes: string, status: number): Promise<void> {
    await this.refusal(bytes, status);
  }

  /** As `refuses`; returns the answer. */
  async refusal(bytes: string, status: number): Promise<RawResponse> {
    this.seen.length = 0;
    this.answer = OK;
    await using client = await openRaw(this.port);
    client.write(bytes + request("GET", "/after"));
    const response = await client.read();
    assert.equal(response.status, status);
    assert.equal(fieldValue(response.headers, "connection"), "close");
    await client.closed();
    assert.equal(client.pending.length, 0, client.pending.toString("latin1"));
    assert.deepEqual(
      this.seen.filter(({ whole }) => whole),
      [],
    );
    return response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway[Symbol.asyncDispose]();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #take(incoming: IncomingMessage): Promise<void> {
    const { socket } = incoming;
    const seen: Seen = {
      method: incoming.method as string,
      target: incoming.url as string,
      version: incoming.httpVersion,
      fields: pairs(incoming.rawHeaders),
      body: "",
      trailers: [],
      whole: false,
      connection: this.#connections.get(socket) as number,
    };
    this.seen.push(seen);
    this.onHead?.(socket, seen);
    incoming.on("error", () => {}); // a request that breaks off is never whole
    incoming.on("data", (piece: Buffer) => {
      seen.body += piece.toString("latin1");
    });
    await once(incoming, "end").catch(() => {});
    if (!incoming.complete) return;
    seen.trailers = pairs(incoming.rawTrailers);
    seen.whole = true;
    if (typeof this.answer === "string") socket.write(Buffer.from(this.answer, "latin1"));
    else this.answer(socket, seen);
  }
}

interface Ask {
  answer?: Answer;
  count?: number;
  /** Whether the last response answers a HEAD. */
  head?: boolean;
}

export function request(
  method: string,
  path: string,
  fields: readonly string[] = [],
  body = "",
  version = "1.1",
): string {
  return [`${method} ${path} HTTP/${version}`, "Host: client.test", ...fields, "", body].join("\r\n");
}

export function chunked(body: string, path = "/chunked", fields: readonly string[] = []): string {
  return request("POST", path, [...fields, "Transfer-Encoding: chunked"], body);
}

/** The values of a field joined by ", ", or undefined. */
export function fieldValue(fields: Fields, name: string): string | undefined {
  const values = fields.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(", ");
}

function pairs(flat: readonly string[]): Fields {
  const fields: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) fields.push([flat[i] as string, flat[i + 1] as string]);
  return fields;
}
