/** CL.0: a body that somebody on the way does not expect, because of the method, the route, or an early answer. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { openRaw } from "../../support/raw-client.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();
const LENGTH = `Content-Length: ${SMUGGLED.length}`;

describe("CL.0: a body is a body, whoever reads it", () => {
  for (const method of ["GET", "DELETE", "OPTIONS", "POST", "PUT", "PROPFIND"])
    it(`the body of a ${method} goes up as its body`, async () => {
      await attack.passes(request(method, "/a", [LENGTH], SMUGGLED), [["/a", SMUGGLED]]);
    });

  it("the body of a HEAD is its body, and the answer to it has none", async () => {
    await attack.begin();
    await using client = await openRaw(attack.between.port);
    client.write(request("HEAD", "/a", [LENGTH], SMUGGLED) + request("GET", "/b"));
    assert.equal((await client.read({ head: true })).status, 200);
    assert.equal((await client.read()).body.toString(), "/b");
    await attack.othersAreServed();
  });

  it("the body of a TRACE (400)", () => attack.bounces(request("TRACE", "/", [LENGTH], SMUGGLED), 400));

  for (const [what, path, status] of [
    ["a plugin answers for", "/own", 200],
    ["a plugin refuses", "/guarded", 401],
  ] as const)
    for (const [framing, fields, body] of [
      ["with a length", [LENGTH], SMUGGLED],
      [
        "in chunks",
        ["Transfer-Encoding: chunked"],
        `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
      ],
    ] as const)
      it(`the body ${framing} of a request that ${what} is dropped whole before the next request`, async () => {
        await attack.begin();
        await using client = await openRaw(attack.between.port);
        client.write(request("POST", path, fields, body) + request("GET", "/b"));
        assert.equal((await client.read()).status, status);
        assert.equal((await client.read()).body.toString(), "/b");
        assert.deepEqual(
          attack.between.seen.map(({ target }) => target),
          ["/b"],
        );
        await attack.othersAreServed();
      });

  it("a body that comes after an early answer of the upstream is not the upstream's next request", async () => {
    await attack.begin();
    const { between } = attack;
    between.onHead = (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
    await using client = await openRaw(between.port);
    client.write(request("POST", "/a", [LENGTH]));
    assert.equal((await client.read()).body.toString(), "early");
    between.onHead = null;
    client.write(SMUGGLED);
    await attack.othersAreServed();
  });

  it("a body behind 'Expect: 100-continue' that was answered early ends its connection", async () => {
    await attack.begin();
    await using client = await openRaw(attack.between.port);
    client.write(request("POST", "/guarded", [LENGTH, "Expect: 100-continue"]));
    assert.equal((await client.read()).status, 401);
    client.write(SMUGGLED);
    await client.closed();
    assert.equal(client.pending.length, 0);
    assert.deepEqual(attack.between.seen, []);
    await attack.othersAreServed();
  });
});
