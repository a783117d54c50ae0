/** An upstream that answers before it has read the request: the client gets that answer, however the upstream goes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { openRaw } from "../support/raw-client.ts";
import { startRawOrigin } from "../support/raw-origin.ts";
import { Plane } from "./plane.ts";

const REFUSAL = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!";
const PIECE = Buffer.alloc(1 << 16, "x");
const CHUNK = Buffer.concat([Buffer.from("10000\r\n"), PIECE, Buffer.from("\r\n")]);

describe("an early answer to an upload that goes on", () => {
  for (const [framing, field, piece] of [
    ["Content-Length", "Content-Length: 1000000000", PIECE],
    ["chunked", "Transfer-Encoding: chunked", CHUNK],
  ] as const)
    for (const how of ["stays", "closes", "stops reading"] as const)
      it(`reaches the client when the upstream ${how} (${framing})`, async () => {
        await using origin = await startRawOrigin(({ socket }) => {
          socket.removeAllListeners("data");
          if (how === "stops reading") socket.pause();
          else socket.resume();
          if (how === "closes") socket.end(REFUSAL);
          else socket.write(REFUSAL);
        });
        const plane = new Plane(origin, { up: [] });
        plane.server.listen(0, "127.0.0.1");
        await once(plane.server, "listening");
        await using client = await openRaw(plane.port);
        client.write(`POST /up HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`);
        const pump = () => {
          while (!client.socket.destroyed && client.socket.write(piece)) {}
          client.socket.once("drain", pump);
        };
        pump();
        const answer = await client.read();
        assert.equal(answer.status, 413);
        assert.equal(answer.body.toString(), "no!");
        client.socket.destroy();
        await plane.close();
      });
});

it("an upstream that says 1xx without end is given up, also for a client that is told of none", async () => {
  await using origin = await startRawOrigin(({ socket }) => {
    socket.write("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(33));
  });
  const plane = new Plane(origin, { hints: [] });
  plane.server.listen(0, "127.0.0.1");
  await once(plane.server, "listening");
  await using client = await openRaw(plane.port);
  client.write("GET /hints HTTP/1.0\r\nHost: a\r\n\r\n");
  assert.equal((await client.read()).status, 502);
  await plane.close();
});
