/** Clients that ask for much and take little: they are cut off, and until then cost a bounded part of memory. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import { type Gateway, startGateway } from "../../support/gateway.ts";
import { openRaw } from "../../support/raw-client.ts";
import { type RawOrigin, startRawOrigin } from "../../support/raw-origin.ts";

const TOTAL = 1 << 30;
const GET = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";

/** Answers with as many bytes as a path asks for, no faster than they are taken. */
async function bigOrigin(): Promise<{ origin: RawOrigin; sent(): number; gone: Promise<void> }> {
  const piece = Buffer.alloc(1 << 18, "x");
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  let sent = 0;
  const origin = await startRawOrigin(({ socket }) => {
    socket.on("close", () => resolve());
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`);
    const pump = () => {
      while (sent < TOTAL && !socket.destroyed) {
        sent += piece.length;
        if (!socket.write(piece)) return void socket.once("drain", pump);
      }
    };
    pump();
  });
  return { origin, sent: () => sent, gone };
}

const start = (origin: RawOrigin, settings: Record<string, string>): Promise<Gateway> =>
  startGateway({
    config: {
      _format_version: "3.0",
      services: [{ name: "s", url: origin.url, routes: [{ name: "r", paths: ["/"], strip_path: false }] }],
    },
    settings: { data_threads: "1", ...settings },
  });

const rssKib = ({ pid }: Gateway): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

it("a client that reads nothing of a gigabyte stops the upstream, and is cut off with it", async () => {
  const { origin, sent, gone } = await bigOrigin();
  await using _origin = origin;
  await using gateway = await start(origin, { client_read_timeout_ms: "2000" });
  const before = rssKib(gateway);
  await using client = await openRaw(gateway.ports.proxy);
  client.socket.pause();
  client.write(GET);
  await gone;
  assert.ok(sent() < 64 << 20, `${sent()} bytes were asked of the upstream`);
  assert.ok(rssKib(gateway) - before < 64 << 10, `${rssKib(gateway) - before} KiB more memory`);
  const line = await gateway.log(({ code }) => code === "client_slow");
  assert.equal(line.client, "127.0.0.1");
  client.socket.resume();
  await client.closed();
});

it("a client that reads on and on, but slower than client_read_min_rate, is cut off too", async () => {
  const { origin, gone } = await bigOrigin();
  await using _origin = origin;
  await using gateway = await start(origin, {
    client_read_timeout_ms: "1000",
    client_read_min_rate: String(1 << 30),
  });
  await using client = await openRaw(gateway.ports.proxy);
  client.socket.on("data", () => {
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 5);
  });
  client.write(GET);
  await gone;
  await gateway.log(({ code }) => code === "client_slow");
});

it("a client that takes longer than client_read_timeout_ms for one answer, and reads steadily, gets all of it", async () => {
  const body = Buffer.alloc(48 << 20, "x");
  await using origin = await startRawOrigin(({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.write(body);
  });
  await using gateway = await start(origin, { client_read_timeout_ms: "2000" });
  await using client = await openRaw(gateway.ports.proxy);
  let received = 0;
  const { promise: whole, resolve, reject } = Promise.withResolvers<void>();
  client.socket.removeAllListeners("data");
  client.socket.on("close", () => reject(new Error(`closed after ${received} bytes`)));
  client.socket.on("data", (piece: Buffer) => {
    received += piece.length;
    if (received > body.length) return resolve();
    client.socket.pause();
    setTimeout(() => client.socket.resume(), 3);
  });
  client.write(GET);
  await whole;
});

it("a client that resets in the middle of its answer frees the upstream", async () => {
  const { origin, gone } = await bigOrigin();
  await using _origin = origin;
  await using gateway = await start(origin, {});
  const client = await openRaw(gateway.ports.proxy);
  client.write(GET);
  await once(client.socket, "data");
  client.socket.resetAndDestroy();
  await gone;
});
