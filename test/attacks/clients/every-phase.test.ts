/**
 * Ten thousand connections that go wrong in every phase of a request, on either side of the gateway: none leaves a
 * descriptor, a count or memory behind, and the gateway serves on.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { it } from "node:test";
import { send } from "../../support/client.ts";
import { startGateway } from "../../support/gateway.ts";
import { startRawOrigin } from "../../support/raw-origin.ts";

const CONNECTIONS = 10_000;
const AT_ONCE = 400;
/** One connection of so many stays until its deadline; the others end by themselves. */
const ONE_STAYS = 10;
const BIG = Buffer.alloc(1 << 19, "x");

const head = (method: string, path: string, ...fields: string[]) =>
  [`${method} ${path} HTTP/1.1`, "Host: a", ...fields, "", ""].join("\r\n");

type Client = (socket: Socket) => void;
const reset: Client = (socket) => void socket.resetAndDestroy();
/** Writes, and goes once the other side has begun to answer. */
const until = (bytes: string | Buffer, then: Client): Client => {
  return (socket) => {
    socket.write(bytes);
    socket.once("data", () => then(socket));
  };
};
/** Writes, and goes once that is with the system. */
const after = (bytes: string | Buffer, then: Client): Client => {
  return (socket) => void socket.write(bytes, () => then(socket));
};
const stay: Client = () => {};
const end: Client = (socket) => void socket.end();
/** Does not read until after the gateway must have given up, and then only to hear of that. */
const stopReading: Client = (socket) => {
  socket.pause();
  setTimeout(() => socket.resume(), 1500);
};
const destroy: Client = (socket) => void socket.destroy();

const LEAVING: readonly Client[] = [
  // before and in the head
  destroy,
  reset,
  after("GET / HT", reset),
  after("GET / HTTP/1.1\r\nHost: a\r\nX", destroy),
  after(`${head("GET", "/ok")}GET /bad\r\n\r\n`, stay),
  // in the body
  after(`${head("POST", "/ok", "Content-Length: 10")}abc`, reset),
  after(`${head("POST", "/ok", "Content-Length: 10")}abc`, end),
  after(`${head("POST", "/ok", "Transfer-Encoding: chunked")}5\r\nab`, reset),
  after(`${head("POST", "/ok", "Transfer-Encoding: chunked")}zz\r\n`, stay),
  after(head("POST", "/ok", "Content-Length: 100000", "Expect: 100-continue"), reset),
  until(Buffer.concat([Buffer.from(head("POST", "/early", "Content-Length: 5000000")), BIG]), reset),
  // while the upstream works, and in the answer
  after(head("GET", "/silent"), reset),
  after(head("GET", "/silent"), end),
  until(head("GET", "/big"), reset),
  until(head("GET", "/big"), destroy),
  until(head("GET", "/big"), end),
  after(head("GET", "/broken"), stay),
  after(head("GET", "/cut"), stay),
  after(head("GET", "/reset"), stay),
  until(head("GET", "/endless"), reset),
  // pipelined
  after(head("GET", "/ok").repeat(50), reset),
  until(head("GET", "/ok", "Connection: close"), stay),
];

const STAYING: readonly Client[] = [
  after("GET / HTTP/1.1\r\nHost: a\r\nX: y", stay),
  after("\0\0\0\0", stay),
  after(`${head("POST", "/ok", "Content-Length: 10")}abc`, stay),
  until(Buffer.concat([Buffer.from(head("POST", "/early", "Content-Length: 5000000")), BIG]), stay),
  after(head("GET", "/silent"), stay),
  until(head("GET", "/big"), stopReading),
  after(head("GET", "/endless"), stay),
  after(head("GET", "/ok").repeat(50) + "x".repeat(5000), stay),
  after(head("GET", "/big").repeat(20), stopReading),
];

const kind = (i: number): Client =>
  i % ONE_STAYS === 0
    ? (STAYING[(i / ONE_STAYS) % STAYING.length] as Client)
    : (LEAVING[i % LEAVING.length] as Client);

function hostile(port: number, behave: Client): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("end", () => socket.end());
    socket.on("connect", () => behave(socket));
    socket.resume();
  });
}

it(`${CONNECTIONS} connections that go wrong in every phase leave nothing behind`, async () => {
  await using origin = await startRawOrigin(({ socket, path }) => {
    if (path === "/ok") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    else if (path === "/early")
      socket.end("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    else if (path === "/big") {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG.length}\r\n\r\n`);
      socket.write(BIG);
    } else if (path === "/broken")
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n");
    else if (path === "/cut") socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    else if (path === "/reset") socket.resetAndDestroy();
    else if (path === "/endless") socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
  });
  const timeouts = { connect_timeout: 1000, read_timeout: 500, write_timeout: 500 };
  await using gateway = await startGateway({
    config: {
      _format_version: "3.0",
      services: [
        {
          name: "s",
          url: origin.url,
          retries: 0,
          ...timeouts,
          routes: [{ name: "r", paths: ["/"], strip_path: false }],
        },
      ],
    },
    settings: {
      data_threads: "2",
      client_head_timeout_ms: "500",
      client_body_timeout_ms: "500",
      client_read_timeout_ms: "500",
      client_idle_timeout_ms: "500",
      upstream_keepalive_idle_timeout: "1",
    },
  });
  const descriptors = () => readdirSync(`/proc/${gateway.pid}/fd`).length;
  const rssKib = () =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${gateway.pid}/status`, "utf8"))?.[1]);
  const status = async () =>
    ((await send(`${gateway.statusUrl}/status`)).json() as { server: Record<string, number> }).server;
  // The gateway hears of a client's goodbye after the client has said it; a connection that stays ends the test's time.
  const allGone = async () => {
    while ((await status()).connections_active !== 0) {}
  };
  const wave = async (count: number) => {
    let started = 0;
    const worker = async () => {
      for (let i = started++; i < count; i = started++) await hostile(gateway.ports.proxy, kind(i));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    await allGone();
    // Upstream connections that were kept go within their idle time; there is nothing to be told by.
    while (origin.open > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  };
  await wave(CONNECTIONS / 10);
  assert.equal((await send(`${gateway.url}/ok`)).body, "ok");
  while (origin.open > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  const before = { descriptors: descriptors(), rss: rssKib() };
  await wave(0.9 * CONNECTIONS);
  assert.ok(
    descriptors() <= before.descriptors + 2,
    `${descriptors()} descriptors, ${before.descriptors} before`,
  );
  const grown = (rssKib() - before.rss) >> 10;
  assert.ok(grown < 128, `${grown} MiB more memory`);
  assert.equal((await send(`${gateway.url}/ok`)).body, "ok");
  await allGone();
  assert.doesNotMatch(gateway.output(), /"level":"(error|fatal)"/);
});
