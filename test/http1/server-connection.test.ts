/** The client's side of the proxy over real sockets: order, reuse, time limits, and clients that misbehave. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { ErrorCode } from "../../src/errors.ts";
import type { ServerConnection } from "../../src/http1/server-connection.ts";
import { answer, serve, WholeBody } from "./serving.ts";

const get = (path: string, ...fields: string[]) =>
  [`GET ${path} HTTP/1.1`, "Host: a", ...fields, "", ""].join("\r\n");
const post = (body: string, ...fields: string[]) =>
  ["POST /p HTTP/1.1", "Host: a", `Content-Length: ${body.length}`, ...fields, "", body].join("\r\n");
const echoTarget = (connection: ServerConnection) => answer(connection, connection.head.target);
const connectionField = (headers: readonly (readonly [string, string])[]) =>
  headers.find(([name]) => name === "Connection")?.[1];

describe("requests on one connection", () => {
  it("are answered in order when they come at once, however many", async () => {
    await using serving = await serve(echoTarget);
    await using client = await serving.connect();
    const paths = Array.from({ length: 200 }, (_, i) => `/${i}`);
    client.write(paths.map((path) => get(path)).join(""));
    for (const path of paths) assert.equal((await client.read()).body.toString(), path);
  });

  it("are answered in order when the first answer takes longest", async () => {
    const waiting: ServerConnection[] = [];
    await using serving = await serve((connection) => {
      if (connection.head.target === "/slow") waiting.push(connection);
      else echoTarget(connection);
    });
    await using client = await serving.connect();
    client.write(get("/slow") + get("/quick"));
    while (waiting.length === 0) await setImmediate();
    assert.equal(client.pending.length, 0);
    answer(waiting[0]!, "slow");
    assert.equal((await client.read()).body.toString(), "slow");
    assert.equal((await client.read()).body.toString(), "/quick");
  });

  it("are read when they arrive byte by byte", async () => {
    await using serving = await serve((connection) => {
      if (connection.body.ended) return echoTarget(connection);
      connection.own(new WholeBody((body) => answer(connection, body)));
      connection.startBody();
    });
    await using client = await serving.connect();
    const bytes = `${get("/a", "X: y")}${post("body")}${get("/b")}`;
    for (const byte of bytes) {
      client.write(byte);
      await setImmediate();
    }
    for (const expected of ["/a", "body", "/b"])
      assert.equal((await client.read()).body.toString(), expected);
  });

  it("end with the one that asks for it", async () => {
    await using serving = await serve(echoTarget);
    await using client = await serving.connect();
    client.write(get("/1") + get("/2", "Connection: close") + get("/3"));
    assert.equal(connectionField((await client.read()).headers), undefined);
    assert.equal(connectionField((await client.read()).headers), "close");
    await client.closed();
    assert.equal(client.pending.length, 0);
  });

  it("end with the first one that is refused", async () => {
    await using serving = await serve(echoTarget);
    await using client = await serving.connect();
    client.write(`${get("/1")}GET /2 HTTP/1.1\r\nHost : a\r\n\r\n${get("/3")}`);
    assert.equal((await client.read()).status, 200);
    assert.equal((await client.read()).status, 400);
    await client.closed();
    assert.equal(client.pending.length, 0);
  });

  it("end after HTTP/1.0 unless it asks to keep the connection", async () => {
    await using serving = await serve(echoTarget);
    await using client = await serving.connect();
    client.write("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n");
    assert.equal((await client.read()).body.toString(), "/1");
    assert.equal((await client.read()).body.toString(), "/2");
    await client.closed();
  });

  it("end when the gateway drains: the one in progress is answered, an idle connection closes", async () => {
    const busy: ServerConnection[] = [];
    await using serving = await serve((connection) => busy.push(connection));
    const opened = once(serving.events, "connection");
    await using idle = await serving.connect();
    const [idleConnection] = (await opened) as [ServerConnection];
    await using client = await serving.connect();
    client.write(get("/"));
    while (busy.length === 0) await setImmediate();
    idleConnection.drain();
    busy[0]!.drain();
    await idle.closed();
    answer(busy[0]!, "last");
    const response = await client.read();
    assert.deepEqual([response.body.toString(), connectionField(response.headers)], ["last", "close"]);
    await client.closed();
  });
});

describe("a body that is not wanted", () => {
  const early = (connection: ServerConnection) => {
    if (connection.head.method === "GET") return echoTarget(connection);
    answer(connection, "no", 403);
  };

  it("is dropped when it is small, and the connection goes on", async () => {
    await using serving = await serve(early);
    await using client = await serving.connect();
    client.write(post("x".repeat(1000)) + get("/next"));
    assert.equal((await client.read()).status, 403);
    assert.equal((await client.read()).body.toString(), "/next");
  });

  it("is dropped when it comes after the answer", async () => {
    await using serving = await serve(early);
    await using client = await serving.connect();
    client.write("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    assert.equal((await client.read()).status, 403);
    client.write(`body${get("/next")}`);
    assert.equal((await client.read()).body.toString(), "/next");
  });

  it("ends the connection when it is large", async () => {
    await using serving = await serve(early);
    await using client = await serving.connect();
    client.write("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    assert.equal((await client.read()).status, 403);
    client.write(Buffer.alloc(300 * 1024));
    await client.closed();
  });

  it("ends the connection when its chunks are broken", async () => {
    await using serving = await serve(early);
    await using client = await serving.connect();
    client.write("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    assert.equal((await client.read()).status, 403);
    await client.closed();
  });

  it("may be refused at its first piece, and what follows it in the same read is still answered", async () => {
    await using serving = await serve((connection) => {
      if (connection.head.method === "GET") return echoTarget(connection);
      let answered = false;
      connection.own({
        onBody() {
          if (!answered) answer(connection, "no", 413);
          answered = true;
        },
        onBodyEnd() {},
        onClientGone() {},
        onBodyFlush() {},
        onClientDrain() {},
      });
      connection.startBody();
    });
    await using client = await serving.connect();
    const chunked =
      "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n";
    client.write(chunked + get("/next"));
    assert.equal((await client.read()).status, 413);
    assert.equal((await client.read()).body.toString(), "/next");
  });
});

describe("a client that is slow", () => {
  it("gets 408 when its head does not end in time, and the connection closes", async () => {
    await using serving = await serve(echoTarget, { headTimeoutMs: 100 });
    await using client = await serving.connect();
    client.write("GET / HTTP/1.1\r\nHost: a\r\n");
    assert.equal((await client.read()).status, 408);
    await client.closed();
  });

  it("does not gain time by sending its head in drops", async () => {
    await using serving = await serve(echoTarget, { headTimeoutMs: 200 });
    await using client = await serving.connect();
    const drops = setInterval(() => client.write("X: y\r\n"), 20);
    client.write("GET / HTTP/1.1\r\n");
    try {
      assert.equal((await client.read()).status, 408);
    } finally {
      clearInterval(drops);
    }
  });

  it("is told to its request's owner when its body does not go on", async () => {
    const { promise, resolve } = Promise.withResolvers<ErrorCode>();
    await using serving = await serve(
      (connection) => {
        const gone = (code: ErrorCode) => {
          resolve(code);
          connection.keepAlive = false;
          answer(connection, "", 408);
        };
        connection.own(new WholeBody(() => {}, gone));
        connection.startBody();
      },
      { bodyTimeoutMs: 100 },
    );
    await using client = await serving.connect();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert.equal(await promise, "request_timeout");
    assert.equal((await client.read()).status, 408);
    await client.closed();
  });

  it("is closed when it sends nothing at all, and when it has no further request", async () => {
    await using serving = await serve(echoTarget, { idleTimeoutMs: 100 });
    await using silent = await serving.connect();
    await using client = await serving.connect();
    client.write(get("/"));
    await client.read();
    await client.closed();
    await silent.closed();
    assert.equal(client.pending.length + silent.pending.length, 0);
  });

  for (const says of ["\r", "\r\n"])
    it(`is idle, and closed as such, although ${JSON.stringify(says)} follows its request`, async () => {
      await using serving = await serve(echoTarget, { idleTimeoutMs: 100 });
      await using client = await serving.connect();
      client.write(`GET /first HTTP/1.1\r\nHost: a\r\n\r\n${says}`);
      assert.equal((await client.read()).status, 200);
      await client.closed();
      assert.equal(client.pending.length, 0, "no answer to nothing");
    });

  it("is closed when it is idle after a body that was answered in the middle of its last read", async () => {
    await using serving = await serve(
      (connection) => {
        connection.own(new WholeBody((body) => answer(connection, body)));
        connection.startBody();
      },
      { idleTimeoutMs: 100 },
    );
    await using client = await serving.connect();
    client.write(post("abc"));
    await client.read();
    await client.closed();
  });

  it("is closed when it is idle after it was slow to read its answer", async () => {
    const big = "x".repeat(8_000_000);
    await using serving = await serve((connection) => answer(connection, big), { idleTimeoutMs: 500 });
    const opened = once(serving.events, "connection");
    await using client = await serving.connect();
    const [connection] = (await opened) as [ServerConnection];
    client.socket.pause();
    client.write(get("/"));
    while (connection.requests === 0) await setImmediate();
    assert.ok(connection.blocked);
    client.socket.resume();
    assert.equal((await client.read()).body.length, big.length);
    await client.closed();
  });

  it("is cut off when it takes nothing of its answer in time", async () => {
    const big = "x".repeat(8_000_000);
    await using serving = await serve((connection) => answer(connection, big), {
      writeTimeoutMs: 100,
      idleTimeoutMs: 100,
    });
    await using client = await serving.connect();
    client.socket.pause();
    const closed = once(serving.events, "closed");
    client.write(get("/"));
    await closed;
  });

  it("makes the gateway hold one answer, not all that it asks for", async () => {
    const body = "x".repeat(8_000_000);
    let answered = 0;
    await using serving = await serve((connection) => {
      answered++;
      answer(connection, body);
    });
    const opened = once(serving.events, "connection");
    await using client = await serving.connect();
    const [connection] = (await opened) as [ServerConnection];
    client.socket.pause();
    const COUNT = 40_000;
    client.write(get("/").repeat(COUNT));
    while (!connection.blocked || !connection.wire.paused) await setImmediate();
    const { bytesRead } = connection;
    for (let i = 0; i < 50; i++) await setImmediate();
    assert.equal(connection.bytesRead, bytesRead, "it is not read on");
    assert.ok(answered < COUNT);
    assert.ok(connection.wire.queuedBytes < 3 * body.length, `${connection.wire.queuedBytes}`);
    client.socket.resume();
    assert.equal((await client.read()).body.length, body.length);
  });
});

describe("a client that leaves", () => {
  it("in the middle of its request is told to the owner", async () => {
    const { promise, resolve } = Promise.withResolvers<ErrorCode>();
    await using serving = await serve((connection) => connection.own(new WholeBody(() => {}, resolve)));
    await using client = await serving.connect();
    client.write(get("/"));
    client.end();
    assert.equal(await promise, "client_closed");
  });

  it("with a broken body is told to the owner as that", async () => {
    const { promise, resolve } = Promise.withResolvers<ErrorCode>();
    await using serving = await serve((connection) => {
      connection.own(new WholeBody(() => {}, resolve));
      connection.startBody();
    });
    await using client = await serving.connect();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n");
    assert.equal(await promise, "bad_chunk");
  });

  it("only with its half of the connection still gets the answer that was under way", async () => {
    const big = "x".repeat(8_000_000);
    await using serving = await serve((connection) => answer(connection, big));
    await using client = await serving.connect();
    client.write(get("/"));
    client.end();
    assert.equal((await client.read()).body.length, big.length);
    await client.closed();
  });
});

describe("an answer that ends the connection", () => {
  it("arrives whole at a client that reads slowly", async () => {
    const big = "x".repeat(8_000_000);
    await using serving = await serve((connection) => answer(connection, big));
    const opened = once(serving.events, "connection");
    await using client = await serving.connect();
    const [connection] = (await opened) as [ServerConnection];
    client.socket.pause();
    client.write(get("/", "Connection: close"));
    while (connection.requests === 0) await setImmediate();
    // Longer than the moment for which a connection without unsent bytes lingers.
    assert.ok(connection.patience.deadline - performance.now() > 5_000);
    client.socket.resume();
    assert.equal((await client.read()).body.length, big.length);
    await client.closed();
  });

  it("arrives although the client still sends", async () => {
    await using serving = await serve((connection) => {
      connection.keepAlive = false;
      answer(connection, "enough", 413);
    });
    await using client = await serving.connect();
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.write(Buffer.alloc(1_000_000));
    assert.equal((await client.read()).body.toString(), "enough");
    await client.closed();
  });
});
