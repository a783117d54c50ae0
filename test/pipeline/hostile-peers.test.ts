/**
 * Clients and upstreams that choose the worst moment or the smallest pieces, against plugins that wait: one
 * request gets one answer, and what is held is bounded by what it holds.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Hooks } from "@gatehouse/sdk";
import { startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { startRawOrigin } from "../support/raw-origin.ts";
import { Plane } from "./plane.ts";

/** A hook that lets the test say when it is done. */
function gate() {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const wait = async () => {
    reached.resolve();
    await opened.promise;
  };
  return { reached: reached.promise, open: opened.resolve, wait };
}

describe("one request, one answer", () => {
  it("an upstream that breaks its body while a header filter is waited for gives one 502", async () => {
    let calls = 0;
    const filter: Hooks = {
      headerFilter: async () => {
        calls++;
        await new Promise((resolve) => setImmediate(resolve));
      },
    };
    await using origin = await startRawOrigin(({ socket, path }) =>
      socket.write(
        path === "/broken"
          ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
          : "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext",
      ),
    );
    const plane = await Plane.serving(origin, { broken: [filter], next: [] });
    await using client = await openRaw(plane.port);
    client.write("GET /broken HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    const first = await client.read();
    const second = await client.read();
    assert.equal(first.status, 502);
    assert.equal(first.framing, "length");
    assert.equal(second.status, 200);
    assert.equal(second.body.toString(), "next");
    assert.equal(calls, 2, "once for the response that came, once for the error that went out");
    await plane.close();
  });

  it("a client that breaks its body while a header filter is waited for gets one 400", async () => {
    const { reached, open, wait } = gate();
    let first = true;
    const filter: Hooks = {
      headerFilter: () => {
        if (!first) return;
        first = false;
        return wait();
      },
    };
    await using origin = await startRawOrigin(({ socket }) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    );
    const plane = await Plane.serving(origin, { early: [filter] });
    await using client = await openRaw(plane.port);
    client.write("POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    await reached;
    client.write("ZZ\r\n");
    const answer = await client.read();
    open();
    assert.equal(answer.status, 400);
    await client.closed();
    await plane.close();
  });
});

describe("small pieces", () => {
  const CHUNKS = 300_000;
  const ones = "1\r\nx\r\n".repeat(CHUNKS);

  it("a body of one-byte chunks that a plugin reads whole costs what it holds", async () => {
    await using origin = await startOrigin();
    const lengths: number[] = [];
    const reads: Hooks = {
      async access(ctx) {
        const body = await ctx.request.readBody();
        lengths.push(body?.length ?? -1);
      },
    };
    const plane = await Plane.serving(origin, { read: [reads] });
    await using client = await openRaw(plane.port);
    client.write(`POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${ones}0\r\n\r\n`);
    const answer = await client.read();
    assert.equal(answer.status, 200);
    assert.deepEqual(lengths, [CHUNKS]);
    assert.equal(JSON.parse(answer.body.toString()).bodyLength, CHUNKS);
    await plane.close();
  });

  it("a response of one-byte chunks crosses a body filter that waits in few pieces", async () => {
    await using origin = await startRawOrigin(({ socket }) =>
      socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${ones}0\r\n\r\n`),
    );
    let crossings = 0;
    const filter: Hooks = {
      bodyFilter: async (_ctx, chunk) => {
        crossings++;
        await new Promise((resolve) => setImmediate(resolve));
        return chunk;
      },
    };
    const plane = await Plane.serving(origin, { ones: [filter] });
    await using client = await openRaw(plane.port);
    client.write("GET /ones HTTP/1.1\r\nHost: a\r\n\r\n");
    const answer = await client.read();
    assert.equal(answer.body.toString(), "x".repeat(CHUNKS));
    assert.ok(crossings < 1000, `${crossings} crossings`);
    await plane.close();
  });

  it("a filter that makes much out of little is held back by a client that reads nothing", async () => {
    await using origin = await startRawOrigin(({ socket }) =>
      socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${ones}0\r\n\r\n`),
    );
    const big = Buffer.alloc(1 << 20, "y");
    let crossings = 0;
    const filter: Hooks = {
      bodyFilter: async (_ctx, chunk) => {
        if (chunk.length === 0) return;
        crossings++;
        return big;
      },
    };
    const plane = await Plane.serving(origin, { much: [filter] });
    await using client = await openRaw(plane.port);
    client.socket.pause();
    client.write("GET /much HTTP/1.1\r\nHost: a\r\n\r\n");
    // The kernel's buffers take some megabytes; then nothing more is asked of the filter.
    let before = -1;
    while (crossings !== before || crossings === 0) {
      before = crossings;
      for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(crossings < 16, `${crossings} megabytes were made for a client that reads nothing`);
    client.socket.resume();
    const answer = await client.read();
    assert.equal(answer.body.length, crossings << 20);
    await plane.close();
  });
});

it("a body over the limit ends the connection even if its pieces keep coming in the same read", async () => {
  await using origin = await startOrigin();
  const plane = await Plane.serving(origin, { small: [] }, { client_max_body_size: "8" });
  await using client = await openRaw(plane.port);
  client.write(
    `POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${"1\r\na\r\n".repeat(3)}${"9\r\n123456789\r\n".repeat(2)}`,
  );
  assert.equal((await client.read()).status, 413);
  await client.closed();
  client.end();
  const { promise, resolve } = Promise.withResolvers<number>();
  const count = () =>
    plane.server.getConnections((_, open) => (open === 0 ? resolve(open) : setImmediate(count)));
  count();
  assert.equal(await promise, 0);
  await plane.close();
});
