/**
 * Upgrades at the level of bytes: what is refused, what is ignored, what a tunnel does when a side ends, breaks or
 * does not read, and what becomes of requests that are hidden behind a handshake that failed.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { selfSigned } from "../../src/tls/self-signed.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { ACCEPT, handshake, KEY, SWITCHED } from "../support/handshake.ts";
import { openRaw, type RawClient } from "../support/raw-client.ts";
import { type RawOrigin, type RawRequest, startRawOrigin } from "../support/raw-origin.ts";

const MIB = 1024 * 1024;

describe("upgrades", () => {
  let origin: RawOrigin;
  let secureOrigin: RawOrigin;
  let gateway: Gateway;
  /** Answers of the upstream by path: bytes, or what to do. */
  const answers = new Map<string, string | ((request: RawRequest) => void)>();

  before(async () => {
    const handler = (request: RawRequest) => {
      const answer = answers.get(request.path) ?? "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain";
      if (typeof answer === "string") request.socket.write(answer, "latin1");
      else answer(request);
    };
    origin = await startRawOrigin(handler);
    secureOrigin = await startRawOrigin(handler, selfSigned("localhost"));
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          {
            name: "origin",
            url: origin.url,
            routes: [{ name: "public", paths: ["/public"], strip_path: false }],
          },
          {
            name: "secure-origin",
            url: secureOrigin.url,
            tls_verify: false,
            routes: [{ name: "secure", paths: ["/secure"], strip_path: false }],
          },
        ],
      },
      // Some tunnels stay half open to the end.
      settings: { data_threads: "1", drain_timeout_ms: "200" },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
    await secureOrigin?.close();
  });

  /** The head that the upstream got for a path. */
  const headOf = (path: string) => origin.heads.findLast((head) => head.split(" ")[1] === path) as string;

  for (const [title, request, status, message] of [
    [
      "a method other than GET",
      handshake("/public").replace("GET", "POST"),
      400,
      "Not a WebSocket handshake",
    ],
    ["a body", `${handshake("/public", {}, ["Content-Length: 4"])}body`, 400, "Not a WebSocket handshake"],
    [
      "a chunked body",
      `${handshake("/public", {}, ["Transfer-Encoding: chunked"])}0\r\n\r\n`,
      400,
      "Not a WebSocket handshake",
    ],
    ["no key", handshake("/public", { "Sec-WebSocket-Key": null }), 400, "Not a WebSocket handshake"],
    [
      "a short key",
      handshake("/public", { "Sec-WebSocket-Key": "c2hvcnQ=" }),
      400,
      "Not a WebSocket handshake",
    ],
    [
      "a key that is not base64",
      handshake("/public", { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZ!==" }),
      400,
      "Not a WebSocket handshake",
    ],
    ["two keys", handshake("/public", {}, [`Sec-WebSocket-Key: ${KEY}`]), 400, "Not a WebSocket handshake"],
    [
      "a key that Connection lists, and that no upstream would see",
      handshake("/public", { Connection: "Upgrade, Sec-WebSocket-Key" }),
      400,
      "Not a WebSocket handshake",
    ],
    ["no version", handshake("/public", { "Sec-WebSocket-Version": null }), 400, "Not a WebSocket handshake"],
    [
      "two versions",
      handshake("/public", {}, ["Sec-WebSocket-Version: 13"]),
      400,
      "Not a WebSocket handshake",
    ],
    [
      "an older version",
      handshake("/public", { "Sec-WebSocket-Version": "8" }),
      426,
      "Only version 13 of WebSocket is served",
    ],
    [
      "a version that does not exist",
      handshake("/public", { "Sec-WebSocket-Version": "1337" }),
      426,
      "Only version 13 of WebSocket is served",
    ],
    [
      "an upgrade to TLS",
      handshake("/public", { Upgrade: "TLS/1.0" }),
      501,
      "Only upgrades to WebSocket are served",
    ],
    [
      "an upgrade to anything",
      handshake("/public", { Upgrade: "h2c, tcp" }),
      501,
      "Only upgrades to WebSocket are served",
    ],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "CONNECT is not served"],
    [
      "CONNECT that looks like a handshake",
      handshake("a:80").replace("GET", "CONNECT"),
      405,
      "CONNECT is not served",
    ],
  ] as const) {
    it(`${title} is a ${status} '${message}', and the connection ends`, async () => {
      const before = origin.heads.length;
      await using client = await openRaw(gateway.ports.proxy);
      client.write(request);
      const answer = await client.read();
      const headers = new Headers(answer.headers as [string, string][]);
      assert.equal(answer.status, status);
      assert.match(answer.body.toString(), new RegExp(`^${message}\n`));
      assert.match(String(headers.get("connection")), /close$/);
      if (status === 426) {
        assert.equal(headers.get("upgrade"), "websocket");
        assert.equal(headers.get("connection"), "Upgrade, close");
        assert.equal(headers.get("sec-websocket-version"), "13");
      }
      if (status === 405) assert.match(String(headers.get("allow")), /GET/);
      await client.closed();
      assert.equal(origin.heads.length, before, "nothing was forwarded");
    });
  }

  for (const [title, request] of [
    [
      "an offer of h2c",
      handshake("/public/p", { Upgrade: "h2c", Connection: "Upgrade, HTTP2-Settings" }, [
        "HTTP2-Settings: AAMAAABk",
      ]),
    ],
    ["Upgrade that Connection does not list", handshake("/public/p", { Connection: "keep-alive" })],
    ["Connection: Upgrade without an Upgrade", handshake("/public/p", { Upgrade: null })],
    ["an empty Upgrade", handshake("/public/p", { Upgrade: "" })],
    [
      "a handshake in HTTP/1.0",
      handshake("/public/p", { Connection: "Upgrade, keep-alive" }).replace("HTTP/1.1", "HTTP/1.0"),
    ],
  ] as const) {
    it(`${title} is an ordinary request, and the upstream hears nothing of it`, async () => {
      await using client = await openRaw(gateway.ports.proxy);
      client.write(request + handshake("/public/p", { Connection: "close" }));
      const first = await client.read();
      assert.equal(first.status, 200);
      assert.equal(first.body.toString(), "plain");
      const head = headOf("/public/p");
      assert.doesNotMatch(head, /upgrade|http2-settings/i);
      assert.equal((await client.read()).status, 200, "the connection goes on");
    });
  }

  it("of several protocols, WebSocket is the one that is asked for", async () => {
    answers.set("/public/several", SWITCHED);
    await using client = await openRaw(gateway.ports.proxy);
    client.write(
      handshake("/public/several", { Upgrade: "h2c, WebSocket", Connection: "keep-alive, upgrade" }),
    );
    assert.equal((await client.read()).status, 101);
    assert.match(headOf("/public/several"), /\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n/);
  });

  for (const [title, answer] of [
    ["a wrong Sec-WebSocket-Accept", SWITCHED.replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
    ["no Sec-WebSocket-Accept", SWITCHED.replace("Sec-WebSocket-Accept", "X-Accept")],
    [
      "two of Sec-WebSocket-Accept",
      SWITCHED.replace("\r\n\r\n", `\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`),
    ],
    ["no Upgrade", SWITCHED.replace("Upgrade: websocket\r\n", "")],
    ["another protocol", SWITCHED.replace("Upgrade: websocket", "Upgrade: h2c")],
    ["two protocols", SWITCHED.replace("Upgrade: websocket", "Upgrade: websocket, h2c")],
    ["no Connection: Upgrade", SWITCHED.replace("Connection: Upgrade\r\n", "")],
    ["a length", SWITCHED.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello")],
    ["a transfer coding", SWITCHED.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
    ["HTTP/1.0", SWITCHED.replace("HTTP/1.1", "HTTP/1.0")],
  ] as const) {
    it(`a 101 with ${title} is a 502, and both connections end`, async () => {
      let gone: Promise<unknown> | undefined;
      answers.set("/public/faulty", ({ socket }) => {
        gone = once(socket, "close");
        socket.write(answer);
      });
      await using client = await openRaw(gateway.ports.proxy);
      client.write(handshake("/public/faulty"));
      assert.equal((await client.read()).status, 502);
      await gone;
      await client.closed();
    });
  }

  it("a 101 that nobody asked for is a 502", async () => {
    answers.set("/public/unasked", SWITCHED);
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /public/unasked HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).status, 502);
  });

  it("an upstream that does not switch is answered for as ever, and its connection serves the next", async () => {
    answers.set("/public/no", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    await using client = await openRaw(gateway.ports.proxy);
    const accepted = origin.accepted;
    for (let i = 0; i < 3; i++) {
      client.write(handshake("/public/no"));
      const answer = await client.read();
      assert.equal(answer.status, 403);
      assert.equal(answer.body.toString(), "no");
    }
    assert.ok(origin.accepted <= accepted + 1);
  });

  for (const [title, early] of [
    ["after the answer", false],
    ["together with the handshake", true],
  ] as const) {
    it(`a request behind a handshake that the upstream refuses is routed as its own, sent ${title}`, async () => {
      answers.set("/public/refuses", "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
      const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
      await using client = await openRaw(gateway.ports.proxy);
      client.write(handshake("/public/refuses") + (early ? hidden : ""));
      assert.equal((await client.read()).status, 426);
      if (!early) client.write(hidden);
      assert.equal((await client.read()).status, 404, "no route leads there");
      client.write("GET /public/next HTTP/1.1\r\nHost: a\r\n\r\n");
      assert.equal((await client.read()).status, 200);
      assert.ok(!origin.paths.includes("/hidden"));
    });
  }

  it("a request behind a handshake of a version that nobody speaks goes nowhere", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(
      `${handshake("/public/old", { "Sec-WebSocket-Version": "777" })}GET /public/behind HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    assert.equal((await client.read()).status, 426);
    await client.closed();
    assert.equal(client.pending.length, 0);
    assert.ok(!origin.paths.includes("/public/behind"));
  });

  /** A tunnel: the client's side and the upstream's. */
  async function tunnel(path: string, early = ""): Promise<{ client: RawClient; upstream: Socket }> {
    const reached = new Promise<Socket>((resolve) => {
      answers.set(path, ({ socket }) => {
        socket.removeAllListeners("data");
        socket.allowHalfOpen = true;
        socket.write(SWITCHED);
        resolve(socket);
      });
    });
    const client = await openRaw(gateway.ports.proxy);
    client.write(handshake(path) + early);
    const [answer, upstream] = await Promise.all([client.read(), reached]);
    assert.equal(answer.status, 101);
    return { client, upstream };
  }

  it("what either side says before both have switched is not lost", async () => {
    answers.set("/public/early", ({ socket, rest }) => {
      socket.removeAllListeners("data");
      let text = rest.toString("latin1");
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        if (text === "client says") socket.write("heard");
      });
      socket.write(`${SWITCHED}server says`);
    });
    await using client = await openRaw(gateway.ports.proxy);
    client.write(`${handshake("/public/early")}client says`);
    assert.equal((await client.read()).status, 101);
    client.end();
    await client.closed();
    assert.equal(client.pending.toString(), "server saysheard");
  });

  it("a 101 that comes byte by byte, and bytes right behind it, arrive whole", async () => {
    answers.set("/public/drops", ({ socket }) => {
      socket.removeAllListeners("data");
      socket.on("end", () => socket.end());
      const bytes = Buffer.from(`${SWITCHED}after`);
      let at = 0;
      const next = () => {
        if (at === bytes.length) return socket.end();
        socket.write(bytes.subarray(at, ++at), () => setImmediate(next));
      };
      next();
    });
    await using client = await openRaw(gateway.ports.proxy);
    client.write(handshake("/public/drops"));
    assert.equal((await client.read()).status, 101);
    await client.closed();
    assert.equal(client.pending.toString(), "after");
  });

  it("the end of one side is passed on, and the other may still speak", async () => {
    const { client, upstream } = await tunnel("/public/half");
    await using _ = client;
    const ended = once(upstream, "end");
    upstream.resume();
    client.write("last words");
    client.end();
    await ended;
    upstream.end("still here");
    await client.closed();
    assert.equal(client.pending.toString(), "still here");
  });

  it("the end of the upstream is passed on, and the client may still speak", async () => {
    const { client, upstream } = await tunnel("/public/other-half");
    await using _ = client;
    upstream.end();
    await client.closed();
    const heard: Buffer[] = [];
    upstream.on("data", (chunk: Buffer) => heard.push(chunk));
    const ended = once(upstream, "end");
    client.write("still here");
    client.end();
    await ended;
    assert.equal(Buffer.concat(heard).toString(), "still here");
  });

  for (const [title, path] of [
    ["", "/public/reset-up"],
    [" over TLS, and nobody else notices", "/secure/reset-up"],
  ] as const)
    it(`a client that resets its connection resets the upstream's${title}`, async () => {
      await using bystander = await openRaw(gateway.ports.proxy);
      const { client, upstream } = await tunnel(path);
      const broken = once(upstream, "error");
      upstream.resume();
      client.socket.resetAndDestroy();
      const [error] = await broken;
      assert.equal(error.code, "ECONNRESET");
      bystander.write("GET /public/beside HTTP/1.1\r\nHost: a\r\n\r\n");
      assert.equal((await bystander.read()).status, 200);
    });

  it("an upstream that resets its connection resets the client's", async () => {
    const { client, upstream } = await tunnel("/public/reset-down");
    await using _ = client;
    const broken = once(client.socket, "error");
    upstream.resetAndDestroy();
    const [error] = await broken;
    assert.equal(error.code, "ECONNRESET");
  });

  for (const direction of ["client", "upstream"] as const) {
    it(`when the ${direction} does not read, the other side has to wait; nothing is lost`, async () => {
      const { client, upstream } = await tunnel(`/public/stalled-${direction}`);
      await using _ = client;
      const [reader, writer] = direction === "client" ? [client.socket, upstream] : [upstream, client.socket];
      reader.removeAllListeners("data");
      reader.pause();
      const bytes = randomBytes(96 * MIB);
      const before = await memoryOf(gateway.pid);
      writer.end(bytes);
      await standsStill(writer);
      const taken = writer.bytesWritten - writer.writableLength;
      assert.ok(taken < 40 * MIB, `${taken} bytes were taken for a reader that takes nothing`);
      const grown = (await memoryOf(gateway.pid)) - before;
      assert.ok(grown < 16 * MIB, `the gateway grew by ${grown} bytes`);
      const received = createHash("sha256");
      reader.on("data", (chunk: Buffer) => received.update(chunk));
      const ended = once(reader, "end");
      reader.resume();
      await ended;
      assert.equal(received.digest("hex"), createHash("sha256").update(bytes).digest("hex"));
    });
  }

  /** Waits until the system takes nothing more of what a socket has to write, over many requests' time. */
  async function standsStill(socket: Socket): Promise<void> {
    let taken = -1;
    for (let same = 0; same < 50; ) {
      await send(`${gateway.url}/public/beat`);
      const now = socket.bytesWritten - socket.writableLength;
      same = now === taken ? same + 1 : 0;
      taken = now;
    }
  }
});

/** Bytes of memory that are a process's own, without what it shares with files. */
async function memoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
