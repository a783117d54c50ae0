/** Which target a request goes to: exact weights, and other targets where one is down. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { freePort } from "../support/nginx.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { startRawOrigin } from "../support/raw-origin.ts";

describe("balancing and retries", () => {
  const origins: Origin[] = [];
  let gateway: Gateway;

  before(async () => {
    for (const name of ["a", "b", "c"])
      origins.push(await startOrigin((_received, response) => void response.end(name)));
    const [a, b, c] = origins.map(({ port }) => `127.0.0.1:${port}`) as [string, string, string];
    const dead = `127.0.0.1:${await freePort()}`;
    const upstream = (name: string, targets: Record<string, number>) => ({
      name,
      targets: Object.entries(targets).map(([target, weight]) => ({ target, weight })),
    });
    const service = (name: string, more: object = {}) => ({
      name,
      host: name,
      ...more,
      routes: [{ name, paths: [`/${name}`] }],
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        upstreams: [
          upstream("equal", { [a]: 100, [b]: 100 }),
          upstream("weighted", { [a]: 50, [b]: 30, [c]: 20 }),
          upstream("one-off", { [a]: 100, [b]: 0, [c]: 100 }),
          upstream("mixed", { [a]: 100, [b.replace("127.0.0.1", "localhost")]: 300 }),
          upstream("half-dead", { [dead]: 100, [b]: 100 }),
          upstream("half-dead-once", { [dead]: 100, [c]: 1 }),
        ],
        services: [
          service("equal"),
          service("weighted"),
          service("one-off"),
          service("mixed"),
          service("half-dead"),
          service("half-dead-once", { retries: 0 }),
        ],
      },
      settings: { data_threads: "1" },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    for (const origin of origins) await origin.close();
  });

  async function countsOf(path: string, requests: number, method = "GET"): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (let i = 0; i < requests; i++) {
      const { status, body } = await send(`${gateway.url}/${path}`, { method });
      const key = status === 200 ? body : String(status);
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  }

  for (const [name, requests, counts] of [
    ["equal", 20, { a: 10, b: 10 }],
    ["weighted", 100, { a: 50, b: 30, c: 20 }],
    ["one-off", 10, { a: 5, c: 5 }],
    ["mixed", 40, { a: 10, b: 30 }],
  ] as const) {
    it(`${requests} requests to '${name}' are shared out exactly by weight`, async () => {
      assert.deepEqual(await countsOf(name, requests), counts);
    });
  }

  it("names that are looked up again in between do not disturb the shares", async () => {
    const counts: Record<string, number> = {};
    for (let i = 0; i < 4; i++) {
      const { body } = await send(`${gateway.url}/mixed`);
      counts[body] = (counts[body] ?? 0) + 1;
      await new Promise((resolve) => setTimeout(resolve, 550));
    }
    assert.deepEqual(counts, { a: 1, b: 3 });
  });

  it("heavy targets do not get their share in one burst", async () => {
    const order: string[] = [];
    for (let i = 0; i < 10; i++) order.push((await send(`${gateway.url}/weighted`)).body);
    assert.doesNotMatch(order.join(""), /aaa/);
  });

  it("a target that refuses connections costs no request while another one is up, a POST included", async () => {
    assert.deepEqual(await countsOf("half-dead", 10), { b: 10 });
    assert.deepEqual(await countsOf("half-dead", 10, "POST"), { b: 10 });
  });

  it("a body that waits for the second target arrives whole", async () => {
    for (let i = 0; i < 2; i++) {
      await send(`${gateway.url}/half-dead`, { method: "POST", body: "x".repeat(100_000) });
      assert.equal(origins[1]?.last.bodyLength, 100_000);
    }
  });

  it("retries: 0 means one attempt", async () => {
    const counts = await countsOf("half-dead-once", 5);
    assert.ok((counts["502"] ?? 0) >= 4, JSON.stringify(counts));
  });
});

describe("kept connections that have gone stale", () => {
  /** Serves the first request of each connection and closes it, without an answer, when the second has come. */
  const startForgetful = () =>
    startRawOrigin(({ socket, nth, path }) => {
      if (nth === 1) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      else if (path === "/half") socket.end("HTTP/1.1 200 O");
      else socket.destroy();
    });

  async function start(url: string): Promise<Gateway> {
    return startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "s", url, routes: [{ name: "r", paths: ["/"] }] }],
      },
      settings: { data_threads: "1" },
    });
  }

  it("a GET is sent again on a fresh connection, a POST is not, and neither once an answer has begun", async () => {
    await using origin = await startForgetful();
    await using gateway = await start(origin.url);
    await using client = await openRaw(gateway.ports.proxy);
    const ask = async (method: string, path: string, body = "") => {
      client.write(
        `${method} ${path} HTTP/1.1\r\nHost: a\r\n${body && `Content-Length: ${body.length}\r\n`}\r\n${body}`,
      );
      return client.read();
    };
    assert.equal((await ask("GET", "/1")).status, 200);
    const again = await ask("GET", "/2");
    assert.deepEqual([again.status, again.body.toString()], [200, "/2"]);
    assert.equal((await ask("POST", "/3", "x")).status, 502);
    assert.equal((await ask("GET", "/4")).status, 200);
    assert.equal((await ask("GET", "/half")).status, 502);
    assert.equal((await ask("PUT", "/5", "x")).status, 200);
    assert.deepEqual(origin.paths, ["/1", "/2", "/2", "/3", "/4", "/half", "/5"]);
  });

  it("a connection that the upstream has closed is not used again", async () => {
    let closed: Promise<unknown> | undefined;
    await using origin = await startRawOrigin(({ socket }) => {
      closed = new Promise((resolve) => socket.once("close", resolve));
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    await using gateway = await start(origin.url);
    for (let i = 0; i < 3; i++) {
      assert.equal((await send(gateway.url, { method: "POST", body: "x" })).status, 200);
      await closed;
    }
    assert.equal(origin.accepted, 3);
  });

  it("an upstream that speaks unasked is not heard", async () => {
    await using origin = await startRawOrigin(({ socket, path }) => {
      const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`;
      socket.write(`${answer}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`);
    });
    await using gateway = await start(origin.url);
    for (const path of ["/a", "/b", "/c"]) assert.equal((await send(`${gateway.url}${path}`)).body, path);
    assert.equal(origin.accepted, 3);
  });
});
