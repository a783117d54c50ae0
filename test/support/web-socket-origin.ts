/** A real WebSocket server for a test: it echoes every message, and tells what it was asked. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import type { KeyPair } from "./certificates.ts";

export interface WebSocketOriginOptions extends ServerOptions {
  /** Speaks TLS with it. */
  readonly secure?: KeyPair;
  /** In place of the echo. */
  readonly onSocket?: (socket: WebSocket, request: IncomingMessage) => void;
}

export async function startWebSocketOrigin(options: WebSocketOriginOptions = {}): Promise<WebSocketOrigin> {
  const origin = new WebSocketOrigin(options);
  await origin.listen();
  return origin;
}

export class WebSocketOrigin implements AsyncDisposable {
  /** Handshakes so far. */
  readonly requests: IncomingMessage[] = [];
  /** Connections that are open. */
  readonly sockets = new Set<Duplex>();
  readonly #server: Server;
  readonly #secure: boolean;

  constructor({ secure, onSocket = echo, ...options }: WebSocketOriginOptions) {
    this.#secure = secure !== undefined;
    const server = secure === undefined ? createServer() : createSecureServer({ ...secure });
    const webSockets = new WebSocketServer({ maxPayload: 2 ** 30, ...options, noServer: true });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.requests.push(request);
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      webSockets.handleUpgrade(request, socket, head, (made) => {
        made.on("error", () => {});
        onSocket(made, request);
      });
    });
    this.#server = server;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get url(): string {
    return `${this.#secure ? "https" : "http"}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.closeAllConnections();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function echo(socket: WebSocket): void {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
}
