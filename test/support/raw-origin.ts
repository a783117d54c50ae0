/**
 * An upstream that answers with exactly the bytes a test hands it, or none: for what node:http would not send.
 *
 *     await using origin = await startRawOrigin(({ socket }) => socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end"));
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { KeyPair } from "./certificates.ts";

/** A head that has arrived; bytes of its body come as `data` of the socket. */
export interface RawRequest {
  readonly socket: Socket;
  /** The head, request line first, without the empty line. */
  readonly head: string;
  readonly path: string;
  /** Bytes of the body that came with the head. */
  readonly rest: Buffer;
  /** Heads on this connection so far, this one included. */
  readonly nth: number;
}

export type RawHandler = (request: RawRequest) => void;

/** Starts an upstream that calls `handler` for each head. Requests with bodies must be the last on their connection. */
export async function startRawOrigin(handler: RawHandler, pair?: KeyPair): Promise<RawOrigin> {
  const origin = new RawOrigin(handler, pair);
  await origin.listen();
  return origin;
}

export class RawOrigin implements AsyncDisposable {
  /** Paths in the order in which heads came, over all connections. */
  readonly paths: string[] = [];
  readonly heads: string[] = [];
  readonly #server: Server;
  readonly #secure: boolean;
  readonly #sockets = new Set<Socket>();
  accepted = 0;

  /** With a key pair, it speaks TLS. */
  constructor(handler: RawHandler, pair?: KeyPair) {
    this.#secure = pair !== undefined;
    const onSocket = (socket: Socket) => {
      this.accepted++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      this.#read(socket, handler);
    };
    this.#server =
      pair === undefined
        ? createServer({ noDelay: true }, onSocket)
        : createTlsServer({ ...pair, noDelay: true }, onSocket);
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#secure ? "https" : "http"}://127.0.0.1:${this.port}`;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #read(socket: Socket, handler: RawHandler): void {
    let text = Buffer.alloc(0);
    let nth = 0;
    socket.on("data", (chunk: Buffer) => {
      text = Buffer.concat([text, chunk]);
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = text.toString("latin1", 0, end);
      const rest = text.subarray(end + 4);
      text = Buffer.alloc(0);
      nth++;
      const path = head.split(" ", 2)[1] as string;
      this.paths.push(path);
      this.heads.push(head);
      handler({ socket, head, path, rest, nth });
    });
  }
}

/** The values of a field of a raw head, joined by ", ", or undefined. */
export function fieldOf(head: string, name: string): string | undefined {
  const prefix = `${name.toLowerCase()}:`;
  const values = head
    .split("\r\n")
    .filter((line) => line.toLowerCase().startsWith(prefix))
    .map((line) => line.slice(prefix.length).trim());
  return values.length === 0 ? undefined : values.join(", ");
}
