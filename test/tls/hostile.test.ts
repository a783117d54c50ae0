/** Clients of TLS that break off, lie or flood at every point: the gateway lives, and the next client is served. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { capturedHello, openTls } from "./client.ts";

/** Answers of so many bytes: more than the system's buffers hold. */
const BIG = 4_000_000;

describe("a TLS listener under hostile clients", () => {
  let origin: Origin;
  let gateway: Gateway;
  let port: number;

  before(async () => {
    const big = Buffer.alloc(BIG, "z");
    origin = await startOrigin(
      ({ url }, response) => void response.end(url.startsWith("/big") ? big : "small"),
    );
    gateway = await startGateway({
      config: { _format_version: "3.0", services: [{ url: origin.url, routes: [{ paths: ["/"] }] }] },
      settings: { proxy_listen: "127.0.0.1:0 ssl", data_threads: "1", client_head_timeout_ms: "1000" },
    });
    port = gateway.ports.proxy_ssl;
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
  });

  /** A TLS client over a TCP socket that the test can misuse. */
  const dial = async (maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<{ tcp: Socket; tls: TLSSocket }> => {
    const tcp = connectTcp({ port, host: "127.0.0.1" });
    const tls = connect({ socket: tcp, rejectUnauthorized: false, maxVersion });
    tcp.on("error", () => {});
    tls.on("error", () => {});
    await once(tls, "secureConnect");
    return { tcp, tls };
  };
  const ask = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  const closed = async (socket: Socket) => {
    socket.resume();
    if (!socket.closed) await once(socket, "close");
  };

  const attacks: Record<
    string,
    (client: { tcp: Socket; tls: TLSSocket }, turn: number) => Promise<void> | void
  > = {
    "leaves without a word": ({ tcp }) => void tcp.destroy(),
    "resets with answers on their way": ({ tcp, tls }, turn) => {
      tls.write(ask("/big").repeat(1 + (turn % 3)));
      tls.once("data", () => tcp.resetAndDestroy());
    },
    "writes garbage between records": async ({ tcp, tls }) => {
      tls.write(ask("/small"));
      await once(tls, "data");
      tcp.write(Buffer.from("no record at all, and more of it"));
    },
    "writes a record with a broken tag": async ({ tcp }) => {
      tcp.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), Buffer.alloc(40, 7)]));
    },
    "writes a record that is too long": ({ tcp }) => {
      tcp.write(Buffer.concat([Buffer.from([23, 3, 3, 255, 255]), Buffer.alloc(70_000, 7)]));
    },
    "asks for much, reads nothing, and closes its side": async ({ tcp, tls }) => {
      tls.pause();
      tls.write(ask("/big").repeat(20));
      await new Promise((resolve) => tcp.write("", resolve));
      tls.end();
      tls.resume();
    },
    "sends requests in single bytes and goes in the middle": async ({ tcp, tls }, turn) => {
      for (const letter of ask("/small").slice(0, 1 + turn)) tls.write(letter);
      await new Promise((resolve) => tls.write("x", resolve));
      tcp.destroy();
    },
    "ends while a body is on its way up": ({ tcp, tls }) => {
      tls.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
      tls.write(Buffer.alloc(300_000), () => tcp.destroy());
    },
  };

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    for (const [title, attack] of Object.entries(attacks))
      it(`${version}: lives when a client ${title}`, async () => {
        const clients = await Promise.all(Array.from({ length: 8 }, () => dial(version)));
        await Promise.all(
          clients.map(async (client, turn) => {
            await attack(client, turn);
            await closed(client.tcp);
          }),
        );
        await using next = await openTls(port, { maxVersion: version });
        assert.equal((await next.get("/small")).body.toString(), "small");
      });
  }

  it("lives when handshakes break off after any number of bytes", async () => {
    const hello = await capturedHello({ servername: "localhost" });
    for (let length = 1; length <= hello.length; length += 7) {
      const socket = connectTcp({ port, host: "127.0.0.1" }).on("error", () => {});
      socket.end(hello.subarray(0, length));
      await closed(socket);
    }
    for (let at = 0; at < hello.length; at += 5) {
      const odd = Buffer.from(hello);
      odd[at] = (odd[at] as number) ^ 0x55;
      const socket = connectTcp({ port, host: "127.0.0.1" }).on("error", () => {});
      socket.end(odd);
      await closed(socket);
    }
    await using next = await openTls(port);
    assert.equal((await next.get("/small")).status, 200);
  });

  it("a client that never reads is let go, and what waits for it is bounded", async () => {
    const { tls, tcp } = await dial("TLSv1.3");
    tls.pause();
    await using next = await openTls(port);
    const asked = origin.requests.filter(({ url }) => url === "/big").length;
    tls.write(ask("/big").repeat(100));
    for (let i = 0; i < 20; i++) assert.equal((await next.get("/small")).status, 200);
    const { length } = origin.requests.filter(({ url }) => url === "/big");
    assert.ok(length - asked < 10, "requests whose answers nobody reads are not asked upstream");
    tcp.destroy();
  });
});
