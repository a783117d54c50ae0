/** A fault of the gateway: the exception costs the connection in which it happens, and no other. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { connect as connectTls, createSecureContext, createServer as createTlsServer } from "node:tls";
import { Deadlines } from "../../src/http1/deadlines.ts";
import { reportFaults } from "../../src/http1/fault.ts";
import { acceptPlain, connectPlain, type PlainWire } from "../../src/http1/plain-wire.ts";
import { StreamWire } from "../../src/http1/stream-wire.ts";
import type { ConnectingOwner } from "../../src/http1/wire.ts";
import { selfSigned } from "../../src/tls/self-signed.ts";
import { TlsWire } from "../../src/tls/tls-wire.ts";

type Hears = "onRead" | "onDrain" | "onEnd" | "onBroken" | "onClosed" | "onConnected" | "onSecure";

/** An owner that fails when it hears of one thing. */
class Failing implements ConnectingOwner {
  readonly closed = Promise.withResolvers<void>();
  readonly at: Hears;
  constructor(at: Hears) {
    this.at = at;
  }
  #hears(what: Hears): void {
    if (what === "onClosed") this.closed.resolve();
    if (what === this.at) throw new Error(`fails in ${what}`);
  }
  onRead(): void {
    this.#hears("onRead");
  }
  onDrain(): void {
    this.#hears("onDrain");
  }
  onEnd(): void {
    this.#hears("onEnd");
  }
  onBroken(): void {
    this.#hears("onBroken");
  }
  onClosed(): void {
    this.#hears("onClosed");
  }
  onConnected(): void {
    this.#hears("onConnected");
  }
  onSecure(): void {
    this.#hears("onSecure");
  }
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const MUCH = Buffer.alloc(8 << 20);

describe("an exception where the runtime calls", () => {
  const pair = selfSigned("localhost");
  const context = createSecureContext(pair);
  let faults: string[];
  let server: Server;
  let onWire: (wire: PlainWire) => void;

  before(async () => {
    server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    acceptPlain(server, (wire) => onWire(wire));
  });
  after(() => server.close());
  beforeEach(() => {
    faults = [];
    reportFaults((error) => faults.push((error as Error).message));
  });
  afterEach(() => reportFaults(null));

  /** What a peer does so that an owner hears of it. */
  const PROVOKED: [Hears, (peer: Socket) => void][] = [
    ["onRead", (peer) => peer.write("x")],
    ["onDrain", (peer) => peer.resume()],
    ["onEnd", (peer) => peer.end()],
    ["onBroken", (peer) => peer.resetAndDestroy()],
    ["onClosed", (peer) => peer.destroy()],
  ];
  for (const [what, provoke] of PROVOKED)
    it(`destroys a plain connection when ${what} fails`, async () => {
      const owner = new Failing(what);
      onWire = (wire) => {
        wire.own(owner);
        wire.resume();
        if (what === "onDrain") assert.equal(wire.writeBytes(MUCH), false);
        if (what === "onClosed") wire.destroy();
      };
      const peer = connect(portOf(server), "127.0.0.1").on("error", () => {});
      await once(peer, "connect");
      provoke(peer);
      await owner.closed.promise;
      peer.destroy();
      assert.deepEqual(faults, [`fails in ${what}`]);
    });

  it("destroys a connection that could not be accepted", async () => {
    onWire = () => {
      throw new Error("fails in accept");
    };
    const peer = connect(portOf(server), "127.0.0.1").on("error", () => {});
    await once(peer, "close");
    assert.deepEqual(faults, ["fails in accept"]);
  });

  it("destroys a connection whose owner fails when it is connected", async () => {
    onWire = (wire) => wire.resume();
    const owner = new Failing("onConnected");
    connectPlain("127.0.0.1", portOf(server), owner);
    await owner.closed.promise;
    assert.deepEqual(faults, ["fails in onConnected"]);
  });

  for (const what of ["onSecure", "onRead", "onDrain", "onEnd"] as const)
    it(`destroys a client's TLS connection when ${what} fails`, async () => {
      const owner = new Failing(what);
      onWire = (wire) => {
        const secure = new TlsWire(wire.release(), context, wire, owner);
        secure.start(Buffer.alloc(0));
        if (what === "onDrain") secure.writeBytes(MUCH);
      };
      const peer = connectTls({ port: portOf(server), host: "127.0.0.1", rejectUnauthorized: false });
      peer.on("error", () => {});
      if (what !== "onSecure") await once(peer, "secureConnect");
      if (what === "onRead") peer.write("x");
      if (what === "onDrain") peer.resume();
      if (what === "onEnd") peer.end();
      await owner.closed.promise;
      peer.destroy();
      assert.deepEqual(faults, [`fails in ${what}`]);
    });

  for (const what of ["onRead", "onDrain", "onEnd", "onBroken"] as const)
    it(`destroys an upstream's TLS connection when ${what} fails`, async () => {
      const secure = createTlsServer(pair, (socket) => {
        socket.on("error", () => {});
        if (what === "onRead") socket.write("x");
        if (what === "onDrain") socket.resume();
        if (what === "onEnd") socket.end();
        if (what === "onBroken") new StreamWire(socket, new Failing("onSecure")).reset();
      }).listen(0, "127.0.0.1");
      await once(secure, "listening");
      const socket = connectTls({ port: portOf(secure), host: "127.0.0.1", rejectUnauthorized: false });
      const owner = new Failing(what);
      const wire = new StreamWire(socket, owner);
      await once(socket, "secureConnect");
      wire.resume();
      if (what === "onDrain") wire.writeBytes(MUCH);
      await owner.closed.promise;
      secure.close();
      assert.deepEqual(faults, [`fails in ${what}`]);
    });

  it("destroys what fails at its deadline; the others keep theirs", async () => {
    const deadlines = new Deadlines();
    const kept = Promise.withResolvers<void>();
    let destroyed = 0;
    const due = (onDeadline: () => void) => ({ deadline: 1, onDeadline, destroy: () => void destroyed++ });
    const failing = due(() => {
      throw new Error("fails in onDeadline");
    });
    const sound = due(() => kept.resolve());
    deadlines.add(failing);
    deadlines.add(sound);
    await kept.promise;
    assert.equal(destroyed, 1);
    assert.equal(deadlines.size, 1);
    assert.deepEqual(faults, ["fails in onDeadline"]);
    deadlines.delete(sound);
  });
});
