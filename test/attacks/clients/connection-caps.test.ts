/** Clients that open more connections than there are seats: what is beyond is closed, and nobody else notices. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { send } from "../../support/client.ts";
import { type Gateway, startGateway } from "../../support/gateway.ts";
import { RawClient } from "../../support/raw-client.ts";

const CONFIG = {
  _format_version: "3.0",
  services: [{ name: "nowhere", url: "http://127.0.0.1:1", routes: [{ name: "all", paths: ["/"] }] }],
  plugins: [{ name: "request-termination", config: { status_code: 200, message: "served" } }],
};
const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/** Opens a connection and asks for something on it: null if it is closed instead. */
async function served(gateway: Gateway, localAddress: string): Promise<Socket | null> {
  const socket = connect({ port: gateway.ports.proxy, host: "127.0.0.1", localAddress });
  const closed = once(socket, "close").then(
    () => null,
    () => null,
  );
  const client = new RawClient(socket);
  client.write(GET);
  const answer = await Promise.race([client.read().catch(() => null), closed]);
  if (answer === null) return null;
  assert.equal(answer.status, 200);
  return socket;
}

async function openFrom(gateway: Gateway, address: string, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = await served(gateway, address);
    if (socket !== null) sockets.push(socket);
  }
  return sockets;
}

async function status(gateway: Gateway): Promise<Record<string, number>> {
  const { server } = (await send(`${gateway.statusUrl}/status`)).json() as {
    server: Record<string, number>;
  };
  return server;
}

test("one address gets its share of connections on all threads together, others theirs", async () => {
  await using gateway = await startGateway({
    config: CONFIG,
    settings: {
      data_threads: "2",
      max_connections_per_ip: "10",
      max_connections: "25",
      trusted_ips: "127.0.0.9",
    },
  });
  const first = await openFrom(gateway, "127.0.0.2", 30);
  assert.equal(first.length, 10);
  const second = await openFrom(gateway, "127.0.0.3", 5);
  assert.equal(second.length, 5);
  const trusted = await openFrom(gateway, "127.0.0.9", 20);
  assert.equal(trusted.length, 10, "a trusted address has what is left of all");
  assert.equal(await served(gateway, "127.0.0.4"), null);

  const line = await gateway.log(({ code }) => code === "connections_address");
  assert.equal(line.client, "127.0.0.2");
  await gateway.log(({ code, client }) => code === "connections_total" && client === "127.0.0.4");
  const told = gateway.logs.filter(
    ({ code, client }) => code === "connections_address" && client === "127.0.0.2",
  );
  assert.ok(told.length <= 2, "once for each thread");
  const now = await status(gateway);
  assert.equal(now.connections_active, 25);
  assert.equal(now.connections_refused, 20 + 10 + 1);
  assert.equal(now.connections_accepted, 25 + 31);
  assert.equal(now.connections_handled, 25);
  const { body } = await send(`${gateway.statusUrl}/metrics`);
  assert.match(body, /^gatehouse_connections_refused_total\{.*cap="address"\} 20$/m);
  assert.match(body, /^gatehouse_connections_refused_total\{.*cap="total"\} 11$/m);

  for (const socket of [...first, ...second, ...trusted]) socket.destroy();
  while ((await status(gateway)).connections_active !== 0) {}
  const again = await openFrom(gateway, "127.0.0.2", 10);
  assert.equal(again.length, 10, "seats are given back");
  for (const socket of again) socket.destroy();
});

test("a gateway that has fewer descriptors than connections allowed says so, and serves on", async () => {
  await using gateway = await startGateway({
    config: CONFIG,
    settings: { data_threads: "2", max_connections: "5000" },
    under: ["prlimit", "--nofile=200:200"],
  });
  await gateway.log(({ max_connections }) => max_connections === 5000);
  const kept = await openFrom(gateway, "127.0.0.2", 1);
  const flood = Array.from({ length: 400 }, () => {
    const socket = connect({ port: gateway.ports.proxy, host: "127.0.0.1", localAddress: "127.0.0.3" });
    socket.on("error", () => {});
    return socket;
  });
  await Promise.all(flood.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")])));
  const client = new RawClient(kept[0] as Socket);
  client.write(GET);
  assert.equal((await client.read()).status, 200, "who is connected is served");
  for (const socket of flood) socket.destroy();
  for (;;) {
    const socket = await served(gateway, "127.0.0.4");
    if (socket === null) continue;
    socket.destroy();
    break;
  }
  kept[0]?.destroy();
});
