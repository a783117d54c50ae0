/** Floods of pipelined requests: answered in order, one at a time upstream, and no faster than they are read. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fieldValue, request } from "../../support/between.ts";
import { openRaw } from "../../support/raw-client.ts";
import { Attack } from "./attack.ts";

const attack = new Attack();

describe("pipelining floods", () => {
  it("a flood beyond max_requests_per_connection ends with the last of them", async () => {
    await attack.begin();
    await using client = await openRaw(attack.between.port);
    client.write(request("GET", "/own").repeat(20_000));
    for (let i = 0; i < 10_000; i++) {
      const { status, headers } = await client.read();
      assert.equal(status, 200);
      assert.equal(fieldValue(headers, "connection"), i === 9_999 ? "close" : undefined);
    }
    await client.closed();
    assert.equal(client.pending.length, 0);
    await attack.othersAreServed();
  });

  it("9,000 requests in one write are answered in order, while others are served", async () => {
    await attack.begin();
    await using client = await openRaw(attack.between.port);
    client.write(request("GET", "/own").repeat(9_000) + request("GET", "/last"));
    const others = Promise.all([attack.victim("/v/1"), attack.victim("/v/2"), attack.victim("/v/3")]);
    for (let i = 0; i < 9_000; i++) assert.equal((await client.read()).status, 200);
    assert.equal((await client.read()).body.toString(), "/last");
    assert.deepEqual(await others, ["/v/1", "/v/2", "/v/3"]);
  });

  it("requests of one connection never run at the upstream at the same time", async () => {
    await attack.begin();
    let open = 0;
    let most = 0;
    attack.between.answer = (socket) => {
      most = Math.max(most, ++open);
      setImmediate(() => {
        open--;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      });
    };
    await using client = await openRaw(attack.between.port);
    client.write(request("GET", "/flood").repeat(500));
    for (let i = 0; i < 500; i++) assert.equal((await client.read()).status, 200);
    assert.equal(most, 1);
  });

  it("a flood whose answers nobody reads stops at the upstream, too, and takes no memory", async () => {
    await attack.begin();
    const { between } = attack;
    const body = "x".repeat(10_000);
    between.answer = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const rss = () =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${between.gateway.pid}/status`, "utf8"))?.[1]);
    const before = rss();
    await using client = await openRaw(between.port);
    client.socket.pause();
    client.write(request("GET", "/flood").repeat(100_000));
    // The kernel's buffers take some megabytes of answers; then nothing more is asked of the upstream.
    let asked = -1;
    while (asked !== between.seen.length || asked === 0) {
      asked = between.seen.length;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(asked < 20_000, `${asked} requests were made for a client that reads nothing`);
    assert.ok(rss() - before < 64 * 1024, `${(rss() - before) / 1024} MiB`);
    client.socket.destroy();
    await attack.begin();
    await attack.othersAreServed();
  });

  it("what is pipelined behind a refused request is not read", () =>
    attack.bounces(request("GET", "/", ["A : b"]) + request("GET", "/smuggled").repeat(1000), 400));

  it("what is pipelined behind a 'Connection: close' is not read", async () => {
    await attack.begin();
    await using client = await openRaw(attack.between.port);
    client.write(request("GET", "/a", ["Connection: close"]) + request("GET", "/smuggled").repeat(1000));
    assert.equal((await client.read()).body.toString(), "/a");
    await client.closed();
    assert.equal(client.pending.length, 0);
    assert.deepEqual(
      attack.between.seen.map(({ target }) => target),
      ["/a"],
    );
  });

  it("a flood of empty lines is not a request, and ends (400)", () =>
    attack.bounces("\r\n".repeat(50_000), 400));
});
