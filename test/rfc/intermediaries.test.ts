/** RFC 9110 sections 2 to 7: what a gateway owes to both sides as an intermediary. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { VERSION } from "../../src/version.ts";
import { Between, chunked, fieldValue, OK, request } from "../support/between.ts";

let between: Between;
before(async () => {
  between = await Between.start();
});
after(() => between?.[Symbol.asyncDispose]());

const OURS = `gatehouse/${VERSION}`;
const answered = (...fields: string[]) =>
  ["HTTP/1.1 200 OK", "Content-Length: 0", ...fields, "", ""].join("\r\n");

describe("RFC 9110 section 4, identifiers", () => {
  it("RFC 9110 section 4.2.1: an http target with an empty host is answered 400", () =>
    between.refuses("GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400));

  it("RFC 9110 section 4.2.4: user information in a target is answered 400", () =>
    between.refuses("GET http://user@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400));

  it("RFC 9110 section 4.2.3: scheme and host are case-insensitive", async () => {
    const response = await between.get("HTTP://PRESERVED.TEST/a");
    assert.equal(response.status, 200);
    assert.equal(fieldValue(between.last.fields, "host"), "PRESERVED.TEST", "the route of preserved.test");
  });
});

describe("RFC 9110 section 5, fields", () => {
  it("RFC 9110 section 5.1: unknown fields are passed on in both directions", async () => {
    const response = await between.get("/", ["X-Unknown-Up: 1"], answered("X-Unknown-Down: 2"));
    assert.equal(fieldValue(between.last.fields, "x-unknown-up"), "1");
    assert.equal(fieldValue(response.headers, "x-unknown-down"), "2");
  });

  it("RFC 9110 section 5.3: the order of fields of one name is kept in requests", async () => {
    await between.get("/", ["X-List: 1", "Other: x", "x-list: 2", "X-LIST: 3"]);
    assert.equal(fieldValue(between.last.fields, "x-list"), "1, 2, 3");
  });

  it("RFC 9110 section 5.3: Set-Cookie fields stay apart, in order", async () => {
    const response = await between.get("/", [], answered("Set-Cookie: a=1, x", "Set-Cookie: b=2"));
    assert.deepEqual(
      response.headers.filter(([name]) => name === "Set-Cookie").map(([, value]) => value),
      ["a=1, x", "b=2"],
    );
  });

  it("RFC 9110 section 5.4: fields beyond what is processed are answered with a 4xx, not cut", () =>
    between.refuses(request("GET", "/", [`X-Long: ${"a".repeat(40_000)}`]), 431));

  for (const [what, octet] of [
    ["CR", "\r"],
    ["LF", "\n"],
    ["NUL", "\0"],
  ] as const) {
    it(`RFC 9110 section 5.5: ${what} in a value of a request is answered 400`, () =>
      between.refuses(request("GET", "/", [`A: b${octet}c`]), 400));

    it(`RFC 9110 section 5.5: ${what} in a value of a response becomes 502`, async () => {
      assert.equal((await between.get("/", [], answered(`A: b${octet}c`))).status, 502);
    });
  }

  it("RFC 9110 section 5.5: obs-text in a value is opaque and goes through", async () => {
    const response = await between.get("/", [], answered("X-Text: \xe9\xff"));
    assert.equal(fieldValue(response.headers, "x-text"), "\xe9\xff");
  });

  it("RFC 9110 section 5.6.1: empty elements of a list are passed over", async () => {
    await between.get("/", ["Connection: , ,X-Gone ,,", "X-Gone: 1"]);
    assert.equal(fieldValue(between.last.fields, "x-gone"), undefined);
  });

  it("RFC 9110 section 5.6.2: a name that is no token is answered 400", () =>
    between.refuses(request("GET", "/", ["A(b): c"]), 400));
});

describe("RFC 9110 section 6, content and control data", () => {
  it("RFC 9110 section 6.5.1: trailers that frame or route are refused or dropped, never merged", async () => {
    await between.refuses(chunked("0\r\nContent-Length: 5\r\n\r\n"), 400);
    await between.ask(chunked("0\r\nHost: evil\r\nAuthorization: x\r\nX-Fine: 1\r\n\r\n"));
    assert.deepEqual(between.last.trailers, [["X-Fine", "1"]]);
    assert.equal(fieldValue(between.last.fields, "authorization"), undefined);
  });

  it("RFC 9110 section 6.6.1: a response without Date gets one", async () => {
    const response = await between.get("/");
    const date = fieldValue(response.headers, "date") as string;
    assert.match(date, /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
    assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60_000);
  });

  it("RFC 9110 section 6.6.1: the Date of an upstream stays", async () => {
    const theirs = "Thu, 01 Jan 1998 00:00:00 GMT";
    const response = await between.get("/", [], answered(`Date: ${theirs}`));
    assert.equal(fieldValue(response.headers, "date"), theirs);
  });

  it("RFC 9110 section 6.6.1: the gateway's own answers and refusals carry Date", async () => {
    assert.ok(fieldValue((await between.get("/own")).headers, "date") !== undefined);
    assert.ok(fieldValue((await between.refusal("GET\r\n\r\n", 400)).headers, "date") !== undefined);
  });
});

describe("RFC 9110 section 7, routing", () => {
  it("RFC 9110 section 7.2: Host goes up as what the target is chosen by", async () => {
    await between.ask("GET / HTTP/1.1\r\nHost: preserved.test\r\n\r\n");
    assert.equal(fieldValue(between.last.fields, "host"), "preserved.test");
  });

  it("RFC 9110 section 7.4: an https target on a connection without TLS is answered 421", () =>
    between.refuses("GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 421));

  it("RFC 9110 section 7.5: an answer 1xx is not the answer to the request", async () => {
    const answer = `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`;
    const responses = await between.ask(request("GET", "/"), { answer, count: 2 });
    assert.deepEqual(
      responses.map(({ status }) => status),
      [103, 200],
    );
  });

  const HOP = ["Connection: X-Hop, close-not", "X-Hop: 1", "Close-Not: 2", "X-End: 3"];
  it("RFC 9110 section 7.6.1: fields that Connection lists, and Connection itself, end at this hop (requests)", async () => {
    await between.get("/", HOP);
    const names = between.last.fields.map(([name]) => name.toLowerCase());
    for (const gone of ["x-hop", "close-not"]) assert.ok(!names.includes(gone), gone);
    assert.equal(fieldValue(between.last.fields, "connection"), "keep-alive");
    assert.ok(names.includes("x-end"));
  });

  it("RFC 9110 section 7.6.1: fields that Connection lists, and Connection itself, end at this hop (responses)", async () => {
    const { headers } = await between.get("/", [], answered(...HOP));
    const names = headers.map(([name]) => name.toLowerCase());
    for (const gone of ["x-hop", "close-not", "connection"]) assert.ok(!names.includes(gone), gone);
    assert.ok(names.includes("x-end"));
  });

  it("RFC 9110 section 7.6.1: fields of one hop end here even if Connection does not list them", async () => {
    await between.get("/", ["Keep-Alive: 5", "Proxy-Connection: keep-alive", "TE: gzip", "Upgrade: x"]);
    const names = between.last.fields.map(([name]) => name.toLowerCase());
    for (const gone of ["keep-alive", "proxy-connection", "te", "upgrade"])
      assert.ok(!names.includes(gone), gone);
  });

  it("RFC 9110 section 7.6.1: Connection cannot take away what the gateway itself adds", async () => {
    await between.get("/", [
      "Connection: Host, X-Forwarded-For, Via, X-Real-IP, X-Kong-Request-Id, Content-Length",
    ]);
    for (const kept of ["host", "x-forwarded-for", "via", "x-real-ip", "x-kong-request-id"])
      assert.ok(fieldValue(between.last.fields, kept) !== undefined, kept);
  });

  for (const [method, status] of [
    ["OPTIONS", 200],
    ["TRACE", 405],
  ] as const) {
    it(`RFC 9110 section 7.6.2: ${method} with Max-Forwards: 0 ends here`, async () => {
      const [response] = await between.ask(request(method, "/", ["Max-Forwards: 0"]));
      assert.equal(response?.status, status);
      assert.ok(fieldValue(response?.headers ?? [], "allow")?.includes("GET"));
      assert.deepEqual(between.seen, []);
    });

    it(`RFC 9110 section 7.6.2: ${method} with Max-Forwards: 7 goes on with 6`, async () => {
      await between.ask(request(method, "/", ["Max-Forwards: 7"]));
      assert.equal(fieldValue(between.last.fields, "max-forwards"), "6");
    });
  }

  it("RFC 9110 section 7.6.2: Max-Forwards means nothing to other methods", async () => {
    await between.get("/", ["Max-Forwards: 0"]);
    assert.equal(fieldValue(between.last.fields, "max-forwards"), "0");
  });

  it("RFC 9110 section 7.6.3: Via is appended to a request, with the version that it came in", async () => {
    await between.get("/", ["Via: 1.0 before"]);
    assert.equal(fieldValue(between.last.fields, "via"), `1.0 before, 1.1 ${OURS}`);
    await between.ask(request("GET", "/", [], "", "1.0"));
    assert.equal(fieldValue(between.last.fields, "via"), `1.0 ${OURS}`);
  });

  it("RFC 9110 section 7.6.3: Via is appended to a response, with the version that it came in", async () => {
    const { headers } = await between.get("/", [], answered("Via: 1.1 before"));
    assert.equal(fieldValue(headers, "via"), `1.1 before, 1.1 ${OURS}`);
    const old = await between.get("/", [], "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert.equal(fieldValue(old.headers, "via"), `1.0 ${OURS}`);
  });

  it("RFC 9110 section 7.7: content goes through unchanged, whatever its coding says", async () => {
    const body = "\x1f\x8b\x08not really gzip";
    await between.ask(
      request("POST", "/", ["Content-Encoding: gzip", `Content-Length: ${body.length}`], body),
    );
    assert.equal(between.last.body, body);
    assert.equal(fieldValue(between.last.fields, "content-encoding"), "gzip");
  });

  it("RFC 9110 section 7.8: Upgrade that the gateway does not take up is not passed on", async () => {
    await between.get("/", ["Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"]);
    assert.equal(fieldValue(between.last.fields, "upgrade"), undefined);
    assert.equal(fieldValue(between.last.fields, "connection"), "keep-alive");
  });

  it("RFC 9110 section 7.8: Upgrade in HTTP/1.0 is ignored", async () => {
    const [response] = await between.ask(
      request("GET", "/", ["Connection: Upgrade", "Upgrade: websocket"], "", "1.0"),
    );
    assert.equal(response?.status, 200);
    assert.equal(fieldValue(between.last.fields, "upgrade"), undefined);
  });

  it("RFC 9110 section 7.8: a 101 that nobody asked for becomes 502", async () => {
    const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    assert.equal((await between.get("/", [], answer)).status, 502);
  });
});
