/** What plugins see of a WebSocket, and what they can make of it: hooks that a test writes, between real sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { Context } from "@gatehouse/sdk";
import { handshake, SWITCHED } from "../support/handshake.ts";
import { openRaw } from "../support/raw-client.ts";
import { type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";
import { Plane, type Plugins } from "./plane.ts";

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

let logged: { status: number; requestBytes: number; responseBytes: number; totalMs: number }[] = [];
const ran: string[] = [];
const log = (ctx: Context) => {
  const { requestBytes, responseBytes, totalMs } = ctx.measures;
  logged.push({ status: ctx.response.status, requestBytes, responseBytes, totalMs });
};
let release = Promise.withResolvers<void>();

const PLUGINS: Plugins = {
  logged: [
    {
      log,
      response: () => void ran.push("response"),
      bodyFilter: (_ctx, chunk) => {
        ran.push("bodyFilter");
        return chunk;
      },
      headerFilter: (ctx) => {
        ran.push(`headerFilter ${ctx.response.status}`);
        ctx.response.headers.set("X-Seen", "yes");
      },
    },
  ],
  waits: [
    {
      headerFilter: async () => {
        await tick();
        await tick();
      },
    },
  ],
  held: [{ log, headerFilter: () => release.promise }],
  forbids: [
    {
      log,
      headerFilter: (ctx) => {
        ctx.response.status = 403;
      },
    },
  ],
  fails: [
    {
      log,
      headerFilter: () => {
        throw new Error("it broke");
      },
    },
  ],
  "takes-upgrade-away": [{ access: (ctx) => void ctx.request.headers.remove("Upgrade") }],
  "takes-key-away": [{ access: (ctx) => void ctx.request.headers.remove("Sec-WebSocket-Key") }],
  posts: [
    {
      access: (ctx) => {
        ctx.request.method = "POST";
      },
    },
  ],
  "asks-by-itself": [
    {
      access: (ctx) => {
        ctx.request.headers.set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        ctx.request.headers.set("Sec-WebSocket-Version", "13");
        ctx.request.headers.set("Upgrade", "websocket");
      },
    },
  ],
};

describe("phases of a WebSocket", () => {
  let origin: RawOrigin;
  let plane: Plane;
  let upstream = Promise.withResolvers<Socket>();

  before(async () => {
    origin = await startRawOrigin(({ socket, head }) => {
      if (!/^upgrade: websocket$/im.test(head)) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
        return;
      }
      socket.removeAllListeners("data");
      socket.write(`${SWITCHED}early`);
      upstream.resolve(socket);
    });
    plane = new Plane(origin, PLUGINS);
    plane.server.listen(0, "127.0.0.1");
    await once(plane.server, "listening");
  });
  after(async () => {
    await plane?.close();
    await origin?.close();
  });

  /** Sends a handshake; the upstream's socket is what it leads to. */
  async function begin(path: string, early = "") {
    upstream = Promise.withResolvers();
    release = Promise.withResolvers();
    logged = [];
    ran.length = 0;
    const client = await openRaw(plane.port);
    client.write(handshake(path) + early);
    return client;
  }

  async function untilLogged(): Promise<(typeof logged)[number]> {
    while (logged.length === 0) await tick();
    assert.equal(logged.length, 1);
    return logged[0] as (typeof logged)[number];
  }

  it("header_filter sees the 101; response and body_filter see nothing; log comes at the end, with the bytes", async () => {
    await using client = await begin("/logged");
    const answer = await client.read();
    assert.equal(answer.status, 101);
    assert.equal(new Map(answer.headers).get("X-Seen"), "yes");
    const socket = await upstream.promise;
    client.write("x".repeat(10_000));
    let heard = 0;
    while (heard < 10_000) heard += ((await once(socket, "data"))[0] as Buffer).length;
    assert.equal(logged.length, 0, "the request is not over");
    socket.end("y".repeat(20_000));
    await client.closed();
    client.end();
    const line = await untilLogged();
    assert.equal(line.status, 101);
    assert.ok(line.requestBytes > 10_000 && line.requestBytes < 10_500, String(line.requestBytes));
    assert.ok(line.responseBytes > 20_000 && line.responseBytes < 20_700, String(line.responseBytes));
    assert.equal(client.pending.length, 20_005);
    assert.deepEqual(ran, ["headerFilter 101"]);
  });

  it("a header filter that waits loses nothing of what either side says meanwhile", async () => {
    await using client = await begin("/waits", "hello");
    assert.equal((await client.read()).status, 101);
    const socket = await upstream.promise;
    const [heard] = await once(socket, "data");
    assert.equal(String(heard), "hello");
    socket.end(" and late");
    await client.closed();
    assert.equal(client.pending.toString(), "early and late");
  });

  it("a client that leaves while a header filter waits takes the upstream's connection along", async () => {
    const client = await begin("/held");
    const socket = await upstream.promise;
    const gone = once(socket, "close");
    socket.resume();
    client.socket.destroy();
    await gone;
    release.resolve();
    await untilLogged();
  });

  for (const [title, path, status] of [
    ["makes another status of it", "/forbids", 403],
    ["fails", "/fails", 500],
  ] as const) {
    it(`a header filter that ${title} ends the upstream's connection, and the client's after its answer`, async () => {
      await using client = await begin(path);
      const answer = await client.read();
      assert.equal(answer.status, status);
      assert.equal(new Map(answer.headers).get("Connection"), "close");
      assert.ok(!answer.headers.some(([name]) => name === "Upgrade"));
      const socket = await upstream.promise;
      if (!socket.closed) await once(socket.resume(), "close");
      await client.closed();
      assert.ok(!client.pending.toString().includes("early"));
      assert.equal((await untilLogged()).status, status);
    });
  }

  for (const [title, path] of [
    ["takes Upgrade away", "/takes-upgrade-away"],
    ["takes the key away", "/takes-key-away"],
    ["sets another method", "/posts"],
  ] as const) {
    it(`a plugin that ${title} makes an ordinary request of it`, async () => {
      await using client = await begin(path);
      const answer = await client.read();
      assert.equal(answer.status, 200);
      assert.equal(answer.body.toString(), "plain");
      assert.doesNotMatch(origin.heads.at(-1) as string, /^(upgrade|connection:.*upgrade)/im);
    });
  }

  it("a plugin cannot ask for a WebSocket that the client has not asked for", async () => {
    await using client = await openRaw(plane.port);
    client.write("GET /asks-by-itself HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).status, 200);
  });
});
