/** Where messages begin and end through the whole gateway: trailers, bodiless answers, HTTP/1.0, pipelining. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { exchangeRaw, openRaw } from "../support/raw-client.ts";
import { fieldOf, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";

const CHUNKED_BODY = "4\r\nWiki\r\n5\r\npedia\r\n0\r\n";

/** What the raw upstream answers, by path; it closes after answers that say so or have no end of their own. */
const ANSWERS: Record<string, string> = {
  "/trailers": `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n${CHUNKED_BODY}X-Sum: 9\r\nSet-Cookie: a=b\r\n\r\n`,
  "/chunked": `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKED_BODY}\r\n`,
  "/until-close": "HTTP/1.1 200 OK\r\n\r\nuntil the end",
  "/until-close-1.0": "HTTP/1.0 200 OK\r\n\r\nuntil the end",
  "/head-length": "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
  "/head-chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
  "/head-nothing": "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n",
  "/204": "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
  "/304": 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 12345\r\n\r\n',
  "/205": "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
  "/no-reason": "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
  "/own-reason": "HTTP/1.1 200 Quite Fine\r\nContent-Length: 2\r\n\r\nok",
  "/unknown-status": "HTTP/1.1 599 \r\nContent-Length: 2\r\n\r\nok",
  "/hints":
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
};

describe("framing", () => {
  let raw: RawOrigin;
  let origin: Origin;
  let gateway: Gateway;

  before(async () => {
    raw = await startRawOrigin(({ socket, path }) => {
      socket.write(ANSWERS[path] ?? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
      if (path.startsWith("/until-close")) socket.end();
    });
    origin = await startOrigin((received, response, request) => {
      response.setHeader("X-Trailers", JSON.stringify(request.trailers));
      if (received.url === "/slow") setTimeout(() => response.end(received.url), 50);
      else response.end(received.url + received.body);
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          { name: "raw", url: raw.url, routes: [{ name: "raw", paths: ["/"] }] },
          { name: "node", url: origin.url, routes: [{ name: "node", hosts: ["node"], paths: ["/"] }] },
          {
            name: "fixed",
            url: raw.url,
            routes: [{ name: "fixed", paths: ["/fixed"] }],
            plugins: [{ name: "request-termination", config: { status_code: 418, message: "here" } }],
          },
        ],
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await raw?.close();
    await origin?.close();
  });

  const get = (path: string, extra = "") => `GET ${path} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`;

  it("trailers of a response reach the client, without those that may not be trailers", async () => {
    const [answer] = await exchangeRaw(gateway.ports.proxy, get("/trailers", "TE: trailers\r\n"));
    assert.equal(answer?.body.toString(), "Wikipedia");
    assert.deepEqual(answer?.trailers, [["X-Sum", "9"]]);
  });

  it("trailers of a request reach the upstream", async () => {
    const request = `POST /t HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n${CHUNKED_BODY}X-Sum: 9\r\n\r\n`;
    const [answer] = await exchangeRaw(gateway.ports.proxy, request);
    assert.equal(answer?.body.toString(), "/tWikipedia");
    assert.equal(new Map(answer?.headers).get("X-Trailers"), '{"x-sum":"9"}');
  });

  for (const path of ["/until-close", "/until-close-1.0"]) {
    it(`a body that ends with the upstream's connection arrives whole and ends by itself (${path})`, async () => {
      await using client = await openRaw(gateway.ports.proxy);
      client.write(get(path));
      const answer = await client.read();
      assert.equal(answer.body.toString(), "until the end");
      assert.equal(answer.framing, "chunked");
      client.write(get("/chunked"));
      assert.equal((await client.read()).body.toString(), "Wikipedia");
    });
  }

  for (const [method, path, length] of [
    ["HEAD", "/head-length", "12345"],
    ["HEAD", "/head-chunked", undefined],
    ["HEAD", "/head-nothing", undefined],
    ["GET", "/204", undefined],
    ["GET", "/304", "12345"],
  ] as const) {
    it(`${method} ${path} has no body, keeps its length, and the connection goes on`, async () => {
      await using client = await openRaw(gateway.ports.proxy);
      client.write(`${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const answer = await client.read({ head: method === "HEAD" });
      assert.equal(answer.headers.find(([name]) => name === "Content-Length")?.[1], length);
      client.write(get("/chunked"));
      assert.equal((await client.read()).body.toString(), "Wikipedia");
      assert.equal(client.pending.length, 0);
    });
  }

  it("205 with a length of 0 passes", async () => {
    const [answer] = await exchangeRaw(gateway.ports.proxy, get("/205"));
    assert.equal(answer?.status, 205);
    assert.equal(answer?.body.length, 0);
  });

  for (const [path, reason] of [
    ["/no-reason", "OK"],
    ["/own-reason", "Quite Fine"],
    ["/unknown-status", "Unknown"],
  ] as const) {
    it(`the status line of ${path} says '${reason}'`, async () => {
      const [answer] = await exchangeRaw(gateway.ports.proxy, get(path));
      assert.equal(answer?.reason, reason);
      assert.equal(answer?.body.toString(), "ok");
    });
  }

  it("103 Early Hints reach a client of HTTP/1.1 before the response", async () => {
    const [hints, answer] = await exchangeRaw(gateway.ports.proxy, get("/hints"), 2);
    assert.equal(hints?.status, 103);
    assert.deepEqual(hints?.headers, [["Link", "</a.css>"]]);
    assert.equal(answer?.status, 200);
  });

  it("103 Early Hints are kept from a client of HTTP/1.0", async () => {
    const [answer] = await exchangeRaw(gateway.ports.proxy, "GET /hints HTTP/1.0\r\n\r\n");
    assert.equal(answer?.status, 200);
    assert.equal(answer?.body.toString(), "ok");
  });

  it("a client of HTTP/1.0 gets an unframed body up to the end of the connection", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const answer = await client.read();
    assert.equal(answer.framing, "close");
    assert.equal(answer.body.toString(), "Wikipedia");
    assert.equal(new Map(answer.headers).get("Connection"), "close");
  });

  it("a client of HTTP/1.0 without keep-alive is left after one response", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /no-reason HTTP/1.0\r\n\r\n");
    const answer = await client.read();
    assert.equal(answer.body.toString(), "ok");
    assert.equal(new Map(answer.headers).get("Connection"), "close");
    await client.closed();
  });

  it("a client of HTTP/1.0 that asks for keep-alive is told so and served again", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    for (let i = 0; i < 3; i++) {
      client.write("GET /no-reason HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
      const answer = await client.read();
      assert.equal(answer.body.toString(), "ok");
      assert.equal(new Map(answer.headers).get("Connection"), "keep-alive");
    }
  });

  it("a request of HTTP/1.0 without Host goes up with the upstream's name", async () => {
    await exchangeRaw(gateway.ports.proxy, "GET /no-reason HTTP/1.0\r\n\r\n");
    assert.equal(fieldOf(raw.heads.at(-1) as string, "host"), `127.0.0.1:${raw.port}`);
  });

  it("'Connection: close' from the client is answered in kind and kept from the upstream", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(get("/no-reason", "Connection: close\r\n"));
    assert.equal(new Map((await client.read()).headers).get("Connection"), "close");
    await client.closed();
    assert.equal(fieldOf(raw.heads.at(-1) as string, "connection"), "keep-alive");
  });

  it("'Connection: close' from the upstream is not the client's business", async () => {
    await using closing = await startRawOrigin(({ socket }) =>
      socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
    );
    await using own = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ url: closing.url, routes: [{ name: "a", paths: ["/"] }] }],
      },
      settings: { data_threads: "1" },
    });
    await using client = await openRaw(own.ports.proxy);
    for (let i = 0; i < 3; i++) {
      client.write(get("/"));
      const answer = await client.read();
      assert.equal(answer.body.toString(), "ok");
      assert.equal(new Map(answer.headers).get("Connection"), undefined);
    }
    assert.equal(closing.accepted, 3);
  });

  it("pipelined requests are answered in order, whoever answers them and however long it takes", async () => {
    const post = "POST /p HTTP/1.1\r\nHost: node\r\nContent-Length: 4\r\n\r\nbody";
    const slow = "GET /slow HTTP/1.1\r\nHost: node\r\n\r\n";
    await using client = await openRaw(gateway.ports.proxy);
    client.write(
      slow +
        get("/fixed") +
        post +
        get("/nowhere") +
        get("/chunked") +
        "HEAD /head-length HTTP/1.1\r\nHost: a\r\n\r\n" +
        get("/204") +
        slow +
        get("/own-reason"),
    );
    const seen: [number, string][] = [];
    for (let i = 0; i < 9; i++) {
      const { status, body } = await client.read({ head: i === 5 });
      seen.push([status, body.toString()]);
    }
    assert.deepEqual(seen, [
      [200, "/slow"],
      [418, '{"message":"here"}'],
      [200, "/pbody"],
      [404, ""],
      [200, "Wikipedia"],
      [200, ""],
      [204, ""],
      [200, "/slow"],
      [200, "ok"],
    ]);
  });

  it("2,000 pipelined requests are all answered", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(get("/fixed").repeat(1000) + get("/no-reason").repeat(1000));
    for (let i = 0; i < 2000; i++) assert.equal((await client.read()).status, i < 1000 ? 418 : 200);
  });

  it("an answer that comes before the request's end is delivered, and the next request is served", async () => {
    await using early = await startRawOrigin(({ socket }) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"),
    );
    await using own = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ url: early.url, routes: [{ name: "a", paths: ["/"] }] }],
      },
      settings: { data_threads: "1" },
    });
    await using client = await openRaw(own.ports.proxy);
    client.write("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    assert.equal((await client.read()).body.toString(), "early");
    client.write("56789GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).body.toString(), "early");
    assert.deepEqual(early.paths, ["/a", "/b"]);
  });

  it("a request whose body is refused by a plugin before it came leaves the connection usable", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("POST /fixed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nWi");
    assert.equal((await client.read()).status, 418);
    client.write(`ki\r\n0\r\n\r\n${get("/no-reason")}`);
    assert.equal((await client.read()).body.toString(), "ok");
  });
});
