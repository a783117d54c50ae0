/** WebSocket through the whole gateway, between a real client and a real server. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type ClientOptions, WebSocket } from "ws";
import { Authority } from "../support/certificates.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startWebSocketOrigin, type WebSocketOrigin } from "../support/web-socket-origin.ts";

const MIB = 1024 * 1024;

describe("WebSocket", () => {
  let origin: WebSocketOrigin;
  let secure: WebSocketOrigin;
  let authority: Authority;
  let gateway: Gateway;

  before(async () => {
    authority = await Authority.create();
    origin = await startWebSocketOrigin({
      perMessageDeflate: true,
      handleProtocols: (offered) => [...offered].at(-1) ?? false,
    });
    secure = await startWebSocketOrigin({ secure: await authority.issue("origin", ["IP:127.0.0.1"]) });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        consumers: [{ username: "alice", keyauth_credentials: [{ key: "open-sesame" }] }],
        services: [
          {
            name: "echo",
            url: origin.url,
            routes: [
              { name: "echo", paths: ["/echo"] },
              { name: "locked", paths: ["/locked"], plugins: [{ name: "key-auth" }] },
              {
                name: "labelled",
                paths: ["/labelled"],
                plugins: [{ name: "response-transformer", config: { add: { headers: ["X-Label:tunnel"] } } }],
              },
            ],
          },
          { name: "secure", url: secure.url, routes: [{ name: "secure", paths: ["/secure"] }] },
          {
            name: "impatient",
            url: origin.url,
            read_timeout: 300,
            routes: [{ name: "impatient", paths: ["/impatient"] }],
          },
        ],
      },
      settings: { data_threads: "1", lua_ssl_trusted_certificate: authority.file },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
    await secure?.close();
    await authority?.[Symbol.asyncDispose]();
  });

  const url = (path: string) => `ws://127.0.0.1:${gateway.ports.proxy}${path}`;

  /** Opens a WebSocket through the gateway; `response` is the 101. */
  async function open(path: string, protocols: string[] = [], options: ClientOptions = {}) {
    const socket = new WebSocket(url(path), protocols, { maxPayload: 2 ** 30, ...options });
    const upgraded = once(socket, "upgrade");
    await once(socket, "open");
    const [response] = (await upgraded) as [IncomingMessage];
    return { socket, response };
  }

  async function close(socket: WebSocket): Promise<void> {
    socket.close(1000);
    await once(socket, "close");
  }

  it("messages go both ways, text and binary, and close codes too", async () => {
    const { socket } = await open("/echo");
    socket.send("hello");
    const [text, textIsBinary] = await once(socket, "message");
    assert.equal(String(text), "hello");
    assert.equal(textIsBinary, false);
    const bytes = randomBytes(100_000);
    socket.send(bytes);
    const [echoed, isBinary] = await once(socket, "message");
    assert.equal(isBinary, true);
    assert.ok(bytes.equals(echoed as Buffer));
    socket.close(3999, "enough");
    const [code, reason] = await once(socket, "close");
    assert.equal(code, 3999);
    assert.equal(String(reason), "enough");
  });

  it("subprotocol and compression are the client's and the server's to agree on", async () => {
    const { socket, response } = await open("/echo", ["chat", "superchat"], { perMessageDeflate: true });
    assert.equal(socket.protocol, "superchat");
    assert.match(socket.extensions, /permessage-deflate/);
    assert.equal(response.headers["sec-websocket-protocol"], "superchat");
    const text = "compressible ".repeat(10_000);
    socket.send(text);
    const [echoed] = await once(socket, "message");
    assert.equal(String(echoed), text);
    await close(socket);
  });

  it("the upstream is asked as Kong asks it", async () => {
    const { socket } = await open("/echo?a=1", [], { origin: "http://pages.example" });
    await close(socket);
    const { url: target, headers } = origin.requests.at(-1) as IncomingMessage;
    assert.equal(target, "/?a=1");
    assert.equal(headers.connection, "keep-alive, Upgrade");
    assert.equal(headers.upgrade, "websocket");
    assert.equal(headers.origin, "http://pages.example");
    assert.equal(headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(headers["x-forwarded-proto"], "http");
    assert.match(String(headers.via), /^1\.1 /);
  });

  it("header filters see the 101, which has no framing of a body", async () => {
    const { socket, response } = await open("/labelled");
    await close(socket);
    assert.equal(response.statusCode, 101);
    assert.equal(response.headers["x-label"], "tunnel");
    assert.equal(response.headers.connection, "Upgrade");
    assert.equal(response.headers.upgrade, "websocket");
    assert.equal(response.headers["content-length"], undefined);
    assert.equal(response.headers["transfer-encoding"], undefined);
    assert.match(String(response.headers.via), /^1\.1 /);
  });

  it("a key is asked for before anything is forwarded", async () => {
    const before = origin.requests.length;
    const refused = new WebSocket(url("/locked"));
    const [, response] = (await once(refused, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(response.statusCode, 401);
    assert.equal(origin.requests.length, before);
    response.destroy();
    const { socket } = await open("/locked", [], { headers: { apikey: "open-sesame" } });
    assert.equal(origin.requests.at(-1)?.headers["x-consumer-username"], "alice");
    await close(socket);
  });

  it("a server behind TLS is reached as one without", async () => {
    const { socket } = await open("/secure");
    const bytes = randomBytes(MIB);
    socket.send(bytes);
    const [echoed] = await once(socket, "message");
    assert.ok(bytes.equals(echoed as Buffer));
    await close(socket);
  });

  it("100 MiB go up and come back unchanged", async () => {
    const { socket } = await open("/echo", [], { perMessageDeflate: false });
    const piece = randomBytes(MIB);
    const count = 100;
    const sent = createHash("sha256");
    const received = createHash("sha256");
    let messages = 0;
    const done = new Promise<void>((resolve) => {
      socket.on("message", (data) => {
        received.update(data as Buffer);
        if (++messages === count) resolve();
      });
    });
    for (let i = 0; i < count; i++) {
      piece.writeUInt32BE(i);
      const own = Buffer.from(piece);
      sent.update(own);
      await new Promise<void>((resolve, reject) =>
        socket.send(own, (error) => (error ? reject(error) : resolve())),
      );
    }
    await done;
    assert.equal(received.digest("hex"), sent.digest("hex"));
    await close(socket);
  });

  it("the access log has a line when the tunnel is closed: status, bytes both ways, duration", async () => {
    const { socket } = await open("/echo?logged");
    socket.send(randomBytes(50_000), { compress: false });
    await once(socket, "message");
    await close(socket);
    const log = join(gateway.prefix, "logs", "access.log");
    const find = async () =>
      (await readFile(log, "utf8"))
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .findLast((line) => line.status === 101 && Number(line.request_bytes) > 50_000);
    let line = await find();
    while (line === undefined) {
      await send(`${gateway.statusUrl}/status`);
      line = await find();
    }
    assert.ok(Number(line.response_bytes) > 50_000, JSON.stringify(line));
  });

  it("a tunnel without a byte for read_timeout is closed on both sides", async () => {
    const { socket } = await open("/impatient");
    const theirs = [...origin.sockets].at(-1);
    assert.ok(theirs);
    const gone = theirs.destroyed ? undefined : once(theirs, "close");
    const [code] = await once(socket, "close");
    assert.equal(code, 1006);
    await gone;
  });

  it("a tunnel in which something moves outlives read_timeout", async () => {
    const { socket } = await open("/impatient");
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      socket.send("still here");
      await once(socket, "message");
    }
    await close(socket);
  });

  it("1,000 tunnels are open at once, and every descriptor comes back", async () => {
    const descriptors = async () => (await readdir(`/proc/${gateway.pid}/fd`)).length;
    const first = await open("/echo");
    await close(first.socket);
    const idle = await descriptors();
    const sockets: WebSocket[] = [];
    while (sockets.length < 1000) {
      const some = await Promise.all(Array.from({ length: 100 }, () => open("/echo")));
      sockets.push(...some.map(({ socket }) => socket));
    }
    assert.ok((await descriptors()) >= idle + 2000);
    await Promise.all(
      sockets.map(async (socket, i) => {
        socket.send(`number ${i}`);
        const [echoed] = await once(socket, "message");
        assert.equal(String(echoed), `number ${i}`);
        await close(socket);
      }),
    );
    while ((await descriptors()) > idle) await send(`${gateway.statusUrl}/status`);
  });
});

describe("WebSocket over TLS", () => {
  it("is tunnelled as without, both ways at once, and the upstream is told of https", async () => {
    await using authority = await Authority.create();
    const { cert, key } = await authority.issue("gateway", ["DNS:localhost", "IP:127.0.0.1"]);
    const [certFile, keyFile] = [join(authority.directory, "cert.pem"), join(authority.directory, "key.pem")];
    await writeFile(certFile, cert);
    await writeFile(keyFile, key);
    await using origin = await startWebSocketOrigin();
    await using gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "echo", url: origin.url, routes: [{ name: "echo", paths: ["/"] }] }],
      },
      settings: {
        data_threads: "1",
        proxy_listen: "127.0.0.1:0 ssl",
        ssl_cert: certFile,
        ssl_cert_key: keyFile,
      },
    });
    const { ports } = await gateway.log(({ msg }) => msg === "ready");
    const { proxy_ssl } = ports as { proxy_ssl: number };
    const ca = await readFile(authority.file);
    const socket = new WebSocket(`wss://127.0.0.1:${proxy_ssl}/`, { ca, maxPayload: 2 ** 30 });
    await once(socket, "open");
    assert.equal(origin.requests[0]?.headers["x-forwarded-proto"], "https");
    const bytes = randomBytes(8 * MIB);
    for (let i = 0; i < 4; i++) socket.send(bytes);
    for (let i = 0; i < 4; i++) {
      const [echoed] = await once(socket, "message");
      assert.ok(bytes.equals(echoed as Buffer));
    }
    socket.close(3999);
    const [code] = await once(socket, "close");
    assert.equal(code, 3999);
  });
});

describe("WebSocket while the gateway drains", () => {
  it("a tunnel goes on, and is closed when the drain's time is over", async () => {
    await using origin = await startWebSocketOrigin();
    await using gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "echo", url: origin.url, routes: [{ name: "echo", paths: ["/"] }] }],
      },
      settings: { data_threads: "1", drain_timeout_ms: "1000" },
    });
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.proxy}/`);
    await once(socket, "open");
    const closed = once(socket, "close");
    const stopped = gateway.stop();
    await gateway.log(({ msg }) => msg === "draining");
    socket.send("still here");
    const [echoed] = await once(socket, "message");
    assert.equal(String(echoed), "still here");
    await closed;
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });

  it("a tunnel that its client closes lets the gateway end", async () => {
    await using origin = await startWebSocketOrigin();
    await using gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "echo", url: origin.url, routes: [{ name: "echo", paths: ["/"] }] }],
      },
      settings: { data_threads: "1", drain_timeout_ms: "600000" },
    });
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.ports.proxy}/`);
    await once(socket, "open");
    const stopped = gateway.stop();
    await gateway.log(({ msg }) => msg === "draining");
    socket.close();
    assert.deepEqual(await stopped, { code: 0, signal: null });
  });
});
