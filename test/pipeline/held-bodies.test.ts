/**
 * Bodies that plugins want whole: small ones in memory, larger ones on disk; what hooks see and what goes on is the
 * same in every size, and nothing is left when a request is over, whatever became of it.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import type { Hooks } from "@gatehouse/sdk";
import { send } from "../support/client.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";
import { openRaw, type RawClient } from "../support/raw-client.ts";
import { fieldOf, startRawOrigin } from "../support/raw-origin.ts";
import { Plane, type Plugins } from "./plane.ts";

const KIB = 1024;
const BUFFER = 64 * KIB;
const CAP = 1024 * KIB;
const FLAGS = { body_buffer_memory_bytes: String(BUFFER), body_buffer_max_bytes: String(CAP) };
const BYTES = randomBytes(CAP + 1);
const SIZES = [1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, CAP - 1, CAP];

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const serving = (
  origin: { readonly url: string },
  plugins: Plugins,
  flags: Record<string, string> = {},
): Promise<Plane> => Plane.serving(origin, plugins, { ...FLAGS, ...flags });

/** An upstream that says what body came, and how it was framed. */
const tells = (): Promise<Origin> =>
  startOrigin((received, response) => {
    const length = receivedHeader(received, "content-length") ?? null;
    response.end(JSON.stringify([received.bodyLength, received.bodySha256, length]));
  });

/** A plugin that reads the request's body. */
function reader() {
  const seen: (string | null)[] = [];
  const hooks: Hooks = {
    access: async (ctx) => {
      const body = await ctx.request.readBody();
      seen.push(body && sha256(body));
    },
  };
  return { seen, hooks };
}

function framed(body: Uint8Array, framing: "length" | "chunked"): Buffer {
  if (framing === "length")
    return Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]);
  const parts: Uint8Array[] = [Buffer.from("Transfer-Encoding: chunked\r\n\r\n")];
  for (let at = 0; at < body.length; at += 50_000) {
    const chunk = body.subarray(at, at + 50_000);
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

const post = (path: string, body: Uint8Array, framing: "length" | "chunked" = "length", method = "POST") =>
  Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: a\r\n`), framed(body, framing)]);

/** Waits until nothing is on disk. */
async function emptied(plane: Plane): Promise<void> {
  while (plane.spilledBytes > 0) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits until something is. */
async function spilled(plane: Plane): Promise<void> {
  while (plane.spilledBytes === 0) await new Promise((resolve) => setImmediate(resolve));
}

describe("request bodies that a plugin wants whole", () => {
  it("a plugin and the upstream get every byte, on both sides of the size from which on it is on disk", async () => {
    await using origin = await tells();
    const { seen, hooks } = reader();
    await using plane = await serving(origin, { r: [hooks] });
    await using client = await openRaw(plane.port);
    for (const framing of ["length", "chunked"] as const) {
      for (const size of SIZES) {
        const body = BYTES.subarray(0, size);
        client.write(post("/r", body, framing));
        const answer = await client.read();
        assert.equal(answer.status, 200);
        assert.deepEqual(JSON.parse(answer.body.toString()), [size, sha256(body), String(size)]);
        assert.equal(seen.pop(), sha256(body));
      }
    }
    await emptied(plane);
  });

  for (const framing of ["length", "chunked"] as const)
    it(`a body over the cap with ${framing} is refused with 413, and no upstream hears of it`, async () => {
      await using origin = await tells();
      const { seen, hooks } = reader();
      await using plane = await serving(origin, { r: [hooks] });
      await using client = await openRaw(plane.port);
      client.write(post("/r", BYTES, framing));
      const answer = await client.read();
      assert.equal(answer.status, 413);
      await client.closed();
      assert.deepEqual([seen, origin.requests.length], [[], 0]);
      await emptied(plane);
    });

  it("a client that waits to be told is refused at once when its body is over the cap", async () => {
    await using origin = await tells();
    await using plane = await serving(origin, { r: [reader().hooks] });
    await using client = await openRaw(plane.port);
    client.write(`POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: ${CAP + 1}\r\nExpect: 100-continue\r\n\r\n`);
    assert.equal((await client.read()).status, 413);
  });

  it("client_max_body_size holds for a body that a plugin reads, too", async () => {
    await using origin = await tells();
    await using plane = await serving(origin, { r: [reader().hooks] }, { client_max_body_size: "1000" });
    for (const [size, status] of [
      [1000, 200],
      [1001, 413],
    ] as const) {
      await using client = await openRaw(plane.port);
      client.write(post("/r", BYTES.subarray(0, size), "chunked"));
      assert.equal((await client.read()).status, status);
    }
  });

  it("a plugin that lives with a body that it could not have does not send half of it up", async () => {
    await using origin = await tells();
    const hooks: Hooks = {
      access: async (ctx) => {
        await Promise.resolve(ctx.request.readBody()).catch(() => {});
      },
    };
    await using plane = await serving(origin, { r: [hooks] });
    await using client = await openRaw(plane.port);
    client.write(post("/r", BYTES, "chunked"));
    assert.equal((await client.read()).status, 413);
    assert.equal(origin.requests.length, 0);
  });

  it("what a plugin puts in the place of a body on disk goes up", async () => {
    await using origin = await tells();
    const hooks: Hooks = {
      access: async (ctx) => {
        const body = (await ctx.request.readBody()) as Uint8Array;
        ctx.request.setBody(body.subarray(0, 5));
      },
    };
    await using plane = await serving(origin, { r: [hooks] });
    await using client = await openRaw(plane.port);
    client.write(post("/r", BYTES.subarray(0, CAP)));
    const [length, hash] = JSON.parse((await client.read()).body.toString());
    assert.deepEqual([length, hash], [5, sha256(BYTES.subarray(0, 5))]);
    await emptied(plane);
  });

  it("a body that finds no room on disk is a 503, the log says why, and the next one is served", async () => {
    await using origin = await tells();
    await using plane = await serving(
      origin,
      { r: [reader().hooks] },
      { body_buffer_disk_bytes: String(4 * BUFFER) },
    );
    {
      await using client = await openRaw(plane.port);
      client.write(post("/r", BYTES.subarray(0, CAP)));
      assert.equal((await client.read()).status, 503);
      await client.closed();
    }
    assert.match(plane.errors.join(), /all of body_buffer_disk_bytes is taken/);
    await emptied(plane);
    assert.equal(
      (await send(`${plane.url}/r`, { method: "POST", body: BYTES.subarray(0, 2 * BUFFER) })).status,
      200,
    );
  });

  it("a client that leaves in the middle leaves nothing on disk", async () => {
    await using origin = await tells();
    await using plane = await serving(origin, { r: [reader().hooks] });
    {
      await using client = await openRaw(plane.port);
      client.write(post("/r", BYTES.subarray(0, CAP)).subarray(0, CAP / 2));
      await spilled(plane);
    }
    await emptied(plane);
    assert.equal(origin.requests.length, 0);
  });

  it("a body that breaks the protocol in the middle is a 400 and leaves nothing on disk", async () => {
    await using origin = await tells();
    await using plane = await serving(origin, { r: [reader().hooks] });
    await using client = await openRaw(plane.port);
    client.write(post("/r", BYTES.subarray(0, CAP), "chunked").subarray(0, CAP / 2));
    await spilled(plane);
    client.write(Buffer.alloc(60_000, "\r"));
    assert.equal((await client.read()).status, 400);
    await emptied(plane);
  });

  it("a body on disk is sent again when the kept connection turned out to be stale", async () => {
    const body = BYTES.subarray(0, CAP);
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<Buffer>();
    await using origin = await startRawOrigin(({ socket, head, rest, nth }) => {
      if (head.startsWith("GET")) return void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      if (nth === 2) return void socket.destroy(); // the connection that the GET left behind
      const parts = [rest];
      let left = Number(fieldOf(head, "content-length")) - rest.length;
      socket.on("data", (piece: Buffer) => {
        parts.push(piece);
        left -= piece.length;
        if (left > 0) return;
        arrive(Buffer.concat(parts));
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      });
    });
    await using plane = await serving(origin, { r: [reader().hooks] });
    await using client = await openRaw(plane.port);
    client.write("GET /r HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).status, 200);
    client.write(post("/r", body, "length", "PUT"));
    assert.equal((await client.read()).status, 200);
    assert.ok((await arrived).equals(body));
    assert.equal(origin.accepted, 2);
    await emptied(plane);
  });

  it("an upstream that answers before it has read a body on disk is heard", async () => {
    await using origin = await startRawOrigin(({ socket }) => {
      socket.pause();
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
    });
    await using plane = await serving(origin, { r: [reader().hooks] });
    await using client = await openRaw(plane.port);
    client.write(post("/r", BYTES.subarray(0, CAP)));
    assert.equal((await client.read()).body.toString(), "early");
    await emptied(plane);
  });

  it("hooks look at bodies from disk one after the other where there is no memory for all", async () => {
    await using origin = await tells();
    let looking = 0;
    let most = 0;
    const hooks: Hooks = {
      access: async (ctx) => {
        await ctx.request.readBody();
        most = Math.max(most, ++looking);
        await new Promise((resolve) => setImmediate(resolve));
        looking--;
      },
    };
    await using plane = await serving(origin, { r: [hooks] }, { body_buffer_thread_bytes: String(CAP) });
    const body = BYTES.subarray(0, CAP - KIB);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => send(`${plane.url}/r`, { method: "POST", body })),
    );
    for (const answer of answers) assert.deepEqual((answer.json() as unknown[])[1], sha256(body));
    assert.equal(most, 1);
    await emptied(plane);
  });

  it("a client that leaves while its body waits for memory gives its turn to the next", async () => {
    await using origin = await tells();
    const { promise: free, resolve: release } = Promise.withResolvers<void>();
    const { promise: first, resolve: began } = Promise.withResolvers<void>();
    let calls = 0;
    const hooks: Hooks = {
      access: async (ctx) => {
        await ctx.request.readBody();
        if (++calls > 1) return;
        began();
        await free;
      },
    };
    await using plane = await serving(origin, { r: [hooks] }, { body_buffer_thread_bytes: String(CAP) });
    const body = BYTES.subarray(0, CAP);
    await using holder = await openRaw(plane.port);
    holder.write(post("/r", body));
    await first;
    const leaving: RawClient = await openRaw(plane.port);
    leaving.write(post("/r", body));
    while (plane.spilledBytes < 2 * CAP) await new Promise((resolve) => setImmediate(resolve));
    await using next = await openRaw(plane.port);
    next.write(post("/r", body));
    await leaving[Symbol.asyncDispose]();
    release();
    assert.equal((await holder.read()).status, 200);
    assert.equal((await next.read()).status, 200);
    await emptied(plane);
  });
});

describe("response bodies that a plugin wants whole", () => {
  /** An upstream that sends as much as the path says. */
  const sends = (): Promise<Origin> =>
    startOrigin((received, response) => {
      const [, size, framing] = /(\d+)\/(length|chunked)$/.exec(received.url) as RegExpExecArray;
      const body = BYTES.subarray(0, Number(size));
      if (framing === "length") response.setHeader("Content-Length", body.length);
      else response.setHeader("Transfer-Encoding", "chunked");
      response.end(body);
    });
  const seen: string[] = [];
  const look: Hooks = {
    response: (ctx) => void seen.push(sha256(ctx.response.body as Uint8Array)),
  };
  const changing: Hooks = {
    response: (ctx) => ctx.response.setBody((ctx.response.body as Uint8Array).subarray(1)),
  };
  const filtering: Hooks = { bodyFilter: (_ctx, chunk) => chunk.map((byte) => byte ^ 1) };

  it("a plugin and the client get every byte, on both sides of the size from which on it is on disk", async () => {
    await using origin = await sends();
    await using plane = await serving(origin, {
      look: [look],
      change: [changing],
      filter: [look, filtering],
    });
    for (const framing of ["length", "chunked"] as const) {
      for (const size of SIZES) {
        const body = BYTES.subarray(0, size);
        const looked = await send(`${plane.url}/look/${size}/${framing}`);
        assert.equal(looked.header("content-length"), String(size));
        assert.ok(looked.bytes.equals(body));
        assert.equal(seen.pop(), sha256(body));
        const changed = await send(`${plane.url}/change/${size}/${framing}`);
        assert.ok(changed.bytes.equals(body.subarray(1)));
        const filtered = await send(`${plane.url}/filter/${size}/${framing}`);
        assert.ok(filtered.bytes.equals(body.map((byte) => byte ^ 1)));
      }
    }
    await emptied(plane);
  });

  for (const framing of ["length", "chunked"] as const)
    it(`a response over the cap with ${framing} is a 502`, async () => {
      await using origin = await sends();
      await using plane = await serving(origin, { look: [look] });
      assert.equal((await send(`${plane.url}/look/${CAP + 1}/${framing}`)).status, 502);
      assert.match(plane.errors.join(), new RegExp(`response over ${CAP} bytes`));
      await emptied(plane);
    });

  it("a response that finds no room on disk is a 503", async () => {
    await using origin = await sends();
    await using plane = await serving(origin, { look: [look] }, { body_buffer_disk_bytes: "0" });
    assert.equal((await send(`${plane.url}/look/${CAP}/chunked`)).status, 503);
    assert.equal((await send(`${plane.url}/look/${BUFFER}/chunked`)).status, 200);
  });

  it("a client that reads slowly gets every byte of a response from disk; one that leaves frees it", async () => {
    const body = Buffer.concat(Array.from({ length: 8 }, () => BYTES));
    await using origin = await startOrigin((_received, response) => {
      response.end(body);
    });
    await using plane = await serving(origin, { look: [look] }, { body_buffer_max_bytes: String(64 * CAP) });
    const slow = await openRaw(plane.port);
    slow.socket.pause();
    slow.write("GET /look HTTP/1.1\r\nHost: a\r\n\r\n");
    const leaving = await openRaw(plane.port);
    leaving.socket.pause();
    leaving.write("GET /look HTTP/1.1\r\nHost: a\r\n\r\n");
    while (seen.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await leaving[Symbol.asyncDispose]();
    slow.socket.resume();
    assert.equal(sha256((await slow.read()).body), sha256(body));
    await slow[Symbol.asyncDispose]();
    await emptied(plane);
  });
});
