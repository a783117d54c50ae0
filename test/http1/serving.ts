/** A server of the codec's own for tests of its connections: a handler is a function of the connection. */

import { EventEmitter, once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { ERRORS, type ErrorCode } from "../../src/errors.ts";
import { Deadlines } from "../../src/http1/deadlines.ts";
import type { HeaderList } from "../../src/http1/headers.ts";
import { acceptPlain } from "../../src/http1/plain-wire.ts";
import type { RequestHandler, RequestOwner, ServerLimits } from "../../src/http1/request-handler.ts";
import { ServerConnection } from "../../src/http1/server-connection.ts";
import { openRaw, type RawClient } from "../support/raw-client.ts";
import { LIMITS } from "./harness.ts";

const LONG_MS = 60_000;

export interface Serving extends AsyncDisposable {
  readonly port: number;
  /** `closed` with each connection that has closed, `cut` before with its code, `connection` with each new one. */
  readonly events: EventEmitter;
  connect(): Promise<RawClient>;
}

export async function serve(
  onRequest: (connection: ServerConnection) => void,
  limits: Partial<ServerLimits> = {},
): Promise<Serving> {
  const events = new EventEmitter();
  const deadlines = new Deadlines();
  const handler: RequestHandler = {
    onRequest,
    onRefused: (connection, code) => answer(connection, code, ERRORS[code].status),
    onCut: (connection, code) => events.emit("cut", connection, code),
    onClosed: (connection) => events.emit("closed", connection),
  };
  const all: ServerLimits = {
    ...LIMITS,
    headTimeoutMs: LONG_MS,
    bodyTimeoutMs: LONG_MS,
    bodyMinRate: 0,
    idleTimeoutMs: LONG_MS,
    writeTimeoutMs: LONG_MS,
    writeMinRate: 0,
    maxRequests: Number.POSITIVE_INFINITY,
    ...limits,
  };
  const connections = new Set<ServerConnection>();
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  acceptPlain(server, (wire) => {
    const connection = new ServerConnection(wire, handler, deadlines, all);
    connections.add(connection);
    events.emit("connection", connection);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    events,
    connect: () => openRaw(port),
    async [Symbol.asyncDispose]() {
      server.close();
      for (const { wire } of connections) wire.destroy();
      await once(server, "close");
    },
  };
}

/** Answers and finishes. The body may be of any size. */
export function answer(connection: ServerConnection, body: string, status = 200): void {
  const close = connection.keepAlive ? "" : "Connection: close\r\n";
  connection.writeWhole(
    `HTTP/1.1 ${status} X\r\nContent-Length: ${body.length}\r\n${close}\r\n`,
    Buffer.from(body),
  );
  connection.finish();
}

/** Reads a whole body, then calls `then` with it. */
export class WholeBody implements RequestOwner {
  readonly #then: (body: string, trailers: HeaderList | null) => void;
  readonly #gone: (code: ErrorCode) => void;
  #body = "";

  constructor(then: (body: string, trailers: HeaderList | null) => void, gone = (_code: ErrorCode) => {}) {
    this.#then = then;
    this.#gone = gone;
  }

  onBody(piece: Buffer): void {
    this.#body += piece.toString("latin1");
  }

  onBodyEnd(trailers: HeaderList | null): void {
    this.#then(this.#body, trailers);
  }

  onClientGone(code: ErrorCode): void {
    this.#gone(code);
  }

  onBodyFlush(): void {}
  onClientDrain(): void {}
}
