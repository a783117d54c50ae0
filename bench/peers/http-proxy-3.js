// http-proxy-3 as its README sets it up, with a keep-alive agent and its own forwarded headers.
import http from "node:http";
import { createProxyServer } from "http-proxy-3";

const proxy = createProxyServer({
  target: `http://127.0.0.1:${process.env.UPSTREAM}`,
  agent: new http.Agent({ keepAlive: true, maxSockets: 128, maxFreeSockets: 128 }),
  xfwd: true,
});
proxy.on("error", (_error, _request, response) => {
  if (!response.headersSent) response.writeHead(502);
  response.end();
});
const server = http.createServer((request, response) => proxy.web(request, response));
server.keepAliveTimeout = 300_000;
server.requestTimeout = 0;
server.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 4096 });
