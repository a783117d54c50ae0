/** RFC 9112 sections 2 to 5: how a message is parsed, its start line, its target, its fields. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Between, fieldValue, request } from "../support/between.ts";
import { openRaw } from "../support/raw-client.ts";

let between: Between;
before(async () => {
  between = await Between.start();
});
after(() => between?.[Symbol.asyncDispose]());

/** Requests that must be refused, the upstream unheard. */
const REFUSED: readonly (readonly [requirement: string, status: number, bytes: string])[] = [
  ["2.2: a bare LF as line end", 400, "GET / HTTP/1.1\nHost: a\n\n"],
  ["2.2: a bare CR in a field line", 400, request("GET", "/", ["A: b\rC: d"])],
  ["2.2: a bare CR in the request line", 400, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"],
  [
    "2.2: a bare CR before a chunk's end",
    400,
    request("POST", "/", ["Transfer-Encoding: chunked"], "1\r\na\rX"),
  ],
  ["2.2: white space between the start line and the first field", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"],
  ["2.2: octets that are not HTTP at all", 400, "\x16\x03\x01\x02\x00\r\n\r\n"],
  ["2.3: HTTP-version in small letters", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"],
  ["2.3: a major version that is not spoken here", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"],
  ["2.3: HTTP/3.0 in the request line", 505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"],
  ["3: a request line that does not match the grammar", 400, "GET\r\nHost: a\r\n\r\n"],
  ["3: white space in the target, which is not guessed away", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["3: a target longer than what is parsed", 414, request("GET", `/${"a".repeat(17_000)}`)],
  ["3: a method longer than any that is implemented", 501, request("A".repeat(40), "/")],
  ["3.2: no Host in HTTP/1.1", 400, "GET / HTTP/1.1\r\nA: b\r\n\r\n"],
  ["3.2: two Host fields", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["3.2: two equal Host fields", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
  ["3.2: a Host field with an invalid value", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"],
  ["3.2: no Host beside an absolute target", 400, "GET http://a/ HTTP/1.1\r\n\r\n"],
  ["3.2.3: the authority form with another method than CONNECT", 400, request("GET", "client.test:80")],
  ["3.2.4: the asterisk form with another method than OPTIONS", 400, request("GET", "*")],
  ["5: a field line without a colon", 400, request("GET", "/", ["abc"])],
  ["5.1: white space between a field name and its colon", 400, request("GET", "/", ["A : b"])],
  ["5.1: a tab between a field name and its colon", 400, request("GET", "/", ["Content-Length\t: 3"], "abc")],
  ["5.2: a folded field line", 400, request("GET", "/", ["A: b\r\n c"])],
  ["5.2: a field line folded with a tab", 400, request("GET", "/", ["A: b\r\n\tc"])],
];

describe("RFC 9112, messages that are answered with an error", () => {
  for (const [requirement, status, bytes] of REFUSED)
    it(`RFC 9112 section ${requirement} is answered ${status}`, () => between.refuses(bytes, status));
});

describe("RFC 9112 section 2, the message", () => {
  it("RFC 9112 section 2.2: a message is read as octets, whatever their charset", async () => {
    await between.get("/", ["X-Octets: \xc3\xa9\xff\x80"]);
    assert.equal(fieldValue(between.last.fields, "x-octets"), "\xc3\xa9\xff\x80");
  });

  it("RFC 9112 section 2.2: an empty line before the request line is ignored", async () => {
    const [response] = await between.ask(`\r\n${request("GET", "/")}`);
    assert.equal(response?.status, 200);
    assert.equal(between.seen.length, 1);
  });

  it("RFC 9112 section 2.2: CR LF after a body, as some clients send, does not spoil the next request", async () => {
    const post = request("POST", "/a", ["Content-Length: 1"], "x");
    const responses = await between.ask(`${post}\r\n${request("GET", "/b")}`, { count: 2 });
    assert.deepEqual(
      responses.map(({ status }) => status),
      [200, 200],
    );
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      ["/a", "/b"],
    );
  });

  it("RFC 9112 section 2.2: no CR LF is added before or after a request that is sent", async () => {
    await between.ask(request("POST", "/a", ["Content-Length: 1"], "x") + request("GET", "/b"), { count: 2 });
    assert.deepEqual(
      between.seen.map(({ body }) => body),
      ["x", ""],
    );
  });

  it("RFC 9112 section 2.3: a request of HTTP/1.0 goes up in the gateway's own version", async () => {
    await between.ask(request("GET", "/", [], "", "1.0"));
    assert.equal(between.last.version, "1.1");
  });

  it("RFC 9112 section 2.3: a response of HTTP/1.0 comes down in the gateway's own version", async () => {
    const response = await between.get("/", [], "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert.equal(response.version, "HTTP/1.1");
    assert.equal(response.body.toString(), "ok");
  });

  it("RFC 9112 section 2.3: a client of HTTP/1.0 is answered in HTTP/1.1 terms that it understands", async () => {
    const [response] = await between.ask(request("GET", "/", [], "", "1.0"), {
      answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    });
    assert.equal(response?.framing, "close");
    assert.equal(response?.body.toString(), "ok");
  });
});

describe("RFC 9112 section 3, the target", () => {
  it("RFC 9112 section 3: the method is case-sensitive and goes up as it came", async () => {
    await between.ask(request("get", "/"));
    assert.deepEqual(between.seen, [], "'get' is no method that Node knows, and was not made one");
    await between.ask(request("PROPFIND", "/"));
    assert.equal(between.last.method, "PROPFIND");
  });

  it("RFC 9112 section 3.2: a request for an empty Host is served where a route takes it", async () => {
    const [response] = await between.ask("GET /x HTTP/1.1\r\nHost:\r\n\r\n");
    assert.equal(response?.status, 200);
  });

  it("RFC 9112 section 3.2: the request that goes up has one Host field, and it comes first", async () => {
    await between.ask("GET /x HTTP/1.0\r\n\r\n");
    const names = between.last.fields.map(([name]) => name.toLowerCase());
    assert.equal(names[0], "host");
    assert.equal(names.filter((name) => name === "host").length, 1);
  });

  it("RFC 9112 section 3.2.1: path and query go up in origin form, octet for octet", async () => {
    await between.get("/a:b@c/%2F;d=e?f=%20g&&h?i/j");
    assert.equal(between.last.target, "/a:b@c/%2F;d=e?f=%20g&&h?i/j");
  });

  it("RFC 9112 section 3.2.1: an empty path goes up as '/'", async () => {
    await between.get("http://a.test");
    assert.equal(between.last.target, "/");
  });

  it("RFC 9112 section 3.2.1: an empty path before a query goes up as '/'", async () => {
    await between.get("http://a.test?b=c");
    assert.equal(between.last.target, "/?b=c");
  });

  it("RFC 9112 section 3.2.2: the absolute form is accepted", async () => {
    const response = await between.get("http://a.test/b?c");
    assert.equal(response.status, 200);
    assert.equal(between.last.target, "/b?c");
  });

  it("RFC 9112 section 3.2.2: Host is ignored beside the absolute form, and replaced", async () => {
    const [response] = await between.ask("GET http://preserved.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    assert.equal(response?.status, 200);
    assert.equal(fieldValue(between.last.fields, "host"), "preserved.test");
    assert.equal(fieldValue(between.last.fields, "x-forwarded-host"), "preserved.test");
  });

  it("RFC 9112 section 3.2.4: OPTIONS of an authority alone goes up as '*'", async () => {
    await between.ask("OPTIONS http://star.test HTTP/1.1\r\nHost: star.test\r\n\r\n");
    assert.deepEqual([between.last.method, between.last.target], ["OPTIONS", "*"]);
  });

  it("RFC 9112 section 3.2.4: OPTIONS * goes up as it is", async () => {
    await between.ask("OPTIONS * HTTP/1.1\r\nHost: star.test\r\n\r\n");
    assert.deepEqual([between.last.method, between.last.target], ["OPTIONS", "*"]);
  });

  it("RFC 9112 section 3.2.4: OPTIONS of an authority with a query is not about the whole server", async () => {
    await between.ask("OPTIONS http://star.test?a HTTP/1.1\r\nHost: star.test\r\n\r\n");
    assert.equal(between.last.target, "/?a");
  });
});

describe("RFC 9112 section 4, the status line", () => {
  for (const [what, line, reason] of [
    ["no reason phrase and no space", "HTTP/1.1 200", "OK"],
    ["no reason phrase after its space", "HTTP/1.1 200 ", "OK"],
    ["a reason phrase of its own", "HTTP/1.1 200 Fine By Me", "Fine By Me"],
    ["a reason phrase with obs-text", "HTTP/1.1 200 D\xe9j\xe0", "D\xe9j\xe0"],
  ] as const)
    it(`RFC 9112 section 4: a status line with ${what} is served with the space before the reason`, async () => {
      const response = await between.get("/", [], `${line}\r\nContent-Length: 0\r\n\r\n`);
      assert.deepEqual([response.status, response.reason], [200, reason]);
    });
});

describe("RFC 9112 section 5, fields", () => {
  it("RFC 9112 section 5.1: white space around a value is not part of it", async () => {
    await between.get("/", ["X-Blanks: \t a \t b \t "]);
    assert.equal(fieldValue(between.last.fields, "x-blanks"), "a \t b");
  });

  it("RFC 9112 section 5.1: a value without a space after the colon is read", async () => {
    await between.get("/", ["X-Tight:a"]);
    assert.equal(fieldValue(between.last.fields, "x-tight"), "a");
  });

  it("RFC 9112 section 5.1: a response with white space before a colon is not passed on as it is", async () => {
    const response = await between.get("/", [], "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n");
    assert.equal(response.status, 502);
  });

  it("RFC 9112 section 5.2: a folded line in a response is not passed on: 502 takes its place", async () => {
    const response = await between.get("/", [], "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n");
    assert.equal(response.status, 502);
    assert.equal(fieldValue(response.headers, "a"), undefined);
  });

  it("RFC 9112 section 5.2: no line that goes up or comes down is folded", async () => {
    const long = "a".repeat(5000);
    const response = await between.get(
      "/",
      [`X-Long: ${long}`],
      `HTTP/1.1 200 OK\r\nX-Long: ${long}\r\nContent-Length: 0\r\n\r\n`,
    );
    assert.equal(fieldValue(between.last.fields, "x-long"), long);
    assert.equal(fieldValue(response.headers, "x-long"), long);
  });

  it("RFC 9112 section 2.2: a response with a bare CR in a field is not passed on", async () => {
    const response = await between.get("/", [], "HTTP/1.1 200 OK\r\nA: b\rc\r\nContent-Length: 0\r\n\r\n");
    assert.equal(response.status, 502);
  });

  it("RFC 9112 section 3: a request that is refused leaves the next connection untouched", async () => {
    await between.refuses("GET\r\n\r\n", 400);
    await using client = await openRaw(between.port);
    client.write(request("GET", "/next"));
    assert.equal((await client.read()).status, 200);
  });
});
