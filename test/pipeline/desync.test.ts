/**
 * What plugins and peers could use to make two sides of a connection disagree about where a message ends: one
 * request stays one request upstream, and an answer is read by whoever asked for it.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { openRaw } from "../support/raw-client.ts";
import { startRawOrigin } from "../support/raw-origin.ts";
import { Plane } from "./plane.ts";

const get = (path: string, ...fields: string[]) =>
  `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n`;

describe("an answer without a body that a plugin makes one with a body", () => {
  for (const [name, upstream] of [
    ["304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"],
    ["204", "HTTP/1.1 204 No Content\r\n\r\n"],
  ] as const) {
    it(`${name} as 200: the next answer on the connection is the next request's`, async () => {
      await using origin = await startRawOrigin(({ socket, path }) =>
        socket.write(path === "/r" ? upstream : "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET"),
      );
      await using plane = await Plane.serving(origin, {
        r: [
          {
            headerFilter: (ctx) => {
              ctx.response.status = 200;
            },
          },
        ],
        o: [],
      });
      await using client = await openRaw(plane.port);
      client.write(get("/r") + get("/o"));
      const first = await client.read();
      assert.deepEqual([first.status, first.body.length], [200, 0]);
      assert.equal((await client.read()).body.toString(), "SECRET");
    });
  }
});

describe("a body that a plugin sets", () => {
  it("goes up alone, although the client's own was not read and the upstream is slow", async () => {
    const BYTES = 12 * 1024 * 1024;
    const hidden = "GET /hidden HTTP/1.1\r\nHost: victim\r\n\r\n";
    let read = "";
    const whole = Promise.withResolvers<void>();
    const server = createServer((socket) => {
      socket.pause();
      server.once("read", () => socket.resume());
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        read += chunk.toString("latin1").replaceAll("a", "");
        received += chunk.length;
        if (received < BYTES) return;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
        whole.resolve();
      });
    });
    let received = 0;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using plane = await Plane.serving(
      { url: `http://127.0.0.1:${port}` },
      { r: [{ access: (ctx) => ctx.request.setBody(Buffer.alloc(BYTES, "a")) }] },
    );
    await using client = await openRaw(plane.port);
    client.write(`POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`);
    await once(server, "connection");
    server.emit("read");
    await whole.promise;
    assert.equal((await client.read()).body.toString(), "OK");
    assert.ok(!read.includes("hidden"), read.slice(-200));
    server.close();
  });
});

describe("a hook that starts to read the body and looks at it later", () => {
  it("does no harm when the client leaves meanwhile", async () => {
    await using origin = await startRawOrigin(({ socket }) =>
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    );
    const reading = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    await using plane = await Plane.serving(origin, {
      r: [
        {
          access: async (ctx) => {
            const body = ctx.request.readBody();
            reading.resolve();
            await left.promise;
            await new Promise((resolve) => setImmediate(resolve));
            await body;
          },
        },
      ],
      o: [],
    });
    await using client = await openRaw(plane.port);
    client.write("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc");
    await reading.promise;
    client.socket.destroy();
    while (plane.statuses.length === 0) await new Promise((resolve) => setImmediate(resolve));
    left.resolve();
    await using next = await openRaw(plane.port);
    next.write(get("/o"));
    assert.equal((await next.read()).status, 200);
  });
});

describe("a client that waits to be told to send its body", () => {
  for (const [name, fields, hook] of [
    ["lists Expect in Connection", "Connection: expect\r\n", () => {}],
    ["is asked by a plugin's removal of Expect", "", "remove"],
  ] as const) {
    it(`is not left waiting when it ${name}`, async () => {
      await using origin = await startRawOrigin(({ socket, head, rest }) => {
        const answer = () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if (/^expect:/im.test(head)) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
        if (rest.length > 0) answer();
        else socket.once("data", answer);
      });
      await using plane = await Plane.serving(origin, {
        r: [{ access: (ctx) => (hook === "remove" ? ctx.request.headers.remove("expect") : undefined) }],
      });
      await using client = await openRaw(plane.port);
      client.write(
        `POST /r HTTP/1.1\r\nHost: a\r\n${fields}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`,
      );
      assert.equal((await client.read()).status, 100);
      client.write("abc");
      assert.equal((await client.read()).status, 200);
    });
  }
});

describe("a body that comes too slowly", () => {
  it("is answered 408 with the end of the connection announced", async () => {
    await using origin = await startRawOrigin(() => {});
    await using plane = await Plane.serving(origin, { r: [] }, { "client-body-timeout-ms": "100" });
    await using client = await openRaw(plane.port);
    client.write("POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
    const { status, headers } = await client.read();
    assert.equal(status, 408);
    assert.ok(headers.some(([name, value]) => name.toLowerCase() === "connection" && value === "close"));
  });
});
