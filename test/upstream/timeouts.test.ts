/** An upstream that takes its time: 504 after the service's own timeouts, and none where time is the client's. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { openRaw } from "../support/raw-client.ts";
import { type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";

const TIMING_OUT = "The upstream server is timing out";
const READ_MS = 400;

/** A port whose queue of connections is full: a thread listens, and never takes one. */
async function startFullListener(): Promise<{ port: number; close(): Promise<void> }> {
  const worker = new Worker(
    `const { createServer } = require("node:net");
     const { parentPort } = require("node:worker_threads");
     const server = createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
     });`,
    { eval: true },
  );
  const [port] = (await once(worker, "message")) as [number];
  // The kernel queues one connection more than the backlog; the next one's SYN is dropped.
  const fillers: Socket[] = [];
  for (let i = 0; i < 2; i++) {
    const filler = connect({ port, host: "127.0.0.1" });
    fillers.push(filler);
    await once(filler, "connect");
  }
  return {
    port,
    async close() {
      for (const filler of fillers) filler.destroy();
      await worker.terminate();
    },
  };
}

describe("upstream timeouts", () => {
  let origin: RawOrigin;
  let full: { port: number; close(): Promise<void> };
  let gateway: Gateway;

  before(async () => {
    origin = await startRawOrigin(({ socket, path, head, rest }) => {
      if (path === "/silent") return;
      if (path === "/half-head") return void socket.write("HTTP/1.1 200 OK\r\n");
      if (path === "/half-body")
        return void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
      if (path === "/trickle") {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        let sent = 0;
        const timer = setInterval(() => {
          socket.write(String(sent));
          if (++sent === 10) clearInterval(timer);
        }, READ_MS / 4);
        return;
      }
      const length = Number(/Content-Length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (length === 0) return void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
      let seen = rest.length;
      socket.on("data", (chunk: Buffer) => {
        seen += chunk.length;
        if (seen === length) socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
      });
    });
    full = await startFullListener();
    const service = (name: string, port: number, protocol = "http") => ({
      name,
      url: `${protocol}://127.0.0.1:${port}`,
      connect_timeout: 300,
      read_timeout: READ_MS,
      retries: 0,
      routes: [{ name, paths: [`/${name}/`] }],
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          service("origin", origin.port),
          service("full", full.port),
          service("no-handshake", origin.port, "https"),
        ],
      },
      settings: { data_threads: "1" },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await full?.close();
    await origin?.close();
  });

  for (const [title, path] of [
    ["cannot be connected to", "/full/"],
    ["does not take part in the TLS handshake", "/no-handshake/"],
    ["does not answer", "/origin/silent"],
    ["stops in the middle of its head", "/origin/half-head"],
  ] as const) {
    it(`an upstream that ${title} is a 504`, async () => {
      const answer = await send(`${gateway.url}${path}`);
      assert.equal(answer.status, 504);
      assert.match(answer.body, new RegExp(`^${TIMING_OUT}\n`));
      assert.equal((await send(`${gateway.url}/origin/ok`)).body, "fine");
    });
  }

  it("a response that stops in the middle breaks off at the client", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("GET /origin/half-body HTTP/1.1\r\nHost: a\r\n\r\n");
    await assert.rejects(client.read(), /ended in the middle/);
    assert.equal((await send(`${gateway.url}/origin/ok`)).body, "fine");
  });

  it("a response may take longer than read_timeout as long as it goes on", async () => {
    assert.equal((await send(`${gateway.url}/origin/trickle`)).body, "0123456789");
  });

  it("a slow client's upload is not the upstream's fault: read_timeout starts when the request is sent", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("POST /origin/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, READ_MS / 2));
      client.write("x");
    }
    const answer = await client.read();
    assert.deepEqual([answer.status, answer.body.toString()], [200, "fine"]);
  });

  it("an upstream that is silent when the upload is done is still a 504", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("POST /origin/silent HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx");
    await new Promise((resolve) => setTimeout(resolve, READ_MS * 1.5));
    client.write("y");
    assert.equal((await client.read()).status, 504);
  });

  it("a client that waits for 100 Continue does not wait for a silent upstream for ever", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(
      "POST /origin/silent HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    assert.equal((await client.read()).status, 504);
  });
});
