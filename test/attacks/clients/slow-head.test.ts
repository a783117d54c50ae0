/** Clients that take their time with a head: they have client_head_timeout_ms in all, and hold up nobody. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { openRaw, type RawClient } from "../../support/raw-client.ts";
import { Attack } from "./attack.ts";

const attack = new Attack({ client_head_timeout_ms: "500", max_headers: "1000" });

/** Writes a text again and again until the other side has had enough. */
async function trickle(client: RawClient, text: string): Promise<void> {
  const timer = setInterval(() => client.write(text), 20);
  try {
    await client.closed();
  } finally {
    clearInterval(timer);
  }
}

describe("slow heads", () => {
  for (const [what, start, drop] of [
    ["a field every now and then", "GET / HTTP/1.1\r\n", "a: b\r\n"],
    ["a character of a field every now and then", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "y"],
    ["a character of the target every now and then", "GET /", "y"],
  ] as const)
    it(`${what}: 408, once, and the reason in the log`, async () => {
      await attack.begin();
      const { between } = attack;
      await using client = await openRaw(between.port);
      client.write(start);
      await trickle(client, drop);
      assert.equal((await client.read()).status, 408);
      assert.equal(client.pending.length, 0);
      const line = await between.gateway.log(({ code }) => code === "request_timeout");
      assert.equal(line.client, "127.0.0.1");
      assert.equal(line.level, "info");
      await attack.othersAreServed();
    });

  it("a second request on a connection has no more time than the first", async () => {
    await attack.begin();
    await using client = await openRaw(attack.between.port);
    client.write(`${request("GET", "/own")}GET /own HTT`);
    assert.equal((await client.read()).status, 200);
    await trickle(client, "P");
    assert.equal((await client.read()).status, 400, "what is wrong with it says more than that it is late");
  });

  it("a connection that says nothing is closed without an answer", async () => {
    await using client = await openRaw(attack.between.port);
    await client.closed();
    assert.equal(client.pending.length, 0);
  });

  it("many of them do not keep others waiting, and all are let go", async () => {
    await attack.begin();
    const clients = await Promise.all(Array.from({ length: 300 }, () => openRaw(attack.between.port)));
    const gone = clients.map((client) => client.closed());
    for (const client of clients) client.write("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    await attack.othersAreServed();
    await Promise.all(gone);
    for (const client of clients) {
      assert.equal((await client.read()).status, 408);
      client.socket.destroy();
    }
  });
});

it("a fault is logged once for a connection, with the reason and nothing of what was sent", async () => {
  await attack.begin();
  const { between } = attack;
  await using client = await openRaw(between.port);
  client.write(request("GET", "/own", ["Authorization: Basic c2VjcmV0", "X : secret"]));
  assert.equal((await client.read()).status, 400);
  await client.closed();
  const line = await between.gateway.log(({ code }) => code === "bad_header");
  assert.equal(line.msg, "invalid header name");
  assert.equal(line.client, "127.0.0.1");
  assert.equal(typeof line.request_id, "string");
  assert.ok((line.bytes_read as number) > 0);
  assert.doesNotMatch(between.gateway.output(), /c2VjcmV0|secret/);
  // Whatever it writes after that is one fault still.
  await attack.begin();
  assert.equal(between.gateway.logs.filter(({ code }) => code === "bad_header").length, 1);
});

it("a flood of faults is a handful of lines and a number", async () => {
  await attack.begin();
  const { between } = attack;
  for (let i = 0; i < 100; i++) {
    await using client = await openRaw(between.port);
    client.write("GET /\0 HTTP/1.1\r\n\r\n");
    assert.equal((await client.read()).status, 400);
  }
  const line = await between.gateway.log(
    ({ msg, code }) => /more lines about clients/.test(`${msg}`) && code === "bad_request_line",
  );
  const lines = between.gateway.logs.filter(({ code, client }) => code === "bad_request_line" && client);
  assert.ok(lines.length < 60, `${lines.length} lines`);
  assert.ok((line.suppressed as number) > 40);
});

it("a client that leaves at any point of its head leaves nothing behind", async () => {
  await attack.begin();
  const head = request("GET", "/own", ["X: y"]);
  for (let length = 0; length <= head.length; length += 5) {
    const client = await openRaw(attack.between.port);
    client.write(head.slice(0, length));
    if (length % 2 === 0) client.socket.resetAndDestroy();
    else client.socket.destroy();
    await once(client.socket, "close");
  }
  await attack.othersAreServed();
});
