/** Connections whose PROXY header is still to come. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Deadlines } from "../../src/http1/deadlines.ts";
import { acceptPlain } from "../../src/http1/plain-wire.ts";
import { ProxyHeaders } from "../../src/proxy-protocol/header-reader.ts";

it("where descriptors are short, the connection that waits longest is given up, one at a time", async () => {
  const deadlines = new Deadlines();
  const headers = new ProxyHeaders(deadlines, 60_000, () => {});
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  let reached = Promise.withResolvers<void>();
  let gone = 0;
  acceptPlain(server, (wire) => {
    headers.read(
      wire,
      () => {},
      () => gone++,
    );
    reached.resolve();
  });
  const clients = [];
  for (let i = 0; i < 3; i++) {
    reached = Promise.withResolvers();
    const client = connect(port, "127.0.0.1").resume();
    clients.push({ client, closed: once(client, "close") });
    await reached.promise;
  }
  for (let i = 0; i < 2; i++) {
    assert.equal(headers.evict(), true);
    await clients[i]?.closed;
    assert.equal(deadlines.size, 2 - i, "the others are still waited for");
  }
  assert.equal(clients[2]?.client.destroyed, false);
  headers.close();
  await clients[2]?.closed;
  while (gone < 3) await setImmediate();
  assert.equal(headers.evict(), false);
  server.close();
});
