/** The wire of a client's TLS connection: how it ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect as connectTcp, createServer, type Server } from "node:net";
import { it } from "node:test";
import { connect, createSecureContext } from "node:tls";
import { acceptPlain } from "../../src/http1/plain-wire.ts";
import { selfSigned } from "../../src/tls/self-signed.ts";
import { TlsWire } from "../../src/tls/tls-wire.ts";

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
