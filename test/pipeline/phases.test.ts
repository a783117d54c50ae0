/**
 * Hooks that wait, fail or do what they should not, in every phase: the pipeline itself between real sockets,
 * with plugins that a test writes.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { type Consumer, type Context, reply } from "@gatehouse/sdk";
import { createCatalogue } from "../../src/gateway/catalogue.ts";
import { send } from "../support/client.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { ALICE, Plane, type Plugins } from "./plane.ts";

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));
const BODY = "0123456789".repeat(10_000);

const upper = (chunk: Uint8Array) =>
  Buffer.from(Buffer.from(chunk).toString("latin1").replaceAll("0", "O"), "latin1");
const note = (value: string) => (ctx: Context) => ctx.response.headers.add("X-Seen", value);
const failing = () => {
  throw new Error("it broke");
};
const failingLater = async () => {
  await tick();
  throw new Error("it broke later");
};

const logged: string[] = [];
const PLUGINS: Plugins = {
  plain: [],
  "waits-everywhere": [
    {
      access: async (ctx) => {
        await tick();
        ctx.request.headers.set("X-Waited", "yes");
      },
      headerFilter: async (ctx) => {
        await tick();
        ctx.response.headers.set("X-Waited", "yes");
      },
      bodyFilter: async (_ctx, chunk) => {
        await tick();
        return upper(chunk);
      },
      log: async () => {
        await tick();
        logged.push("waits-everywhere");
      },
    },
  ],
  "filters-at-once": [{ bodyFilter: (_ctx, chunk) => upper(chunk) }],
  "appends-at-the-end": [{ bodyFilter: (_ctx, chunk, last) => (last ? Buffer.from("the end") : chunk) }],
  "appends-at-the-end-later": [
    {
      bodyFilter: async (_ctx, chunk, last) => {
        await tick();
        return last ? Buffer.from("the end") : chunk;
      },
    },
  ],
  "swallows-the-body": [{ bodyFilter: () => Buffer.alloc(0) }],
  "answers-in-response": [
    { response: () => reply(409, { message: "no" }), headerFilter: note("a") },
    { headerFilter: note("b") },
  ],
  "answers-later": [
    {
      access: async () => {
        await tick();
        return reply(402, { message: "pay" });
      },
      headerFilter: note("a"),
    },
    {
      access: () => reply(500, { message: "not reached" }),
      headerFilter: note("b"),
      bodyFilter: (_ctx, chunk) => upper(chunk),
    },
  ],
  "replaces-in-response": [
    {
      response: async (ctx) => {
        await tick();
        ctx.response.setBody(upper(ctx.response.body as Uint8Array));
      },
    },
    { headerFilter: note("b"), bodyFilter: (_ctx, chunk, last) => (last ? Buffer.from("!") : chunk) },
  ],
  "throws-in-access": [{ access: failing, headerFilter: note("a") }],
  "throws-in-access-later": [{ access: failingLater }],
  "throws-in-header-filter": [{ headerFilter: failing }],
  "throws-in-header-filter-later": [{ headerFilter: failingLater }],
  "throws-in-response": [{ response: failing }],
  "throws-in-body-filter": [{ bodyFilter: failing }],
  "throws-in-body-filter-later": [{ bodyFilter: failingLater }],
  "throws-in-log": [{ log: failing }, { log: () => void logged.push("after a failure") }],
  "makes-it-bodiless": [
    {
      headerFilter: (ctx) => {
        ctx.response.status = 204;
      },
    },
  ],
  "authenticates-twice": [
    { access: (ctx) => ctx.authenticate(ALICE_FOUND(), { id: "c" }) },
    { access: (ctx) => ctx.authenticate(ALICE_FOUND(), { id: "d" }) },
  ],
  "reads-the-body": [
    {
      access: async (ctx) => {
        const body = (await ctx.request.readBody()) as Uint8Array;
        ctx.request.setBody(upper(body));
        ctx.request.headers.set("X-Again", String(((await ctx.request.readBody()) as Uint8Array).length));
      },
    },
  ],
  "waits-before": [
    {
      access: async () => {
        await tick();
      },
    },
  ],
  "never-comes-back": [{ access: () => new Promise<undefined>(() => {}) }],
};
let aliceId = "";
const ALICE_FOUND = (): Consumer => ({ ...ALICE, id: aliceId });

describe("phases", () => {
  let origin: Origin;
  let plane: Plane;
  const get = (path: string) => send(`${plane.url}/${path}`);

  before(async () => {
    origin = await startOrigin((received, response) => {
      const body = received.url.endsWith("?small") ? "small" : BODY;
      if (received.url.endsWith("?chunked")) response.setHeader("transfer-encoding", "chunked");
      else response.setHeader("content-length", body.length);
      response.end(body);
    });
    plane = new Plane(origin, PLUGINS);
    plane.server.listen(0, "127.0.0.1");
    await once(plane.server, "listening");
  });
  after(async () => {
    await plane?.close();
    await origin?.close();
  });

  for (const suffix of ["", "?chunked"]) {
    it(`hooks that wait see every phase in order and every byte${suffix && ", chunked"}`, async () => {
      const answer = await get(`waits-everywhere${suffix}`);
      assert.equal(answer.body, BODY.replaceAll("0", "O"));
      assert.equal(answer.header("x-waited"), "yes");
      assert.equal(receivedHeader(origin.last, "x-waited"), "yes");
      assert.equal(answer.header("content-length"), undefined);
    });
  }

  it("a small answer after a wait on the way up leaves in one piece, head and body", async () => {
    await using client = await openRaw(plane.port);
    const pieces: string[] = [];
    client.socket.on("data", (piece: Buffer) => pieces.push(piece.toString("latin1")));
    client.write("GET /waits-before?small HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).body.toString(), "small");
    assert.equal(pieces.length, 1, pieces.join("|"));
  });

  for (const [path, body] of [
    ["filters-at-once", BODY.replaceAll("0", "O")],
    ["appends-at-the-end", `${BODY}the end`],
    ["appends-at-the-end-later", `${BODY}the end`],
    ["swallows-the-body", ""],
    ["replaces-in-response", `${BODY.replaceAll("0", "O")}!`],
  ] as const) {
    it(`a body filter that ${path.replaceAll("-", " ")} is heard, and the next request works`, async () => {
      await using client = await openRaw(plane.port);
      for (let i = 0; i < 2; i++) {
        client.write(`GET /${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
        assert.equal((await client.read()).body.toString(), body);
      }
      client.write("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
      assert.equal((await client.read()).body.toString(), BODY);
    });
  }

  for (const [path, status, seen] of [
    ["answers-in-response", 409, "a, b"],
    ["answers-later", 402, "a, b"],
    ["replaces-in-response", 200, "b"],
    ["throws-in-access", 500, "a"],
  ] as const) {
    it(`${path}: ${status}, and the header filters of the whole chain run once`, async () => {
      const answer = await get(path);
      assert.equal(answer.status, status);
      assert.equal(answer.header("x-seen"), seen);
    });
  }

  for (const path of Object.keys(PLUGINS).filter((name) =>
    /^throws-in-(access|header|response)/.test(name),
  )) {
    it(`a plugin that ${path.replaceAll("-", " ")} is a 500 without details, named in the log`, async () => {
      plane.errors.length = 0;
      const answer = await get(path);
      assert.equal(answer.status, 500);
      assert.match(answer.body, /^\{\n {2}"message":"An unexpected error occurred",/);
      assert.match(plane.errors.join(), /plugin 'correlation-id', phase \w+: it broke/);
      assert.equal((await get("plain")).body, BODY);
    });
  }

  for (const path of ["throws-in-body-filter", "throws-in-body-filter-later"]) {
    it(`a plugin that ${path.replaceAll("-", " ")} cuts the response short`, async () => {
      await assert.rejects(get(path));
      assert.equal((await get("plain")).body, BODY);
    });
  }

  it("a log hook that fails keeps no other from running", async () => {
    logged.length = 0;
    assert.equal((await get("throws-in-log")).status, 200);
    assert.deepEqual(logged, ["after a failure"]);
  });

  it("a status without a body, set over a response that has one, cannot desynchronise the connection", async () => {
    await using client = await openRaw(plane.port);
    client.write("GET /makes-it-bodiless HTTP/1.1\r\nHost: a\r\n\r\nGET /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).status, 204);
    assert.equal((await client.read()).body.toString(), BODY);
  });

  it("a consumer who is made known twice keeps the plugins that are configured for him", async () => {
    const { loadDeclarative: load } = await import("../../src/declarative/declarative.ts");
    const loaded = load('{"_format_version":"3.0","consumers":[{"username":"alice"}]}', {
      plugins: createCatalogue(null as never),
    });
    assert.ok(loaded.ok);
    aliceId = loaded.config.consumers[0]?.id as string;
    const answer = await get("authenticates-twice");
    assert.equal(answer.header("x-for"), "alice");
    assert.equal(receivedHeader(origin.last, "x-for"), "alice");
  });

  it("a plugin may read the body twice and replace it; Content-Length follows", async () => {
    await send(`${plane.url}/reads-the-body`, { method: "POST", body: "a0b0" });
    assert.equal(origin.last.body, "aObO");
    assert.equal(receivedHeader(origin.last, "content-length"), "4");
    assert.equal(receivedHeader(origin.last, "x-again"), "4");
  });

  it("a client who leaves while a plugin is waited for is finished with: logged once, as 499", async () => {
    plane.statuses.length = 0;
    await using client = await openRaw(plane.port);
    client.write("GET /never-comes-back HTTP/1.1\r\nHost: a\r\n\r\n");
    await tick();
    client.socket.destroy();
    while (plane.statuses.length === 0) await tick();
    assert.deepEqual(plane.statuses, [499]);
  });

  it("a hundred clients who leave in all kinds of moments leave nothing behind", async () => {
    plane.statuses.length = 0;
    const paths = ["waits-everywhere", "replaces-in-response", "plain", "reads-the-body", "answers-later"];
    for (let i = 0; i < 100; i++) {
      await using client = await openRaw(plane.port);
      const body = i % 2 ? "Content-Length: 5\r\n\r\nab" : "\r\n";
      client.write(`POST /${paths[i % 5]} HTTP/1.1\r\nHost: a\r\n${body}`);
      for (let wait = 0; wait < i % 7; wait++) await tick();
      client.socket.destroy();
    }
    while (plane.statuses.length < 100) await tick();
    assert.equal((await get("waits-everywhere")).body, BODY.replaceAll("0", "O"));
  });
});
