/** What the upstream and the client get to see of the gateway in headers: Kong's fields, names and rules. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { VERSION } from "../../src/version.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, type Received, receivedHeader, startOrigin } from "../support/origin.ts";
import { exchangeRaw } from "../support/raw-client.ts";
import { type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";

const PRODUCT = `gatehouse/${VERSION}`;

describe("headers", () => {
  let origin: Origin;
  let raw: RawOrigin;
  let gateway: Gateway;
  let quiet: Gateway;

  before(async () => {
    origin = await startOrigin();
    raw = await startRawOrigin(({ socket, path }) => {
      const fields =
        path === "/own"
          ? "Server: origin/1\r\nVia: 1.1 inner\r\nX-Kong-Request-Id: theirs\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
          : path === "/hop"
            ? "Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Connection: close\r\nX-End: 1\r\n"
            : path === "/cookies"
              ? "Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Latin: caf\xe9\r\nX-Empty:\r\n"
              : "";
      socket.write(Buffer.from(`HTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`, "latin1"));
    });
    const config = {
      _format_version: "3.0",
      upstreams: [
        { name: "pool", targets: [{ target: `127.0.0.1:${origin.port}` }] },
        {
          name: "named-pool",
          host_header: "prescribed.test:81",
          targets: [{ target: `localhost:${origin.port}` }],
        },
      ],
      services: [
        {
          name: "direct",
          url: `${origin.url}/base`,
          routes: [
            { name: "plain", paths: ["/plain"] },
            { name: "unstripped", paths: ["/unstripped"], strip_path: false },
            { name: "regex", paths: ["~/regex/\\d+"] },
            { name: "preserving", paths: ["/preserving"], preserve_host: true },
            { name: "root", paths: ["/"] },
          ],
        },
        {
          name: "named",
          url: `http://localhost:${origin.port}`,
          routes: [{ name: "named", paths: ["/named"] }],
        },
        { name: "pooled", url: "http://pool", routes: [{ name: "pooled", paths: ["/pooled"] }] },
        {
          name: "prescribed",
          url: "http://named-pool",
          routes: [
            { name: "prescribed", paths: ["/prescribed"] },
            { name: "both", paths: ["/both"], preserve_host: true },
          ],
        },
        { name: "raw", url: raw.url, routes: [{ name: "raw", paths: ["/raw"] }] },
        {
          name: "closed",
          url: raw.url,
          routes: [
            {
              name: "closed",
              paths: ["/closed"],
              plugins: [{ name: "request-termination", config: { status_code: 403 } }],
            },
          ],
        },
      ],
    };
    [gateway, quiet] = await Promise.all([
      startGateway({ config }),
      startGateway({ config, settings: { headers: "off", headers_upstream: "off" } }),
    ]);
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await quiet?.[Symbol.asyncDispose]();
    await origin?.close();
    await raw?.close();
  });

  async function received(path: string, headers: [string, string][] = [], from = gateway): Promise<Received> {
    const { status } = await send(`${from.url}${path}`, { headers });
    assert.equal(status, 200);
    return origin.last;
  }

  it("X-Forwarded-For, -Proto, -Host, -Port, -Path and X-Real-IP say where the request came from", async () => {
    const at = await received("/plain/a%20b?x=1", [["Host", "Shop.Example:8000"]]);
    const field = (name: string) => receivedHeader(at, name);
    assert.equal(field("x-forwarded-for"), "127.0.0.1");
    assert.equal(field("x-forwarded-proto"), "http");
    assert.equal(field("x-forwarded-host"), "shop.example");
    assert.equal(field("x-forwarded-port"), String(gateway.ports.proxy));
    assert.equal(field("x-forwarded-path"), "/plain/a%20b");
    assert.equal(field("x-real-ip"), "127.0.0.1");
  });

  it("X-Forwarded-For is appended to, everything else that the client claims is replaced", async () => {
    const claimed: [string, string][] = [
      ["X-Forwarded-For", "1.1.1.1, 2.2.2.2"],
      ["x-forwarded-for", "3.3.3.3"],
      ["X-Forwarded-Proto", "https"],
      ["X-Forwarded-Host", "evil.test"],
      ["X-Forwarded-Port", "443"],
      ["X-Forwarded-Path", "/evil"],
      ["X-Forwarded-Prefix", "/evil"],
      ["X-Real-IP", "9.9.9.9"],
      ["X-Kong-Request-Id", "evil"],
      ["Host", "a.test"],
    ];
    const at = await received("/unstripped", claimed);
    const field = (name: string) => receivedHeader(at, name);
    assert.equal(field("x-forwarded-for"), "1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1");
    assert.equal(field("x-forwarded-proto"), "http");
    assert.equal(field("x-forwarded-host"), "a.test");
    assert.equal(field("x-forwarded-port"), String(gateway.ports.proxy));
    assert.equal(field("x-forwarded-path"), "/unstripped");
    assert.equal(field("x-forwarded-prefix"), undefined);
    assert.equal(field("x-real-ip"), "127.0.0.1");
    assert.match(field("x-kong-request-id") as string, /^[0-9a-f]{32}$/);
  });

  for (const [path, prefix] of [
    ["/plain/x", "/plain"],
    ["/regex/12/x", "/regex/12"],
    ["/unstripped/x", undefined],
    ["/elsewhere", undefined],
  ] as const) {
    it(`X-Forwarded-Prefix of ${path} is ${prefix ?? "not set"}`, async () => {
      assert.equal(receivedHeader(await received(path), "x-forwarded-prefix"), prefix);
    });
  }

  it("Host is the target's with its port, the client's, the upstream's or both rules in Kong's order", async () => {
    const port = origin.port;
    for (const [path, host] of [
      ["/plain", `127.0.0.1:${port}`],
      ["/named", `localhost:${port}`],
      ["/pooled", `127.0.0.1:${port}`],
      ["/preserving", "Shop.Example:8000"],
      ["/prescribed", "prescribed.test:81"],
      ["/both", "Shop.Example:8000"],
    ] as const)
      assert.equal(receivedHeader(await received(path, [["Host", "Shop.Example:8000"]]), "host"), host, path);
  });

  it("a client without Host has none to preserve: the target's is sent", async () => {
    await exchangeRaw(gateway.ports.proxy, "GET /preserving HTTP/1.0\r\n\r\n");
    assert.equal(receivedHeader(origin.last, "host"), `127.0.0.1:${origin.port}`);
  });

  it("the authority of an absolute target stands for Host", async () => {
    const request = "GET http://absolute.test:99/preserving HTTP/1.1\r\nHost: other.test\r\n\r\n";
    const [answer] = await exchangeRaw(gateway.ports.proxy, request);
    assert.equal(answer?.status, 200);
    assert.equal(receivedHeader(origin.last, "host"), "absolute.test:99");
    assert.equal(receivedHeader(origin.last, "x-forwarded-host"), "absolute.test");
  });

  it("fields of one hop, those that Connection lists, and Proxy go no further", async () => {
    const fields =
      "Connection: X-Hop, keep-alive, , TE\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n" +
      "Proxy: http://evil\r\nUpgrade: websocket\r\nTE: trailers, gzip\r\nX-End: 1\r\n";
    await exchangeRaw(gateway.ports.proxy, `GET /plain HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
    const names = origin.last.headers.map(([name]) => name.toLowerCase());
    for (const gone of ["x-hop", "keep-alive", "proxy-connection", "proxy", "upgrade"])
      assert.ok(!names.includes(gone), gone);
    assert.equal(receivedHeader(origin.last, "connection"), "keep-alive, TE", "the gateway's own");
    assert.equal(receivedHeader(origin.last, "x-end"), "1");
  });

  for (const [te, sent] of [
    ["trailers", "trailers"],
    ["gzip, trailers;q=1", "trailers"],
    ["gzip", undefined],
    ["xtrailers", undefined],
  ] as const) {
    it(`'TE: ${te}' goes up as ${sent}`, async () => {
      assert.equal(receivedHeader(await received("/plain", [["TE", te]]), "te"), sent);
    });
  }

  it("Via is appended upstream", async () => {
    assert.equal(receivedHeader(await received("/plain"), "via"), `1.1 ${PRODUCT}`);
    const at = await received("/plain", [["Via", "1.0 before"]]);
    assert.equal(receivedHeader(at, "via"), `1.0 before, 1.1 ${PRODUCT}`);
  });

  it("other fields arrive as they were sent: order, spelling, repetition, bytes", async () => {
    const fields: [string, string][] = [
      ["x-MiXed", "1"],
      ["Cookie", "a=b"],
      ["X-Latin", "caf\u00e9"],
      ["x-mixed", "2"],
      ["X-Empty", ""],
      ["Authorization", "Basic eA=="],
    ];
    const at = await received("/plain", fields);
    const own = at.headers.filter(([name]) =>
      fields.some(([other]) => other.toLowerCase() === name.toLowerCase()),
    );
    assert.deepEqual(own, fields);
  });

  it("a proxied response carries Via, the latencies and the request id that the upstream saw", async () => {
    const { header } = await send(`${gateway.url}/plain`);
    assert.equal(header("via"), `1.1 ${PRODUCT}`);
    assert.match(header("x-kong-upstream-latency") as string, /^\d+$/);
    assert.match(header("x-kong-proxy-latency") as string, /^\d+$/);
    assert.equal(header("x-kong-response-latency"), undefined);
    assert.equal(header("x-kong-upstream-status"), undefined);
    assert.equal(header("x-kong-request-id"), receivedHeader(origin.last, "x-kong-request-id"));
    assert.equal(header("server"), PRODUCT);
  });

  it("an answer of the gateway's own carries Server, the response latency and the request id", async () => {
    for (const path of ["/closed", "/\x01"]) {
      const [answer] = await exchangeRaw(gateway.ports.proxy, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const fields = new Map(answer?.headers);
      assert.equal(fields.get("Server"), PRODUCT);
      assert.match(fields.get("X-Kong-Response-Latency") as string, /^\d+$/);
      assert.match(fields.get("X-Kong-Request-Id") as string, /^[0-9a-f]{32}$/);
      assert.equal(fields.get("Via"), undefined);
      assert.equal(fields.get("X-Kong-Upstream-Latency"), undefined);
      assert.ok(Math.abs(Date.parse(fields.get("Date") as string) - Date.now()) < 60_000);
    }
  });

  it("the upstream's own Server, Date and Via stay, its request id does not", async () => {
    const { header, headers } = await send(`${gateway.url}/raw/own`);
    assert.equal(header("server"), "origin/1");
    assert.equal(header("via"), `1.1 inner, 1.1 ${PRODUCT}`);
    assert.equal(header("date"), "Thu, 01 Jan 1970 00:00:00 GMT");
    const ids = headers.filter(([name]) => name.toLowerCase() === "x-kong-request-id");
    assert.equal(ids.length, 1);
    assert.match(ids[0]?.[1] as string, /^[0-9a-f]{32}$/);
  });

  it("the upstream's fields of one hop go no further", async () => {
    const { headers } = await send(`${gateway.url}/raw/hop`);
    const names = headers.map(([name]) => name.toLowerCase());
    for (const gone of ["x-hop", "upgrade", "proxy-connection"]) assert.ok(!names.includes(gone), gone);
    assert.ok(names.includes("x-end"));
  });

  it("repeated, empty and non-ASCII fields of a response arrive as the upstream sent them", async () => {
    const { headers } = await send(`${gateway.url}/raw/cookies`);
    assert.deepEqual(headers.slice(0, 4), [
      ["Set-Cookie", "a=1"],
      ["set-cookie", "b=2"],
      ["X-Latin", "caf\u00e9"],
      ["X-Empty", ""],
    ]);
  });

  it("headers: off and headers_upstream: off leave no trace of the gateway", async () => {
    for (const path of ["/plain", "/closed", "/nowhere-at-all"]) {
      const { headers } = await send(`${quiet.url}${path}`);
      const ours = headers.filter(([name]) => /^(via|server|x-kong-.*)$/i.test(name));
      assert.deepEqual(ours, [], path);
    }
    assert.equal(receivedHeader(await received("/plain", [], quiet), "x-kong-request-id"), undefined);
  });
});
