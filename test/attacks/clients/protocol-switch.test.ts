/** Requests that want the connection to become another one: h2c, tunnels, HTTP/2's preface, other protocols. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fieldValue, request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();

describe("protocol switches", () => {
  for (const [what, bytes, status] of [
    ["CONNECT to a host", "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n", 405],
    [
      "CONNECT with a body",
      `CONNECT evil.test:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde${SMUGGLED}`,
      405,
    ],
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
    ["a request that calls itself HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505],
    ["a version that is none", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400],
    ["HTTP/0.9", `GET /smuggled\r\n${SMUGGLED}`, 400],
    ["TLS on a plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400],
    ["SSH", "SSH-2.0-OpenSSH_9.9\r\n\r\n", 400],
    ["a response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400],
    ["an expectation that is not known", request("POST", "/", ["Expect: switch"], SMUGGLED), 417],
  ] as const)
    it(`${what} (${status})`, () => attack.bounces(Buffer.from(bytes, "latin1"), status));

  const upgrade = (protocol: string) => [
    "Connection: Upgrade, HTTP2-Settings",
    `Upgrade: ${protocol}`,
    "HTTP2-Settings: AAMAAABkAAQAoAAA",
  ];

  for (const protocol of ["TLS/1.2", "HTTP/2.0", "x", "h2c, x"])
    it(`Upgrade: ${protocol} (501)`, () =>
      attack.bounces(request("GET", "/", upgrade(protocol)) + SMUGGLED, 501));

  it("Upgrade: h2c is an offer that is declined: what follows is the next request", async () => {
    await attack.passes(request("GET", "/a", upgrade("h2c")) + request("GET", "/b"), [
      ["/a", ""],
      ["/b", ""],
    ]);
  });

  it("Upgrade with a body keeps the body where it is", async () => {
    const fields = ["Connection: Upgrade", "Upgrade: h2c", `Content-Length: ${SMUGGLED.length}`];
    await attack.passes(request("POST", "/a", fields, SMUGGLED), [["/a", SMUGGLED]]);
  });

  it("an upstream that switches although nobody asked gets no tunnel", async () => {
    await attack.begin();
    const { between } = attack;
    const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    const response = await between.get("/a", ["Connection: Upgrade", "Upgrade: h2c"], switching);
    assert.equal(response.status, 502);
    assert.equal(fieldValue(response.headers, "upgrade"), undefined);
    await attack.begin();
    await attack.othersAreServed();
  });
});
