/** RFC 9112 sections 6 to 8: transfer codings, lengths, chunks, messages that break off. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { Between, chunked, fieldValue, OK, request } from "../support/between.ts";
import { openRaw } from "../support/raw-client.ts";

let between: Between;
before(async () => {
  between = await Between.start();
});
after(() => between?.[Symbol.asyncDispose]());

const CODED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const withLength = (value: string) => request("POST", "/", [`Content-Length: ${value}`], "abcdef");
const withCoding = (value: string, version = "1.1") =>
  request("POST", "/", [`Transfer-Encoding: ${value}`], "0\r\n\r\n", version);

const REFUSED: readonly (readonly [requirement: string, status: number, bytes: string])[] = [
  ["6.1: a transfer coding that is not understood, before chunked,", 501, withCoding("gzip, chunked")],
  ["6.1: chunked applied twice", 400, withCoding("chunked, chunked")],
  ["6.1: Transfer-Encoding in HTTP/1.0", 400, withCoding("chunked", "1.0")],
  [
    "6.1: Content-Length beside Transfer-Encoding",
    400,
    request("POST", "/", ["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
  ],
  ["6.3: a request whose last coding is not chunked", 400, withCoding("chunked, gzip")],
  ["6.3: a request with a coding but no chunked at all", 400, withCoding("gzip")],
  ["6.3: the withdrawn coding identity", 400, withCoding("identity")],
  ["6.3: an invalid Content-Length", 400, withLength("abc")],
  ["6.3: a negative Content-Length", 400, withLength("-1")],
  ["6.3: a list of differing lengths", 400, withLength("5, 6")],
  ["6.3: a list of equal lengths '5, 5', which may be refused,", 400, withLength("5, 5")],
  [
    "6.3: two fields of differing lengths",
    400,
    request("POST", "/", ["Content-Length: 5", "Content-Length: 6"], "abcdef"),
  ],
  ["6.2: a length beyond what a number holds exactly", 400, withLength("99999999999999999999")],
  ["7: a parameter of chunked", 400, withCoding("chunked;a=b")],
  ["7.1: a chunk size that overflows", 400, chunked("ffffffffffffffffff\r\n")],
  ["7.1: a chunk size that is no number", 400, chunked("xyz\r\n")],
  ["7.1: a chunk that is longer than its size", 400, chunked("1\r\nab\r\n0\r\n\r\n")],
  ["7.1.1: chunk extensions beyond their bound", 400, chunked(`1;${"a".repeat(5000)}\r\na\r\n0\r\n\r\n`)],
  ["7.1.2: a trailer section beyond its bound", 400, chunked(`0\r\nA: ${"b".repeat(9000)}\r\n\r\n`)],
  ["7.1.2: a folded line in trailers", 400, chunked("0\r\nA: b\r\n c\r\n\r\n")],
];

describe("RFC 9112, bodies that are answered with an error", () => {
  for (const [requirement, status, bytes] of REFUSED)
    it(`RFC 9112 section ${requirement} is answered ${status}`, () => between.refuses(bytes, status));

  for (const [what, fields, body] of [
    ["6.3: an invalid Content-Length", ["Content-Length: x"], "abc"],
    ["6.3: differing lengths", ["Content-Length: 3", "Content-Length: 4"], "abcd"],
    ["6.3: a list of lengths", ["Content-Length: 3, 3"], "abc"],
    ["6.1: a length beside a coding", ["Content-Length: 3", "Transfer-Encoding: chunked"], "0\r\n\r\n"],
    ["6.1: a coding that was not asked for", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"],
  ] as const)
    it(`RFC 9112 section ${what} in a response closes that connection and becomes 502`, async () => {
      const response = await between.get("/", [], `HTTP/1.1 200 OK\r\n${fields.join("\r\n")}\r\n\r\n${body}`);
      assert.equal(response.status, 502);
      const before = between.last.connection;
      await between.get("/next");
      assert.notEqual(between.last.connection, before, "what is left on it would be the next response");
    });
});

describe("RFC 9112 section 6, the body", () => {
  it("RFC 9112 section 6: a request without Content-Length and Transfer-Encoding has no body", async () => {
    await between.ask(request("POST", "/a") + request("GET", "/b"), { count: 2 });
    assert.deepEqual(
      between.seen.map(({ target, body }) => [target, body]),
      [
        ["/a", ""],
        ["/b", ""],
      ],
    );
  });

  it("RFC 9112 section 6: a body's framing does not depend on its method", async () => {
    await between.ask(request("GET", "/a", ["Content-Length: 3"], "abc") + request("GET", "/b"), {
      count: 2,
    });
    assert.deepEqual(
      between.seen.map(({ target, body }) => [target, body]),
      [
        ["/a", "abc"],
        ["/b", ""],
      ],
    );
  });

  it("RFC 9112 section 6.1: a chunked body goes up chunked, with no length beside it", async () => {
    await between.ask(chunked("3\r\nabc\r\n0\r\n\r\n"));
    assert.equal(between.last.body, "abc");
    assert.equal(fieldValue(between.last.fields, "transfer-encoding"), "chunked");
    assert.equal(fieldValue(between.last.fields, "content-length"), undefined);
  });

  for (const status of [204, 304])
    it(`RFC 9112 section 6.1: Transfer-Encoding of a ${status} does not come down`, async () => {
      const response = await between.get(
        "/",
        [],
        `HTTP/1.1 ${status} X\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      assert.equal(response.status, status);
      assert.equal(fieldValue(response.headers, "transfer-encoding"), undefined);
    });

  it("RFC 9112 section 6.1: no Transfer-Encoding is sent to a client of HTTP/1.0", async () => {
    const [response] = await between.ask(request("GET", "/", ["Connection: keep-alive"], "", "1.0"), {
      answer: `${CODED}2\r\nok\r\n0\r\n\r\n`,
    });
    assert.equal(fieldValue(response?.headers ?? [], "transfer-encoding"), undefined);
    assert.equal(response?.body.toString(), "ok");
  });

  it("RFC 9112 section 6.1: a coding in a response of HTTP/1.0 is not believed", async () => {
    const response = await between.get(
      "/",
      [],
      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    assert.equal(response.status, 502);
  });

  it("RFC 9112 section 6.2: a length goes up as the one number that was read", async () => {
    await between.ask(request("POST", "/", ["Content-Length: 0003"], "abc"));
    assert.equal(fieldValue(between.last.fields, "content-length"), "3");
  });

  it("RFC 9112 section 6.3: a response to HEAD ends with its head, whatever it declares", async () => {
    const bytes = request("HEAD", "/a");
    const [response] = await between.ask(bytes, {
      answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
      head: true,
    });
    assert.equal(fieldValue(response?.headers ?? [], "content-length"), "5");
  });

  for (const status of [204, 304])
    it(`RFC 9112 section 6.3: a ${status} ends with its head, and its connection serves the next`, async () => {
      await using client = await openRaw(between.port);
      between.answer = `HTTP/1.1 ${status} X\r\nX-A: b\r\n\r\n`;
      client.write(request("GET", "/a"));
      assert.equal((await client.read()).status, status);
      between.answer = OK;
      client.write(request("GET", "/b"));
      assert.equal((await client.read()).body.toString(), "ok");
    });

  it("RFC 9112 section 6.3: a response without length and coding goes on until its connection ends", async () => {
    const response = await between.get("/", [], (socket) =>
      socket.end("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
    );
    assert.equal(response.body.toString(), "until the end");
    assert.equal(response.framing, "chunked", "the client's connection need not end for it");
  });

  it("RFC 9112 section 6.3: bytes after a response are not taken for the response to the next request", async () => {
    await using client = await openRaw(between.port);
    between.answer = `${OK}HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nforged`;
    client.write(request("GET", "/a"));
    assert.equal((await client.read()).body.toString(), "ok");
    between.answer = OK;
    client.write(request("GET", "/b"));
    assert.deepEqual((await client.read()).body.toString(), "ok");
  });
});

describe("RFC 9112 section 7, transfer codings", () => {
  it("RFC 9112 section 7: the name of a coding is case-insensitive", async () => {
    await between.ask(request("POST", "/", ["Transfer-Encoding: ChUnKeD"], "1\r\na\r\n0\r\n\r\n"));
    assert.equal(between.last.body, "a");
  });

  it("RFC 9112 section 7.1: a chunk size may have leading zeros and capitals", async () => {
    await between.ask(chunked("000A\r\n0123456789\r\n00\r\n\r\n"));
    assert.equal(between.last.body, "0123456789");
  });

  it("RFC 9112 section 7.1: a chunked response is decoded and chunked anew", async () => {
    const response = await between.get("/", [], `${CODED}2;a=b\r\nok\r\n0\r\n\r\n`);
    assert.equal(response.framing, "chunked");
    assert.equal(response.body.toString(), "ok");
  });

  it("RFC 9112 section 7.1.1: chunk extensions are ignored and go no further", async () => {
    await between.ask(chunked('3;a=b;c="d;e"\r\nabc\r\n0;f\r\n\r\n'));
    assert.equal(between.last.body, "abc");
  });

  it("RFC 9112 section 7.1.2: trailers are kept apart from the fields of the head", async () => {
    await between.ask(chunked("0\r\nX-Sum: 9\r\n\r\n"));
    assert.deepEqual(between.last.trailers, [["X-Sum", "9"]]);
    assert.equal(fieldValue(between.last.fields, "x-sum"), undefined);
  });

  it("RFC 9112 section 7.4: TE goes no further than one hop, where the gateway says what it takes itself", async () => {
    await between.get("/", ["TE: gzip, trailers", "Connection: TE"]);
    assert.equal(fieldValue(between.last.fields, "te"), "trailers");
  });
});

describe("RFC 9112 section 8, messages that break off", () => {
  for (const [what, begun] of [
    ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun"],
    ["chunks", `${CODED}5\r\nbegun\r\n`],
    ["half a chunk", `${CODED}a\r\nbegun`],
  ] as const)
    it(`RFC 9112 section 8: a response with ${what} that breaks off is not made to look complete`, async () => {
      await using client = await openRaw(between.port);
      between.answer = (socket) => socket.end(begun);
      client.write(request("GET", "/"));
      await assert.rejects(client.read(), /in the middle of a response/);
    });

  it("RFC 9112 section 8: to HTTP/1.0, where the end of the connection ends the body, it breaks off by a reset", async () => {
    await using client = await openRaw(between.port);
    const gone = once(client.socket, "close").catch((error: NodeJS.ErrnoException) => error.code);
    between.answer = (socket) => socket.end(`${CODED}5\r\nbegun\r\n`);
    client.write(request("GET", "/", [], "", "1.0"));
    await assert.rejects(client.read(), (error: Error) => /reset/.test(error.message));
    await gone;
  });

  it("RFC 9112 section 8: a response whose head breaks off is 502", async () => {
    const response = await between.get("/", [], (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Le"));
    assert.equal(response.status, 502);
  });

  for (const [what, begun] of [
    ["a length", request("POST", "/a", ["Content-Length: 10"], "begun")],
    ["chunks", chunked("5\r\nbegun\r\n", "/a")],
  ] as const)
    it(`RFC 9112 section 8: a request with ${what} that breaks off never ends at the upstream`, async () => {
      between.seen.length = 0;
      const reached = new Promise<Socket>((resolve) => {
        between.onHead = resolve;
      });
      await using client = await openRaw(between.port);
      client.write(begun);
      const upstream = await reached;
      between.onHead = null;
      const closed = new Promise((resolve) => upstream.once("close", resolve));
      client.end();
      await closed;
      assert.deepEqual(
        between.seen.map(({ target, whole }) => [target, whole]),
        [["/a", false]],
      );
    });

  it("RFC 9112 section 8: a request that breaks off in its head is not forwarded", async () => {
    between.seen.length = 0;
    await using client = await openRaw(between.port);
    client.write("GET /cut HTTP/1.1\r\nHost: a\r\n");
    client.end();
    await client.closed();
    await between.get("/next");
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      ["/next"],
    );
  });
});
