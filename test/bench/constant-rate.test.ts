import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { OpenLoopResult } from "../../bench/load/constant-rate.ts";

const CLIENT = fileURLToPath(new URL("../../bench/load/constant-rate.ts", import.meta.url));

/** What the client measures against this server, at 200 requests/s for a second over 4 connections. */
async function measured(listener: RequestListener, extra: object = {}): Promise<OpenLoopResult> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const load = {
    port,
    path: "/",
    headers: {},
    perSecond: 200,
    connections: 4,
    warmSeconds: 0,
    seconds: 1,
    ...extra,
  };
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [CLIENT, JSON.stringify(load)]);
    return JSON.parse(stdout) as OpenLoopResult;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const answer: RequestListener = (_, response) => {
  response.writeHead(200, { "content-length": 2 }).end("ok");
};

test("every request that was due is sent and measured", async () => {
  const result = await measured(answer);
  assert.equal(result.requests, 200);
  assert.equal(result.lost, 0);
});

test("a stall counts for the requests that were due during it, not only for those under way", async () => {
  let seen = 0;
  const result = await measured((request, response) => {
    if (++seen === 20) {
      const until = performance.now() + 300;
      while (performance.now() < until);
    }
    answer(request, response);
  });
  // 300 ms at 200 requests/s: some 60 were due; a closed loop of 4 connections would have seen 4 of them.
  assert.equal(result.requests, 200);
  const [, , tenthUs] = result.quantilesUs as [number, number, number];
  assert.ok(tenthUs >= 50_000, `a tenth waited for ${tenthUs} µs or more`);
});

test("a request whose connection ends before its answer is lost, and makes the run invalid unless the case allows it", async () => {
  let seen = 0;
  const breaking: RequestListener = (request, response) => {
    if (++seen === 50) request.socket.destroy();
    else answer(request, response);
  };
  const strict = await measured(breaking);
  assert.match(strict.errors.join(), /1 requests lost/);
  seen = 0;
  const lenient = await measured(breaking, { mayLose: true });
  assert.equal(lenient.lost, 1);
  assert.doesNotMatch(lenient.errors.join(), /lost/);
});

test("an answer with a status other than 2xx makes the run invalid", async () => {
  let seen = 0;
  const result = await measured((_, response) => {
    response.writeHead(++seen > 10 ? 502 : 200, { "content-length": 2 }).end("ok");
  });
  assert.match(result.errors.join(), /status other than 2xx/);
});
