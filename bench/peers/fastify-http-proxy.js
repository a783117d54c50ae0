// @fastify/http-proxy as its README sets it up, with its own undici pool wide enough for the load.
import proxy from "@fastify/http-proxy";
import fastify from "fastify";

const port = Number(process.env.PORT);
const server = fastify({ logger: false, keepAliveTimeout: 300_000 });
await server.register(proxy, {
  upstream: `http://127.0.0.1:${process.env.UPSTREAM}`,
  undici: { connections: 128, pipelining: 1, keepAliveTimeout: 300_000, keepAliveMaxTimeout: 300_000 },
  replyOptions: {
    rewriteRequestHeaders(request, headers) {
      headers["x-real-ip"] = request.ip;
      headers["x-forwarded-for"] = request.ip;
      headers["x-forwarded-proto"] = "http";
      headers["x-forwarded-host"] = request.host;
      headers["x-forwarded-port"] = String(port);
      return headers;
    },
  },
});
await server.listen({ port, host: "127.0.0.1", backlog: 4096 });
