/** Bodies cross the gateway byte for byte, in both directions and in every size, without being held in memory. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { Agent, createServer, type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const HUGE = 100 * MIB;
const SIZES = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, HUGE];
/** Well above what a gateway of two threads takes, well below one body of HUGE on top of it. */
const RSS_MAX = 330 * MIB;

/** Bytes without a period that a gateway's buffers could share; HUGE is this block again and again. */
const BLOCK = randomBytes(MIB + 7);

function* piecesOf(size: number): Generator<Buffer> {
  for (let left = size; left > 0; left -= BLOCK.length)
    yield left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
}

function sha256Of(size: number): string {
  const hash = createHash("sha256");
  for (const piece of piecesOf(size)) hash.update(piece);
  return hash.digest("hex");
}
const HASHES = new Map(SIZES.map((size) => [size, sha256Of(size)]));

/** Said in so many words: node:http would declare an empty body as a length of 0. */
const CHUNKED = { "transfer-encoding": "chunked" };

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

/** Sends a body of `size` bytes on the one kept connection and reads the answer as it streams. */
async function exchange(url: string, size: number | null, framing: "length" | "chunked" = "length") {
  const outgoing = request(url, {
    agent,
    method: size === null ? "GET" : "POST",
    headers: size === null ? {} : framing === "chunked" ? CHUNKED : { "content-length": size },
  });
  const [response] = (await Promise.all([
    once(outgoing, "response"),
    size === null ? outgoing.end() : pipeline(Readable.from(piecesOf(size)), outgoing),
  ])) as unknown as [[IncomingMessage]];
  const [incoming] = response;
  const hash = createHash("sha256");
  let length = 0;
  let text = "";
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    hash.update(chunk);
    length += chunk.length;
    if (length < 4096) text += chunk.toString();
  }
  return { status: incoming.statusCode, headers: incoming.headers, length, sha256: hash.digest("hex"), text };
}

async function rssOf(pid: number): Promise<number> {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kib) * KIB;
}

describe("bodies", () => {
  let origin: Origin;
  let nginx: Nginx;
  let gateway: Gateway;

  before(async () => {
    origin = await startOrigin(async (received, response) => {
      const { searchParams } = new URL(received.url, "http://origin");
      const size = Number(searchParams.get("size") ?? -1);
      if (size < 0) {
        response.end(
          JSON.stringify([
            received.bodyLength,
            received.bodySha256,
            receivedHeader(received, "transfer-encoding") ?? null,
            receivedHeader(received, "content-length") ?? null,
          ]),
        );
        return;
      }
      if (searchParams.get("framing") === "length") response.setHeader("content-length", size);
      else response.setHeader("transfer-encoding", "chunked");
      await pipeline(Readable.from(piecesOf(size)), response);
    });
    nginx = await startNginx(`location /echo { proxy_pass ${origin.url}; proxy_request_buffering off; }`);
    for (const size of SIZES) {
      const file = await open(join(nginx.prefix, `${size}.bin`), "w");
      for (const piece of piecesOf(size)) await file.write(piece);
      await file.close();
    }
    const service = (name: string, url: string) => ({
      name,
      url,
      routes: [{ name, paths: [`/${name}`], strip_path: true }],
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [service("node", origin.url), service("nginx", nginx.url)],
      },
    });
  });
  after(async () => {
    agent.destroy();
    await gateway?.[Symbol.asyncDispose]();
    await nginx?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  for (const size of SIZES) {
    for (const framing of ["length", "chunked"] as const) {
      it(`${size} bytes with ${framing} arrive upstream as they were sent, in the same framing`, async () => {
        const { status, text } = await exchange(`${gateway.url}/node/`, size, framing);
        assert.equal(status, 200);
        assert.deepEqual(JSON.parse(text), [
          size,
          HASHES.get(size),
          framing === "chunked" ? "chunked" : null,
          framing === "length" ? String(size) : null,
        ]);
      });

      it(`${size} bytes with ${framing} arrive at the client as they were sent, in the same framing`, async () => {
        const answer = await exchange(`${gateway.url}/node/?size=${size}&framing=${framing}`, null);
        assert.equal(answer.length, size);
        assert.equal(answer.sha256, HASHES.get(size));
        assert.equal(answer.headers["content-length"], framing === "length" ? String(size) : undefined);
      });
    }

    it(`a file of ${size} bytes served by nginx arrives as it is on disk`, async () => {
      const answer = await exchange(`${gateway.url}/nginx/${size}.bin`, null);
      assert.equal(answer.status, 200);
      const hash = createHash("sha256");
      await pipeline(createReadStream(join(nginx.prefix, `${size}.bin`)), hash);
      assert.equal(answer.sha256, hash.digest("hex"));
    });
  }

  it("100 MB chunked through nginx arrive upstream as they were sent", async () => {
    const { text } = await exchange(`${gateway.url}/nginx/echo`, HUGE, "chunked");
    const [length, sha256] = JSON.parse(text);
    assert.equal(length, HUGE);
    assert.equal(sha256, HASHES.get(HUGE));
  });

  it("an upstream that is slow to read holds the client back instead of filling the gateway's memory", async () => {
    const { promise: reached, resolve: reach } = Promise.withResolvers<IncomingMessage>();
    const slow = createServer((incoming) => reach(incoming));
    slow.listen(0, "127.0.0.1");
    await once(slow, "listening");
    const { port } = slow.address() as { port: number };
    await gateway.reload({
      _format_version: "3.0",
      services: [{ name: "slow", url: `http://127.0.0.1:${port}`, routes: [{ name: "slow", paths: ["/"] }] }],
    });
    const outgoing = request(gateway.url, { method: "POST", headers: { "content-length": HUGE } });
    outgoing.on("error", () => {});
    outgoing.flushHeaders();
    const incoming = await reached;
    let sent = 0;
    let flows = true;
    // Written until every buffer on the way is full: the socket takes no more for a while.
    while (sent < HUGE && flows) {
      sent += BLOCK.length;
      flows = outgoing.write(BLOCK);
      if (!flows) flows = await Promise.race([once(outgoing, "drain").then(() => true), pause(500)]);
    }
    assert.ok(sent < HUGE, "the client could send everything although nobody read");
    assert.ok((await rssOf(gateway.pid)) < RSS_MAX);
    incoming.destroy();
    outgoing.destroy();
    slow.closeAllConnections();
    slow.close();
  });

  it("memory stays bounded over all of this", async () => {
    const rss = await rssOf(gateway.pid);
    assert.ok(rss < RSS_MAX, `RSS is ${Math.round(rss / MIB)} MiB`);
  });
});

function pause(ms: number): Promise<false> {
  return new Promise((resolve) => setTimeout(() => resolve(false), ms));
}
