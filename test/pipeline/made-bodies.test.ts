/**
 * Bodies that plugins make, for peers that are slow to take them: as many wait in memory as the setting allows, what is
 * beyond goes to disk, what finds no room there either is refused, and nothing is left of any of them.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { after, before, describe, it } from "node:test";
import { type Hooks, reply } from "@gatehouse/sdk";
import { type Origin, startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { fieldOf, startRawOrigin } from "../support/raw-origin.ts";
import { Plane } from "./plane.ts";

const MIB = 1 << 20;
/** More than the system takes of one write to a peer that does not read. */
const SIZE = 16 * MIB;
const BODY = randomBytes(SIZE);
/** Room for two of them. */
const FLAGS = { body_buffer_thread_bytes: String(40 * MIB) };

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const EXPECTED = sha256(BODY);

/** An answer whose body is not read yet. */
async function begun(plane: Plane, path: string): Promise<IncomingMessage> {
  const request = get(`${plane.url}${path}`, { agent: false });
  request.on("error", () => {}); // some are given up
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response;
}

async function hashOf(response: IncomingMessage): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of response) hash.update(piece as Buffer);
  return hash.digest("hex");
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

const nothingHeld = (plane: Plane) => until(() => plane.heldBytes === 0 && plane.spilledBytes === 0);

describe("bodies of responses that plugins made", () => {
  const makers: Readonly<Record<string, Hooks>> = {
    "replaced in the response phase": { response: (ctx) => ctx.response.setBody(BODY) },
    "an answer of a plugin": { access: () => reply(200, BODY) },
    "an answer that a filter makes larger": {
      access: () => reply(200, "x"),
      bodyFilter: (_ctx, _chunk, last) => (last ? BODY : new Uint8Array(0)),
    },
  };
  let origin: Origin;
  before(async () => {
    origin = await startOrigin((_received, response) => void response.end("small"));
  });
  after(() => origin.close());

  for (const [how, hooks] of Object.entries(makers))
    it(`${how}: what does not fit in memory waits on disk, and every client gets every byte`, async () => {
      await using plane = await Plane.serving(origin, { r: [hooks] }, FLAGS);
      const first = await begun(plane, "/r");
      const second = await begun(plane, "/r");
      assert.deepEqual([plane.heldBytes, plane.spilledBytes], [2 * SIZE, 0]);
      const third = await begun(plane, "/r");
      assert.deepEqual([plane.heldBytes, plane.spilledBytes], [2 * SIZE, SIZE]);
      for (const answer of [third, first, second]) {
        assert.equal(answer.headers["content-length"], String(SIZE));
        assert.equal(await hashOf(answer), EXPECTED);
      }
      await nothingHeld(plane);
    });

  it("one that finds no room on disk either is a 503, and those that wait are served", async () => {
    await using plane = await Plane.serving(
      origin,
      { r: [makers["an answer of a plugin"] as Hooks] },
      { ...FLAGS, body_buffer_disk_bytes: String(MIB) },
    );
    const waiting = [await begun(plane, "/r"), await begun(plane, "/r")];
    const refused = await begun(plane, "/r");
    assert.equal(refused.statusCode, 503);
    refused.resume();
    assert.match(plane.errors.join(), /all of body_buffer_disk_bytes is taken/);
    for (const answer of waiting) assert.equal(await hashOf(answer), EXPECTED);
    await nothingHeld(plane);
  });

  it("clients that leave free what waited for them, in memory and on disk", async () => {
    await using plane = await Plane.serving(origin, { r: [makers["an answer of a plugin"] as Hooks] }, FLAGS);
    const answers = [await begun(plane, "/r"), await begun(plane, "/r"), await begun(plane, "/r")];
    for (const answer of answers) answer.destroy();
    await nothingHeld(plane);
  });

  it("a client that has said its last while its answer waits gets all of it", async () => {
    await using plane = await Plane.serving(origin, { r: [makers["an answer of a plugin"] as Hooks] }, FLAGS);
    await using client = await openRaw(plane.port);
    client.socket.pause();
    client.write("GET /r HTTP/1.1\r\nHost: a\r\n\r\n");
    client.end();
    await until(() => plane.heldBytes === SIZE);
    const hash = createHash("sha256");
    let left = SIZE;
    client.socket.removeAllListeners("data");
    client.socket.on("data", (piece: Buffer) => {
      const start = left === SIZE ? piece.indexOf("\r\n\r\n") + 4 : 0;
      left -= piece.length - start;
      hash.update(piece.subarray(start));
    });
    client.socket.resume();
    await once(client.socket, "end");
    assert.equal(left, 0);
    assert.equal(hash.digest("hex"), EXPECTED);
    await nothingHeld(plane);
  });
});

describe("bodies of requests that plugins made", () => {
  /** An upstream that reads nothing before it is told to, and answers with the hash of what came. */
  async function slowUpstream() {
    const { promise: go, resolve: read } = Promise.withResolvers<void>();
    let requests = 0;
    const origin = await startRawOrigin(({ socket, head, rest }) => {
      requests++;
      socket.pause();
      const hash = createHash("sha256").update(rest);
      let left = Number(fieldOf(head, "content-length")) - rest.length;
      const listeners = socket.listeners("data");
      socket.removeAllListeners("data");
      assert.equal(listeners.length, 1);
      void go.then(() => {
        socket.on("data", (piece: Buffer) => {
          hash.update(piece);
          left -= piece.length;
          if (left === 0)
            socket.end(
              `HTTP/1.1 200 OK\r\nContent-Length: 64\r\nConnection: close\r\n\r\n${hash.digest("hex")}`,
            );
        });
        socket.resume();
      });
    });
    return { origin, read, requests: () => requests };
  }

  const hooks: Hooks = { access: (ctx) => ctx.request.setBody(BODY) };

  it("what does not fit in memory goes up from disk, every byte of it", async () => {
    const { origin, read, requests } = await slowUpstream();
    await using _ = origin;
    await using plane = await Plane.serving(origin, { r: [hooks] }, FLAGS);
    const answers: Promise<IncomingMessage>[] = [];
    for (let i = 1; i <= 3; i++) {
      answers.push(begun(plane, "/r"));
      await until(() => requests() === i);
    }
    assert.deepEqual([plane.heldBytes, plane.spilledBytes], [2 * SIZE, SIZE]);
    read();
    for (const answer of answers) {
      let text = "";
      for await (const piece of await answer) text += String(piece);
      assert.equal(text, EXPECTED);
    }
    await nothingHeld(plane);
  });

  it("one that finds no room on disk is a 503 that no upstream hears of", async () => {
    const { origin, read, requests } = await slowUpstream();
    await using _ = origin;
    const flags = { body_buffer_thread_bytes: String(MIB), body_buffer_disk_bytes: "0" };
    await using plane = await Plane.serving(origin, { r: [hooks] }, flags);
    const refused = await begun(plane, "/r");
    refused.resume();
    assert.equal(refused.statusCode, 503);
    assert.equal(requests(), 0);
    read();
    await nothingHeld(plane);
  });
});
