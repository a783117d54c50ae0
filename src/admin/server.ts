/** Servers of the gateway's own APIs: Fastify behind plain `node:http`, bounded, on every address asked for. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from "node:https";
import type { AddressInfo } from "node:net";
import fastify, { type FastifyInstance } from "fastify";
import { WriteRefused } from "../control/refusal.ts";
import type { Listen, TlsListen } from "../settings.ts";
import { answerTo, Refusal, tooLarge } from "./answers.ts";
import { ClientCaps } from "./client-caps.ts";

export interface ApiServer {
  /** Binds every address; the ports are those that the system gave where 0 was asked. */
  listen(addresses: readonly (Listen | TlsListen)[]): Promise<{ host: string; port: number }[]>;
  /** Refuses new connections, ends idle ones, and waits for answers under way. */
  close(): Promise<void>;
}

export type ApiLog = (level: "info" | "warn" | "error", message: string, details?: object) => void;

/** Longest segment of a path: a key such as a consumer's name. */
const MAX_PARAM_LENGTH = 4096;

/** Connections to one address at a time, and how many of them one client may have; further ones are closed. */
const MAX_CONNECTIONS = 256;
const MAX_OF_CLIENT = 64;

/** A Fastify instance that answers in JSON, tells nothing of its insides, and reads bodies as bytes. */
export function createApp(log: ApiLog): FastifyInstance {
  const app = fastify({
    logger: false,
    exposeHeadRoutes: true,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_LENGTH },
    // Routes that read a body name their own limit.
    bodyLimit: 1024,
    // A path that is none of text, which no hook sees.
    frameworkErrors: ({ statusCode = 400 }, _request, { raw }) => {
      const body = JSON.stringify({ message: "Bad request" });
      const headers = {
        "content-type": "application/json; charset=utf-8",
        "x-content-type-options": "nosniff",
      };
      raw.writeHead(statusCode, { ...headers, "content-length": body.length }).end(body);
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_, body, done) => done(null, body));
  app.setNotFoundHandler((_, reply) => reply.code(404).send({ message: "Not found" }));
  app.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    if (error instanceof WriteRefused) error = answerTo(error);
    if (error instanceof Refusal) return reply.code(error.status).headers(error.headers).send(error.body);
    const status = error.statusCode ?? 500;
    if (status === 413) return reply.code(413).send(tooLarge().body);
    if (status >= 400 && status < 500) return reply.code(status).send({ message: "Bad request" });
    log("error", "an Admin or Status API request failed", {
      method: request.method,
      path: request.url.split("?", 1)[0],
      error: error.stack ?? String(error),
    });
    return reply.code(500).send({ message: "An unexpected error occurred" });
  });
  return app;
}

const BOUNDS = {
  headersTimeout: 10_000,
  // How often the other times are looked at.
  connectionsCheckingInterval: 5_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 60_000,
  maxHeaderSize: 32_768,
};
/** From the first byte of TLS to the end of its handshake. */
const HANDSHAKE_MS = 10_000;

/** @param tls how addresses with `ssl` speak it. */
export function serve(app: FastifyInstance, tls: TlsOptions | null = null): ApiServer {
  const open = (ssl: boolean): Server => {
    const onRequest: RequestListener = (request, response) => app.routing(request, response);
    if (!ssl) return createServer(BOUNDS, onRequest);
    if (tls === null) throw new Error("there is nothing to speak TLS with");
    return createTlsServer({ ...BOUNDS, ...tls, handshakeTimeout: HANDSHAKE_MS }, onRequest);
  };
  const servers: Server[] = [];
  return {
    async listen(addresses) {
      await app.ready();
      const bound: { host: string; port: number }[] = [];
      for (const address of addresses) {
        const { host, port, backlog } = address;
        const server = open("ssl" in address && address.ssl);
        const caps = new ClientCaps(MAX_OF_CLIENT);
        server.maxConnections = MAX_CONNECTIONS;
        server.on("connection", (socket) => caps.admit(socket));
        servers.push(server);
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        server.once("error", reject);
        server.listen({ host, port, backlog }, resolve);
        await promise;
        bound.push({ host, port: (server.address() as AddressInfo).port });
      }
      return bound;
    },
    async close() {
      await Promise.all(
        servers.splice(0).map(async (server) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          server.close(() => resolve());
          server.closeIdleConnections();
          await promise;
        }),
      );
      await app.close();
    },
  };
}
