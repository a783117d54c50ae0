/** Bodies that come too slowly, and uploads that nobody takes: the one is cut off, the other waits and costs nothing. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { openRaw } from "../../support/raw-client.ts";
import { startRawOrigin } from "../../support/raw-origin.ts";
import { Attack } from "./attack.ts";

const TIMEOUT_MS = 500;
const attack = new Attack({
  client_head_timeout_ms: "1000",
  client_body_timeout_ms: String(TIMEOUT_MS),
  client_body_min_rate: "10000",
});

const services = (url: string) => ({
  _format_version: "3.0",
  services: [{ name: "s", url, routes: [{ name: "r", paths: ["/"], strip_path: false }] }],
});

describe("slow bodies", () => {
  for (const [what, fields, drop] of [
    ["a body of a declared length", ["Content-Length: 1000000"], "x"],
    ["a chunked body", ["Transfer-Encoding: chunked"], "1\r\nx\r\n"],
    ["a chunk size that never ends", ["Transfer-Encoding: chunked"], "0"],
    ["chunk extensions", ["Transfer-Encoding: chunked"], ";a=b"],
    ["trailers", ["Transfer-Encoding: chunked"], "a"],
  ] as const)
    it(`${what} in drops: 408, or 400 where the bound of its framing comes first`, async () => {
      await attack.begin();
      await using client = await openRaw(attack.between.port);
      const start = { "chunk extensions": "1", trailers: "0\r\n" }[what as string] ?? "";
      client.write(request("POST", "/drops", [...fields], start));
      const timer = setInterval(() => client.write(drop), 10);
      try {
        const { status } = await client.read();
        assert.ok(status === 408 || (status === 400 && what === "a chunk size that never ends"), `${status}`);
        await client.closed();
      } finally {
        clearInterval(timer);
      }
      assert.deepEqual(
        attack.between.seen.filter(({ whole }) => whole),
        [],
      );
      await attack.othersAreServed();
    });

  it("a body that stops is 408, and its upstream connection is closed, not kept", async () => {
    await attack.begin();
    const { between } = attack;
    await using client = await openRaw(between.port);
    client.write(request("POST", "/stops", ["Content-Length: 10"], "abc"));
    assert.equal((await client.read()).status, 408);
    const before = between.connections;
    await attack.othersAreServed();
    assert.equal(between.connections, before + 1);
  });
});

it("an upload that the upstream does not take pauses its client, and the wait is not the client's fault", async () => {
  await attack.begin();
  const { gateway } = attack.between;
  const TOTAL = 96 << 20;
  const held = Promise.withResolvers<void>();
  let received = 0;
  await using origin = await startRawOrigin(({ socket, rest }) => {
    received = rest.length;
    socket.removeAllListeners("data"); // the rest is body, and not to be kept
    socket.pause();
    void held.promise.then(() => socket.resume());
    socket.on("data", (piece) => {
      received += piece.length;
      if (received === TOTAL) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
  });
  await gateway.reload(services(origin.url));
  const rss = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${gateway.pid}/status`, "utf8"))?.[1]);
  const before = rss();
  await using client = await openRaw(gateway.ports.proxy);
  client.write(request("PUT", "/upload", [`Content-Length: ${TOTAL}`]));
  const piece = Buffer.alloc(1 << 20);
  let sent = 0;
  const pump = () => {
    while (sent < TOTAL && client.socket.write(piece)) sent += piece.length;
    if (sent < TOTAL) sent += piece.length;
    if (sent < TOTAL) client.socket.once("drain", pump);
  };
  pump();
  // Two heads that never end take their whole time, each longer than a body may pause.
  for (let i = 0; i < 2; i++) {
    await using clock = await openRaw(gateway.ports.proxy);
    clock.write("GET");
    assert.equal((await clock.read()).status, 408);
  }
  assert.ok(sent < 64 << 20, `${sent} bytes were taken from the client`);
  assert.ok(rss() - before < 64 << 10, `${rss() - before} KiB more memory`);
  held.resolve();
  assert.equal((await client.read()).status, 200);
  assert.equal(received, TOTAL);
  assert.ok(rss() - before < 96 << 10, `${rss() - before} KiB more memory in the end`);
});
