/** RFC 9112 section 9: how connections are kept, shared and closed; section 11: what must not be smuggled. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Between, chunked, fieldValue, OK, request } from "../support/between.ts";
import { openRaw } from "../support/raw-client.ts";

let between: Between;
before(async () => {
  between = await Between.start();
});
after(() => between?.[Symbol.asyncDispose]());

describe("RFC 9112 section 9, connections", () => {
  it("RFC 9112 section 9.2: responses come in the order of the requests", async () => {
    const answer = (socket: { write(text: string): void }, seen: { target: string }) => {
      const { length } = seen.target;
      const text = `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${seen.target}`;
      if (seen.target === "/slow") setTimeout(() => socket.write(text), 30);
      else socket.write(text);
    };
    const responses = await between.ask(
      request("GET", "/slow") + request("GET", "/b") + request("GET", "/c"),
      {
        answer,
        count: 3,
      },
    );
    assert.deepEqual(
      responses.map(({ body }) => body.toString()),
      ["/slow", "/b", "/c"],
    );
  });

  it("RFC 9112 section 9.2: an upstream that speaks unasked is not believed", async () => {
    await between.get("/a");
    between.answer = (socket) => {
      socket.write(OK);
      setImmediate(() => socket.write("HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nforged"));
    };
    await using client = await openRaw(between.port);
    client.write(request("GET", "/b"));
    assert.equal((await client.read()).status, 200);
    for (let i = 0; i < 5; i++) assert.equal((await between.get(`/c${i}`)).body.toString(), "ok");
  });

  it("RFC 9112 section 9.3: a connection persists unless somebody says otherwise", async () => {
    await using client = await openRaw(between.port);
    between.answer = OK;
    for (let i = 0; i < 3; i++) {
      client.write(request("GET", "/"));
      const response = await client.read();
      assert.equal(fieldValue(response.headers, "connection"), undefined);
    }
  });

  it("RFC 9112 section 9.3: 'close' is the last word of a client, and of the answer to it", async () => {
    await using client = await openRaw(between.port);
    between.seen.length = 0;
    client.write(request("GET", "/a", ["Connection: close"]) + request("GET", "/after"));
    assert.equal(fieldValue((await client.read()).headers, "connection"), "close");
    await client.closed();
    assert.equal(client.pending.length, 0);
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      ["/a"],
    );
  });

  it("RFC 9112 section 9.3: HTTP/1.0 does not persist unless it asks to", async () => {
    await using client = await openRaw(between.port);
    client.write(request("GET", "/", [], "", "1.0"));
    assert.equal(fieldValue((await client.read()).headers, "connection"), "close");
    await client.closed();
  });

  it("RFC 9112 section 9.3: HTTP/1.0 with keep-alive persists, and is told so", async () => {
    await using client = await openRaw(between.port);
    for (let i = 0; i < 2; i++) {
      client.write(request("GET", "/", ["Connection: Keep-Alive"], "", "1.0"));
      assert.equal(fieldValue((await client.read()).headers, "connection"), "keep-alive");
    }
  });

  it("RFC 9112 section 9.3: a body that a plugin did not want is read to its end before the next request", async () => {
    await using client = await openRaw(between.port);
    between.seen.length = 0;
    const smuggled = request("GET", "/smuggled");
    client.write(request("POST", "/own", [`Content-Length: ${smuggled.length}`]));
    assert.equal((await client.read()).status, 200);
    client.write(smuggled + request("GET", "/next"));
    assert.equal((await client.read()).status, 200);
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      ["/next"],
    );
  });

  it("RFC 9112 section 9.3: a persistent upstream connection of HTTP/1.0 is not assumed", async () => {
    await between.get("/a", [], "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const { connection } = between.last;
    await between.get("/b");
    assert.notEqual(between.last.connection, connection);
  });

  it("RFC 9112 section 9.3.1: a request that may have been received is not sent again unless it is idempotent", async () => {
    await between.get("/keep");
    between.seen.length = 0;
    between.answer = (socket) => socket.destroy();
    await using client = await openRaw(between.port);
    client.write(request("POST", "/once", ["Content-Length: 1"], "x"));
    assert.equal((await client.read()).status, 502);
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      ["/once"],
    );
  });

  it("RFC 9112 section 9.3.1: an idempotent request on a connection that was closed meanwhile is sent again", async () => {
    await between.get("/keep");
    let closed = 0;
    const response = await between.get("/twice", [], (socket) => {
      if (closed++ === 0) socket.destroy();
      else socket.write(OK);
    });
    assert.equal(response.status, 200);
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      ["/twice", "/twice"],
    );
  });

  it("RFC 9112 section 9.3.2: requests of one client are not pipelined to the upstream", async () => {
    let open = 0;
    let most = 0;
    const responses = await between.ask(request("GET", "/a").repeat(5), {
      count: 5,
      answer: (socket) => {
        most = Math.max(most, ++open);
        setImmediate(() => {
          open--;
          socket.write(OK);
        });
      },
    });
    assert.equal(responses.length, 5);
    assert.equal(most, 1);
  });

  it("RFC 9112 section 9.6: after 'close' from the upstream nothing more is sent on that connection", async () => {
    await between.get("/a", [], "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    const { connection } = between.last;
    await between.get("/b");
    assert.notEqual(between.last.connection, connection);
  });

  it("RFC 9112 section 9.6: an error that ends a connection is read by the client before it is closed", async () => {
    // A reset would destroy the answer; a client that is still sending must be able to read it.
    await using client = await openRaw(between.port);
    client.write(`GET / HTTP/1.1\r\nHost: a b\r\n\r\n${"x".repeat(100_000)}`);
    assert.equal((await client.read()).status, 400);
    await client.closed();
  });
});

describe("RFC 9112 section 11, security", () => {
  it("RFC 9112 section 11.1: a value cannot begin another field on its way up", async () => {
    await between.get("/a%0d%0aX-Injected:%20b?c=%0d%0aX-Injected:%20b");
    assert.equal(fieldValue(between.last.fields, "x-injected"), undefined);
    assert.match(between.last.target, /^\/[^\r\n]*$/);
  });

  it("RFC 9112 section 11.2: a message is framed anew on every hop, whatever the client's own framing was", async () => {
    await between.ask(
      chunked("1;x=y\r\na\r\n000\r\n\r\n", "/a", ["Connection: transfer-encoding"]) + request("GET", "/b"),
      {
        count: 2,
      },
    );
    assert.deepEqual(
      between.seen.map(({ target, body }) => [target, body]),
      [
        ["/a", "a"],
        ["/b", ""],
      ],
    );
  });

  it("RFC 9112 section 11.3: a body that is shorter than it was declared is told from one that is whole", async () => {
    await using client = await openRaw(between.port);
    between.answer = (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
    client.write(request("GET", "/"));
    await assert.rejects(client.read(), /in the middle of a response/);
  });
});
