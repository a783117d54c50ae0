// The tuned reference of what Node offers by itself: node:http in front, an undici Pool behind, the dispatch
// API rather than promises, raw header arrays both ways, no stream between the two sides.
import http from "node:http";
import { Pool } from "undici";

const port = Number(process.env.PORT);
const upstream = new Pool(`http://127.0.0.1:${process.env.UPSTREAM}`, {
  connections: 128,
  pipelining: 1,
  keepAliveTimeout: 300_000,
  keepAliveMaxTimeout: 300_000,
  headersTimeout: 0,
  bodyTimeout: 0,
});

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

class Answer {
  constructor(response) {
    this.response = response;
  }
  onRequestStart() {}
  onResponseStart(_controller, status, headers) {
    if (status < 200) return;
    delete headers.connection;
    delete headers["keep-alive"];
    delete headers["transfer-encoding"];
    this.response.writeHead(status, headers);
  }
  onResponseData(controller, chunk) {
    if (this.response.write(chunk) === false) {
      controller.pause();
      this.response.once("drain", () => controller.resume());
    }
  }
  onResponseEnd() {
    this.response.end();
  }
  onResponseError() {
    if (this.response.headersSent) this.response.destroy();
    else this.response.writeHead(502).end();
  }
}

const server = http.createServer((request, response) => {
  const raw = request.rawHeaders;
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (!HOP_BY_HOP.has(raw[i].toLowerCase())) headers.push(raw[i], raw[i + 1]);
  }
  const address = request.socket.remoteAddress;
  headers.push("X-Real-IP", address, "X-Forwarded-For", address, "X-Forwarded-Proto", "http");
  headers.push("X-Forwarded-Host", request.headers.host, "X-Forwarded-Port", String(port));
  const hasBody =
    request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
  upstream.dispatch(
    { path: request.url, method: request.method, headers, body: hasBody ? request : null },
    new Answer(response),
  );
});
server.keepAliveTimeout = 300_000;
server.requestTimeout = 0;
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
