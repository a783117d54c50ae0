/** Clients that leave, dawdle, or ask for too much: each gets its due, and the next one is served. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { exchangeRaw, openRaw } from "../support/raw-client.ts";
import { type RawOrigin, type RawRequest, startRawOrigin } from "../support/raw-origin.ts";

const MAX_BODY = 1000;

describe("clients", () => {
  let origin: RawOrigin;
  let gateway: Gateway;
  /** Waits for the next request of a path: it is left unanswered to the test. */
  const waiting = new Map<string, (request: RawRequest) => void>();
  const next = (path: string) =>
    new Promise<RawRequest>((resolve) => {
      waiting.set(path, resolve);
    });

  before(async () => {
    origin = await startRawOrigin((request) => {
      const taken = waiting.get(request.path);
      waiting.delete(request.path);
      if (taken) taken(request);
      else request.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "origin", url: origin.url, routes: [{ name: "all", paths: ["/"] }] }],
      },
      settings: {
        data_threads: "1",
        client_max_body_size: String(MAX_BODY),
        client_head_timeout_ms: "400",
        client_body_timeout_ms: "400",
        client_idle_timeout_ms: "400",
        max_head_bytes: "4096",
        max_url_bytes: "1024",
        max_headers: "100",
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  /** Whether it ends or is reset is all the same. */
  const closeOf = (socket: Socket) =>
    new Promise<void>((resolve) => {
      if (socket.destroyed) resolve();
      else socket.once("close", () => resolve());
    });

  async function assertServes(): Promise<void> {
    assert.equal((await send(`${gateway.url}/ok`)).body, "fine");
  }

  /** The access log's record for a path; it is written within a second. */
  async function logged(path: string): Promise<Record<string, unknown>> {
    const file = join(gateway.prefix, "logs", "access.log");
    for (;;) {
      const lines = (await readFile(file, "utf8"))
        .split("\n")
        .filter((line) => line.includes(`"path":"${path}"`));
      if (lines[0] !== undefined) return JSON.parse(lines[0]);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  it("who leaves before the answer takes the upstream's request with him, and is logged as 499", async () => {
    const asked = next("/left-waiting");
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /left-waiting HTTP/1.1\r\nHost: a\r\n\r\n");
    const { socket } = await asked;
    client.socket.destroy();
    await closeOf(socket);
    await assertServes();
    assert.equal((await logged("/left-waiting")).status, 499);
  });

  it("who leaves in the middle of his request takes the upstream's with him", async () => {
    const asked = next("/left-sending");
    await using client = await openRaw(gateway.ports.proxy);
    client.write("POST /left-sending HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n01234");
    const { socket } = await asked;
    client.socket.destroy();
    await closeOf(socket);
    await assertServes();
    assert.equal((await logged("/left-sending")).status, 499);
  });

  it("who leaves in the middle of the response frees the upstream", async () => {
    const asked = next("/left-reading");
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /left-reading HTTP/1.1\r\nHost: a\r\n\r\n");
    const { socket } = await asked;
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun");
    await once(client.socket, "data");
    client.socket.destroy();
    await closeOf(socket);
    await assertServes();
    assert.equal((await logged("/left-reading")).status, 200);
  });

  for (const [title, head, piece] of [
    ["his response", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", "x".repeat(200)],
    ["interim answers without end", "", `HTTP/1.1 103 Early Hints\r\nX-Filler: ${"x".repeat(160)}\r\n\r\n`],
  ] as const) {
    it(`who does not read ${title} holds the upstream back, and is left after client_body_timeout_ms`, async () => {
      const asked = next("/not-reading");
      await using client = await openRaw(gateway.ports.proxy);
      client.write("GET /not-reading HTTP/1.1\r\nHost: a\r\n\r\n");
      client.socket.pause();
      const { socket } = await asked;
      socket.write(head);
      const block = Buffer.from(piece.repeat(5000));
      let sent = 0;
      const pump = () => {
        while (!socket.destroyed && socket.writableLength < 1 << 22 && sent < 2e8) {
          sent += block.length;
          socket.write(block);
        }
      };
      socket.on("drain", pump);
      pump();
      await closeOf(socket);
      assert.ok(sent < 1e8, `${sent} bytes were taken from the upstream`);
      await assertServes();
    });
  }

  it("a head that does not arrive in time is a 408", async () => {
    const [answer] = await exchangeRaw(gateway.ports.proxy, "GET / HTTP/1.1\r\nHost:");
    assert.equal(answer?.status, 408);
    assert.match(String(answer?.body), /^Request timeout\n/);
  });

  it("a body that stops is a 408, and the upstream's request ends", async () => {
    const asked = next("/stopped");
    await using client = await openRaw(gateway.ports.proxy);
    client.write("POST /stopped HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    const { socket } = await asked;
    assert.equal((await client.read()).status, 408);
    await closeOf(socket);
    await client.closed();
  });

  it("a body may take longer than client_body_timeout_ms as long as it goes on", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("POST /dripping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let i = 0; i < 6; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      client.write("1\r\nx\r\n");
    }
    client.write("0\r\n\r\n");
    assert.equal((await client.read()).status, 200);
  });

  it("a connection without requests is closed after client_idle_timeout_ms", async () => {
    await using fresh = await openRaw(gateway.ports.proxy);
    await fresh.closed();
    assert.equal(fresh.pending.length, 0);
    await using used = await openRaw(gateway.ports.proxy);
    used.write("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await used.read()).status, 200);
    await used.closed();
    assert.equal(used.pending.length, 0);
  });

  const filler = (bytes: number) => `X-Filler: ${"a".repeat(bytes)}\r\n`;
  for (const [title, request, status, message] of [
    [
      "a head over max_head_bytes",
      `GET / HTTP/1.1\r\nHost: a\r\n${filler(4096)}\r\n`,
      431,
      "Request header or cookie too large",
    ],
    [
      "101 headers",
      `GET / HTTP/1.1\r\nHost: a\r\n${"A: b\r\n".repeat(100)}\r\n`,
      431,
      "Request header or cookie too large",
    ],
    [
      "a target over max_url_bytes",
      `GET /${"a".repeat(1024)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      414,
      "URI too long",
    ],
    ["a target without end", `GET /${"a".repeat(3000)}`, 414, "URI too long"],
    [
      "a declared body over client_max_body_size",
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`,
      413,
      "Payload too large",
    ],
    [
      "a chunked body over client_max_body_size",
      `POST /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${"x".repeat(1001)}\r\n`,
      413,
      "Payload too large",
    ],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "CONNECT is not served"],
    ["an unknown expectation", "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417, "Expectation failed"],
    [
      "an unknown transfer coding",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
      501,
      "Not implemented",
    ],
    ["HTTP/2.0 in the request line", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP version not supported"],
    ["no Host", "GET / HTTP/1.1\r\n\r\n", 400, "Bad request"],
    [
      "a broken chunk",
      "POST /broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      400,
      "Bad request",
    ],
  ] as const) {
    it(`${title} is a ${status} '${message}', and the connection ends`, async () => {
      if (/\/big|\/broken/.test(request)) void next(request.split(" ")[1] as string); // left unanswered
      await using client = await openRaw(gateway.ports.proxy);
      client.write(request);
      const answer = await client.read();
      assert.equal(answer.status, status);
      assert.match(answer.body.toString(), new RegExp(`^${message}\nrequest_id: `));
      assert.equal(new Map(answer.headers).get("Connection"), "close");
      await client.closed();
      assert.equal(client.pending.length, 0);
      await assertServes();
    });
  }

  it("just within the limits is served: 100 headers, a long target, a full body", async () => {
    for (const request of [
      `GET / HTTP/1.1\r\nHost: a\r\n${"A: b\r\n".repeat(99)}\r\n`,
      `GET /${"a".repeat(1023)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${MAX_BODY}\r\n\r\n${"x".repeat(MAX_BODY)}`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n${"x".repeat(MAX_BODY)}\r\n0\r\n\r\n`,
    ]) {
      const [answer] = await exchangeRaw(gateway.ports.proxy, request);
      assert.equal(answer?.status, 200);
    }
  });
});
