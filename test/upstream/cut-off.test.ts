/**
 * Responses of https upstreams that last until the connection ends: whole if TLS said so (close_notify), cut short if TCP
 * alone ended, as somebody on the way can have it end (RFC 9112 section 9.8).
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { createServer as createTlsServer, type SecureVersion, type TLSSocket } from "node:tls";
import { Authority } from "../support/certificates.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { openRaw } from "../support/raw-client.ts";

const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;
const SMALL = Buffer.from(JSON.stringify({ small: true }));
/** More than the system's buffers hold. */
const LARGE = Buffer.alloc(16 << 20, "0123456789");

const ALERT = 21;
const APPLICATION_DATA = 23;
/** An alert of TLS 1.3 on the wire: two bytes, the true type and a tag, as application data. */
const ENCRYPTED_ALERT_BYTES = 5 + 2 + 1 + 16;

/** Passes TLS records on, alerts aside: what is left of the upstream's end is TCP's. */
class CuttingRelay {
  readonly server: Server;

  constructor(port: number) {
    this.server = createServer((client) => {
      const upstream = connect(port, "127.0.0.1");
      client.pipe(upstream, { end: false });
      let bytes = Buffer.alloc(0);
      upstream.on("data", (piece: Buffer) => {
        bytes = Buffer.concat([bytes, piece]);
        for (let length = recordLength(bytes); length <= bytes.length; length = recordLength(bytes)) {
          if (!isAlert(bytes, length)) client.write(bytes.subarray(0, length));
          bytes = bytes.subarray(length);
        }
      });
      upstream.on("end", () => client.end());
      for (const socket of [client, upstream]) socket.on("error", () => socket.destroy());
      client.on("close", () => upstream.destroy());
    });
  }
}

const recordLength = (bytes: Buffer): number =>
  bytes.length < 5 ? Number.POSITIVE_INFINITY : 5 + bytes.readUInt16BE(3);

const isAlert = (bytes: Buffer, length: number): boolean =>
  bytes[0] === ALERT || (bytes[0] === APPLICATION_DATA && length === ENCRYPTED_ALERT_BYTES);

describe("an https upstream that ends its response by ending the connection", () => {
  let authority: Authority;
  let gateway: Gateway;
  const servers: Server[] = [];
  const sockets = new Set<Socket>();

  async function listening<S extends Server>(server: S): Promise<number> {
    servers.push(server);
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  function answer(socket: TLSSocket): void {
    socket.on("error", () => socket.destroy());
    socket.once("data", (head: Buffer) => {
      const path = head.toString("latin1").split(" ")[1] as string;
      const body = path.endsWith("/large") ? LARGE : SMALL;
      const length = path.endsWith("/length") ? `Content-Length: ${body.length}\r\n` : "";
      socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${length}Connection: close\r\n\r\n`);
      socket.end(body);
    });
  }

  before(async () => {
    authority = await Authority.create();
    const pair = await authority.issue("upstream", ["IP:127.0.0.1"]);
    const services: object[] = [];
    for (const version of VERSIONS as readonly SecureVersion[]) {
      const origin = await listening(
        createTlsServer({ ...pair, minVersion: version, maxVersion: version }, answer),
      );
      const relay = await listening(new CuttingRelay(origin).server);
      for (const [end, port] of [
        ["notified", origin],
        ["cut", relay],
      ] as const) {
        const name = `${end}-${version}`;
        services.push({
          name,
          url: `https://127.0.0.1:${port}`,
          routes: [
            { name, paths: [`/${name}`], strip_path: false },
            {
              name: `${name}-whole`,
              paths: [`/whole-${name}`],
              plugins: [{ name: "response-transformer", config: { add: { json: ["more:1"] } } }],
            },
          ],
        });
      }
    }
    gateway = await startGateway({
      config: { _format_version: "3.0", services },
      settings: { data_threads: "1", lua_ssl_trusted_certificate: authority.file },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    for (const socket of sockets) socket.destroy();
    for (const server of servers) server.close();
    await authority?.[Symbol.asyncDispose]();
  });

  async function ask(path: string, version = "1.1") {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(`GET ${path} HTTP/${version}\r\nHost: a\r\n\r\n`);
    return await client.read();
  }

  for (const version of VERSIONS) {
    for (const http of ["1.0", "1.1"])
      it(`${version}, client of HTTP/${http}: with close_notify the response is whole`, async () => {
        const response = await ask(`/notified-${version}/small`, http);
        assert.deepEqual([response.status, response.body], [200, SMALL]);
      });

    for (const http of ["1.0", "1.1"])
      it(`${version}, client of HTTP/${http}: without close_notify the client sees it cut short`, async () => {
        await assert.rejects(ask(`/cut-${version}/small`, http));
        await gateway.log(({ msg }) => /TLS ended without close_notify/.test(String(msg)));
      });

    it(`${version}: a response that says how long it is needs no close_notify`, async () => {
      const response = await ask(`/cut-${version}/length`);
      assert.deepEqual([response.status, response.body], [200, SMALL]);
    });

    it(`${version}: one that a plugin wants whole is a 502 without close_notify, and whole with it`, async () => {
      assert.equal((await ask(`/whole-cut-${version}/small`)).status, 502);
      const response = await ask(`/whole-notified-${version}/small`);
      assert.deepEqual(JSON.parse(response.body.toString()), { small: true, more: "1" });
    });

    it(`${version}: a client that is slow to read gets a long response whole, and sees one that is cut`, async () => {
      for (const [end, whole] of [
        ["notified", true],
        ["cut", false],
      ] as const) {
        await using client = await openRaw(gateway.ports.proxy);
        const { socket } = client;
        socket.removeAllListeners("data");
        let length = 0;
        let last = Buffer.alloc(0);
        socket.on("data", (piece: Buffer) => {
          length += piece.length;
          last = Buffer.concat([last, piece]).subarray(-5);
          socket.pause();
          setImmediate(() => socket.resume());
        });
        client.write(`GET /${end}-${version}/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
        await new Promise((resolve) => socket.once("end", resolve).once("error", resolve));
        assert.equal(last.toString() === "0\r\n\r\n", whole);
        if (whole) assert.ok(length > LARGE.length);
      }
    });
  }
});
