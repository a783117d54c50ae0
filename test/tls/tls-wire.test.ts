/** The wire of a client's TLS connection: how long it lives, and how it ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, createServer, type Server } from "node:net";
import { it } from "node:test";
import { connect, createSecureContext } from "node:tls";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { acceptPlain } from "../../src/http1/plain-wire.ts";
import { selfSigned } from "../../src/tls/self-signed.ts";
import { TlsWire } from "../../src/tls/tls-wire.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const MUCH = Buffer.alloc(8 << 20, 1);
/** A record of close_notify in TLS 1.2 with GCM: type 21, and 2 bytes under 24 of nonce and tag. */
const ALERT = 21;
const ALERT_BYTES = 5 + 2 + 24;

it("a wire that is ended as soon as all is written says goodbye once, although the peer has ended before", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const context = createSecureContext(selfSigned("localhost"));
  acceptPlain(server, (accepted) => {
    const wire: TlsWire = new TlsWire(accepted.release(), context, accepted, {
      onSecure: () => {},
      onRead: () => {},
      onEnd: () => wire.writeBytes(MUCH),
      onDrain: () => wire.end(),
      onBroken: () => {},
      onClosed: () => {},
    });
    wire.halfOpen = true;
    wire.start(Buffer.alloc(0));
  });
  // Between the two, what is encrypted can be seen.
  let last: Buffer = Buffer.alloc(0);
  const relay = createServer({ allowHalfOpen: true }, (near) => {
    const far = connectTcp({ port: portOf(server), allowHalfOpen: true, host: "127.0.0.1" });
    near.on("error", () => {}).pipe(far);
    far.on("error", () => {}).pipe(near);
    far.on("data", (chunk: Buffer) => {
      last = Buffer.concat([last, chunk]).subarray(-ALERT_BYTES);
    });
  }).listen(0, "127.0.0.1");
  await once(relay, "listening");
  const peer = connect({
    port: portOf(relay),
    host: "127.0.0.1",
    rejectUnauthorized: false,
    maxVersion: "TLSv1.2",
    ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256",
  });
  let received = 0;
  peer.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  const ended = once(peer, "end");
  await once(peer, "secureConnect");
  peer.end();
  await ended;
  peer.destroy();
  server.close();
  relay.close();
  assert.equal(received, MUCH.length);
  assert.equal(last[0], ALERT);
});

it("a wire lives as long as its connection, though nobody holds it", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const context = createSecureContext(selfSigned("localhost"));
  const heard = Promise.withResolvers<string>();
  acceptPlain(server, (accepted) => {
    const wire = new TlsWire(accepted.release(), context, accepted, {
      onSecure: () => {},
      onRead: (chunk) => heard.resolve(chunk.toString()),
      onEnd: () => {},
      onDrain: () => {},
      onBroken: heard.resolve,
      onClosed: () => {},
    });
    wire.start(Buffer.alloc(0));
  });
  const peer = connect({ port: portOf(server), host: "127.0.0.1", rejectUnauthorized: false });
  peer.on("close", () => heard.resolve("closed"));
  // By the time that a session comes the server's side of the handshake is over.
  await once(peer, "session");
  collectGarbage();
  peer.write("after the collection");
  assert.equal(await heard.promise, "after the collection");
  peer.destroy();
  server.close();
});
