/** RFC 9110 sections 8 to 15, as far as they bind a gateway: lengths, methods, expectations, statuses. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Between, chunked, fieldValue, OK, request } from "../support/between.ts";
import { openRaw } from "../support/raw-client.ts";

let between: Between;
before(async () => {
  between = await Between.start({ client_max_body_size: "1000", client_head_timeout_ms: "1500" });
});
after(() => between?.[Symbol.asyncDispose]());

const CODED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const empty = (status: string, ...fields: string[]) => [`HTTP/1.1 ${status}`, ...fields, "", ""].join("\r\n");

describe("RFC 9110 section 8, representations", () => {
  it("RFC 9110 section 8.3: Content-Type is passed on as it is, and none is made up", async () => {
    const typed = await between.get("/", [], empty("200 OK", "Content-Type: a/b; c=D", "Content-Length: 0"));
    assert.equal(fieldValue(typed.headers, "content-type"), "a/b; c=D");
    assert.equal(fieldValue((await between.get("/")).headers, "content-type"), undefined);
  });

  it("RFC 9110 section 8.6: a length that is known is sent in both directions", async () => {
    const [response] = await between.ask(request("POST", "/", ["Content-Length: 3"], "abc"));
    assert.equal(fieldValue(between.last.fields, "content-length"), "3");
    assert.equal(fieldValue(response?.headers ?? [], "content-length"), "2");
  });

  it("RFC 9110 section 8.6: a POST of no content that says so keeps saying so", async () => {
    await between.ask(request("POST", "/", ["Content-Length: 0"]));
    assert.equal(fieldValue(between.last.fields, "content-length"), "0");
  });

  it("RFC 9110 section 8.6: no length is forwarded that is known to be wrong", async () => {
    await between.refuses(request("POST", "/", ["Content-Length: 5, 6"], "abcde"), 400);
  });

  it("RFC 9110 section 8.6: Content-Length of a 1xx goes no further", async () => {
    const answer = `HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\n${OK}`;
    const [hints] = await between.ask(request("GET", "/"), { answer, count: 2 });
    assert.equal(fieldValue(hints?.headers ?? [], "content-length"), undefined);
  });

  it("RFC 9110 section 8.6: Content-Length of a 204 goes no further", async () => {
    const response = await between.get("/", [], empty("204 No Content", "Content-Length: 5"));
    assert.equal(fieldValue(response.headers, "content-length"), undefined);
  });

  it("RFC 9110 section 8.6: Content-Length of a 304 is that of the response to GET, and stays", async () => {
    const response = await between.get("/", [], empty("304 Not Modified", "Content-Length: 5"));
    assert.equal(fieldValue(response.headers, "content-length"), "5");
  });

  it("RFC 9110 section 8.6: Content-Length of a response to HEAD stays", async () => {
    const answer = empty("200 OK", "Content-Length: 12345");
    const [response] = await between.ask(request("HEAD", "/"), { answer, head: true });
    assert.equal(fieldValue(response?.headers ?? [], "content-length"), "12345");
  });

  it("RFC 9110 section 8.8.3: validators are opaque and stay as they are", async () => {
    const response = await between.get("/", ['If-None-Match: W/"a,b"'], empty("304 X", 'ETag: W/"a,b"'));
    assert.equal(fieldValue(between.last.fields, "if-none-match"), 'W/"a,b"');
    assert.equal(fieldValue(response.headers, "etag"), 'W/"a,b"');
  });
});

describe("RFC 9110 section 9, methods", () => {
  it("RFC 9110 section 9.1: a method that is not known is passed on", async () => {
    await between.ask(request("M-SEARCH", "/"));
    assert.equal(between.last.method, "M-SEARCH");
  });

  for (const status of ["200 OK", "404 Not Found"])
    it(`RFC 9110 section 9.3.2: ${status} to HEAD is sent without content, chunked or not`, async () => {
      await using client = await openRaw(between.port);
      between.answer = empty(status, "Transfer-Encoding: chunked");
      client.write(request("HEAD", "/"));
      await client.read({ head: true });
      between.answer = OK;
      client.write(request("GET", "/"));
      assert.equal((await client.read()).body.toString(), "ok");
    });

  it("RFC 9110 section 9.3.2: the gateway's own answer to HEAD has no content, and the length of GET's", async () => {
    const own = await between.get("/own");
    await using client = await openRaw(between.port);
    client.write(request("HEAD", "/own") + request("GET", "/own"));
    const head = await client.read({ head: true });
    assert.equal(fieldValue(head.headers, "content-length"), String(own.body.length));
    assert.deepEqual((await client.read()).body, own.body);
  });

  it("RFC 9110 section 9.3.2: an error to HEAD has no content", async () => {
    await using client = await openRaw(between.port);
    client.write(request("HEAD", "/", ["Content-Length: 2000"]));
    assert.equal((await client.read({ head: true })).status, 413);
    await client.closed();
    assert.equal(client.pending.length, 0);
  });

  it("RFC 9110 section 9.3.6: CONNECT, which is not served, is answered 405 and makes no tunnel", async () => {
    const response = await between.refusal("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405);
    assert.ok(fieldValue(response.headers, "allow") !== undefined);
  });

  it("RFC 9110 section 9.3.7: OPTIONS is passed on with its content", async () => {
    await between.ask(request("OPTIONS", "/", ["Content-Length: 2"], "ab"));
    assert.deepEqual([between.last.method, between.last.body], ["OPTIONS", "ab"]);
  });

  it("RFC 9110 section 9.3.8: TRACE with content is answered 400", () =>
    between.refuses(request("TRACE", "/", ["Content-Length: 1"], "x"), 400));
});

describe("RFC 9110 section 10, context", () => {
  const expecting = (path: string, version = "1.1", length = 4) =>
    request("POST", path, ["Expect: 100-continue", `Content-Length: ${length}`], "", version);

  it("RFC 9110 section 10.1.1: an expectation that is not 100-continue is answered 417", () =>
    between.refuses(request("GET", "/", ["Expect: 200-ok"]), 417));

  it("RFC 9110 section 10.1.1: the value of Expect is case-insensitive", async () => {
    await between.ask(request("POST", "/", ["Expect: 100-Continue", "Content-Length: 1"], "x"));
    assert.equal(between.last.body, "x");
  });

  it("RFC 9110 section 10.1.1: 100-continue is forwarded, and the 100 comes back before the body goes up", async () => {
    await using client = await openRaw(between.port);
    between.seen.length = 0;
    between.answer = OK;
    between.onHead = (socket) => socket.write("HTTP/1.1 100 Continue\r\n\r\n");
    client.write(expecting("/a"));
    assert.equal((await client.read()).status, 100);
    assert.equal(between.last.body, "");
    client.write("body");
    assert.equal((await client.read()).status, 200);
    between.onHead = null;
    assert.equal(between.last.body, "body");
    assert.equal(fieldValue(between.last.fields, "expect"), "100-continue");
  });

  it("RFC 9110 section 10.1.1: a final status instead of 100 reaches the client", async () => {
    await using client = await openRaw(between.port);
    between.onHead = (socket) => socket.write("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    client.write(expecting("/a"));
    const response = await client.read();
    between.onHead = null;
    assert.equal(response.status, 403);
    assert.equal(
      fieldValue(response.headers, "connection"),
      "close",
      "nobody knows whether the body still comes",
    );
  });

  it("RFC 9110 section 10.1.1: in HTTP/1.0 the expectation is ignored and not passed on", async () => {
    const [response] = await between.ask(`${expecting("/a", "1.0")}body`);
    assert.equal(response?.status, 200);
    assert.equal(fieldValue(between.last.fields, "expect"), undefined);
  });

  it("RFC 9110 section 10.1.1: a request without content expects nothing of the upstream", async () => {
    await between.get("/", ["Expect: 100-continue"]);
    assert.equal(fieldValue(between.last.fields, "expect"), undefined);
  });

  it("RFC 9110 section 10.1.4: TE that goes up is listed in Connection", async () => {
    await between.get("/", ["TE: trailers", "Connection: TE"]);
    assert.equal(fieldValue(between.last.fields, "te"), "trailers");
    assert.match(fieldValue(between.last.fields, "connection") as string, /\bTE\b/);
  });

  it("RFC 9110 section 10.2.4: Server of the upstream is left alone", async () => {
    const response = await between.get("/", [], empty("200 OK", "Server: theirs/1", "Content-Length: 0"));
    assert.equal(fieldValue(response.headers, "server"), "theirs/1");
  });
});

describe("RFC 9110 section 11, authentication", () => {
  it("RFC 9110 section 11.6.1: the gateway's own 401 carries WWW-Authenticate", async () => {
    const response = await between.get("/guarded");
    assert.equal(response.status, 401);
    assert.ok(fieldValue(response.headers, "www-authenticate") !== undefined);
  });

  it("RFC 9110 section 11.6.2: Authorization goes up as it came", async () => {
    await between.get("/", ["Authorization: Basic eDp5"]);
    assert.equal(fieldValue(between.last.fields, "authorization"), "Basic eDp5");
  });

  it("RFC 9110 section 11.6.1: WWW-Authenticate fields come down as they are, apart and in order", async () => {
    const answer = empty(
      "401 X",
      "WWW-Authenticate: A",
      'WWW-Authenticate: B realm="c"',
      "Content-Length: 0",
    );
    const response = await between.get("/", [], answer);
    assert.equal(fieldValue(response.headers, "www-authenticate"), 'A, B realm="c"');
  });
});

describe("RFC 9110 section 14, ranges", () => {
  it("RFC 9110 section 14: Range goes up and a 206 comes down untouched", async () => {
    const answer =
      "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nok";
    const response = await between.get("/", ["Range: bytes=0-1"], answer);
    assert.equal(fieldValue(between.last.fields, "range"), "bytes=0-1");
    assert.equal(response.status, 206);
    assert.equal(fieldValue(response.headers, "content-range"), "bytes 0-1/9");
  });
});

describe("RFC 9110 section 15, statuses", () => {
  for (const status of [299, 399, 499, 599])
    it(`RFC 9110 section 15: ${status}, which nobody knows, goes through with its body`, async () => {
      const response = await between.get("/", [], `HTTP/1.1 ${status} Odd\r\nContent-Length: 2\r\n\r\nok`);
      assert.deepEqual([response.status, response.body.toString()], [status, "ok"]);
    });

  for (const status of ["099", "600", "999"])
    it(`RFC 9110 section 15: the invalid status ${status} is treated as an error of the upstream`, async () => {
      const response = await between.get("/", [], `HTTP/1.1 ${status} Odd\r\nContent-Length: 2\r\n\r\nok`);
      assert.equal(response.status, 502);
    });

  it("RFC 9110 section 15.2: every 1xx is forwarded, those that nobody asked for too", async () => {
    const answer = `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\nX-A: b\r\n\r\n${OK}`;
    const responses = await between.ask(request("GET", "/"), { answer, count: 3 });
    assert.deepEqual(
      responses.map(({ status }) => status),
      [102, 199, 200],
    );
    assert.deepEqual(responses[1]?.headers, [["X-A", "b"]]);
  });

  it("RFC 9110 section 15.2: no 1xx is sent to a client of HTTP/1.0", async () => {
    const answer = `HTTP/1.1 103 Early Hints\r\n\r\n${OK}`;
    const [response] = await between.ask(request("GET", "/", [], "", "1.0"), { answer });
    assert.equal(response?.status, 200);
  });

  it("RFC 9110 section 15.3.5: nothing after the head of a 204 is sent on", async () => {
    await using client = await openRaw(between.port);
    between.answer = "HTTP/1.1 204 No Content\r\n\r\nsurplus";
    client.write(request("GET", "/a"));
    assert.equal((await client.read()).status, 204);
    between.answer = OK;
    client.write(request("GET", "/b"));
    assert.equal((await client.read()).body.toString(), "ok");
  });

  it("RFC 9110 section 15.5.6: the gateway's own 405 carries Allow", async () => {
    const [response] = await between.ask("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    assert.equal(response?.status, 405);
    assert.match(fieldValue(response?.headers ?? [], "allow") as string, /^[A-Z]+(, [A-Z]+)*$/);
  });

  it("RFC 9110 section 15.5.9: a request that does not come in time is answered 408, and the connection ends", async () => {
    await using client = await openRaw(between.port);
    client.write("GET / HTTP/1.1\r\nHost: a");
    const response = await client.read();
    assert.equal(response.status, 408);
    assert.equal(fieldValue(response.headers, "connection"), "close");
    await client.closed();
  });

  it("RFC 9110 section 15.5.14: content over the limit is answered 413, declared or chunked", async () => {
    await between.refuses(request("POST", "/", ["Content-Length: 1001"]), 413);
    const [response] = await between.ask(chunked(`3e9\r\n${"x".repeat(1001)}\r\n0\r\n\r\n`));
    assert.equal(response?.status, 413);
    assert.ok(between.seen.every(({ whole }) => !whole));
  });

  it("RFC 9110 section 15.6.3: an upstream that breaks the protocol is a 502", async () => {
    assert.equal((await between.get("/", [], "SSH-2.0-x\r\n")).status, 502);
  });

  it("RFC 9110 section 15.6.6: a version that is not served is a 505 that ends the connection", () =>
    between.refuses("GET / HTTP/1.9\r\nHost: a\r\n\r\n", 505));

  it("RFC 9110 section 9.3.2: chunks of an upstream that answers HEAD with content do not reach the client", async () => {
    await using client = await openRaw(between.port);
    between.answer = `${CODED}2\r\nok\r\n0\r\n\r\n`;
    client.write(request("HEAD", "/a"));
    await client.read({ head: true });
    between.answer = OK;
    client.write(request("GET", "/b"));
    assert.equal((await client.read()).body.toString(), "ok");
  });
});
