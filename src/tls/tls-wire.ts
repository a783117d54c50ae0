/**
 * The server's side of a TLS connection on the bare handles: what http1/plain-wire.ts is for TCP. Hot; guarded by
 * bench/bench.ts (`tls`).
 *
 * Differences that the handle makes: it takes one write at a time (a second one would end the process), and tells
 * of the end of each in a later turn of the loop. So what is written meanwhile is gathered here, and goes out in
 * one write after it.
 */
import type { SecureContext } from "node:tls";
import { contain } from "../http1/fault.ts";
import { chunkOf, type Ends, READ_BUFFER } from "../http1/plain-wire.ts";
import {
  END_OF_STREAM,
  errorName,
  localAddressOf,
  readResult,
  shutdownHandle,
  type TcpHandle,
  type WriteRequest,
  writeError,
} from "../http1/tcp-handle.ts";
import type { Wire, WireOwner } from "../http1/wire.ts";
import { serverHandle, type TlsFailure, type TlsHandle } from "./tls-handle.ts";

/** Who waits for the handshake hears of its end besides. */
export interface SecuringOwner extends WireOwner {
  onSecure(): void;
}

/** Bytes on their way, in the handle and here, from which on a writer is asked to wait. */
const HIGH_WATER_BYTES = 65_536;

/** `http/1.1` as ALPN writes it: the one protocol that is spoken here. */
const HTTP1_ONLY = Buffer.from("\x08http/1.1", "latin1");

/** The handle's wire, found without a closure for each. */
const WIRE = Symbol("wire");
type WiredHandle = TlsHandle & { [WIRE]?: TlsWire };
type WiredRequest = WriteRequest & { [WIRE]?: TlsWire; kept?: unknown };

export class TlsWire implements Wire {
  closed = false;
  paused = true;
  halfOpen = false;
  blocked = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly #tcp: TcpHandle;
  readonly #tls: WiredHandle;
  #owner: WireOwner;
  #securing: SecuringOwner | null;
  /** Whether the handle has a write. */
  #writing = false;
  /** Bytes of that write; what waits behind it, and its bytes. */
  #sending = 0;
  #queue: (string | Buffer)[] = [];
  #queued = 0;
  #ended = false;
  /** Both directions: the peer's end was read; our end is out. */
  #peerEnded = false;
  #shutting = false;
  #shut = false;

  /** Takes over the handle of a TCP connection. `first` is what was read of it already. */
  constructor(tcp: TcpHandle, context: SecureContext, ends: Ends, owner: SecuringOwner) {
    this.#tcp = tcp;
    this.#owner = owner;
    this.#securing = owner;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.localPort = ends.localPort;
    const handle: WiredHandle = serverHandle(tcp, context);
    this.#tls = handle;
    handle[WIRE] = this;
    handle.onread = onRead;
    handle.onhandshakedone = onSecure;
    handle.onerror = onFailure;
    handle.useUserBuffer(READ_BUFFER);
    handle.setALPNProtocols(HTTP1_ONLY);
  }

  /** Starts the handshake. `first` is what was read of the connection already; the handle copies it. */
  start(first: Buffer): void {
    this.paused = false;
    this.#tls.receive(first);
    if (!this.closed && !this.paused) this.#tls.readStart();
  }

  get localAddress(): string {
    return this.closed ? "" : localAddressOf(this.#tcp);
  }

  /** How a client ends makes no difference: a request says how long it is. */
  get cutOff(): boolean {
    return false;
  }

  get queuedBytes(): number {
    return this.closed ? 0 : this.#queued + this.#tls.writeQueueSize + this.#tcp.writeQueueSize;
  }

  get takenBytes(): number {
    return this.closed ? 0 : this.#tcp.bytesWritten - this.#tcp.writeQueueSize;
  }

  /** Name that the client's session was made for: with TLS 1.2, that of the session that it resumes. */
  get sessionName(): string | null {
    return this.#tls.getServername() || null;
  }

  get resumed(): boolean {
    return this.#tls.isSessionReused();
  }

  get protocol(): string {
    return this.#tls.getProtocol();
  }

  own(owner: WireOwner): void {
    this.#owner = owner;
  }

  writeText(latin1: string): boolean {
    if (this.closed || this.#ended || latin1 === "") return !this.blocked;
    if (this.#writing) return this.#wait(latin1);
    return this.#written(this.#tls.writeLatin1String(null, latin1), latin1.length, null);
  }

  writeBytes(bytes: Buffer): boolean {
    if (this.closed || this.#ended || bytes.length === 0) return !this.blocked;
    if (this.#writing) return this.#wait(bytes);
    return this.#written(this.#tls.writeBuffer(null, bytes), bytes.length, bytes);
  }

  writeAround(head: string, bytes: Buffer, tail: string): boolean {
    if (this.closed || this.#ended) return !this.blocked;
    if (head === "" && tail === "") return this.writeBytes(bytes);
    if (head !== "") this.#hold(head);
    this.#hold(bytes);
    if (tail !== "") this.#hold(tail);
    return this.#writing ? this.#flows() : this.#flush();
  }

  writeCopy(head: string, bytes: Buffer, tail: string): boolean {
    // The handle has encrypted, or copied, what it was given when it returns; what waits here is not with it yet.
    return this.writeAround(head, this.#writing ? Buffer.from(bytes) : bytes, tail);
  }

  pause(): void {
    if (this.paused || this.closed) return;
    this.paused = true;
    this.#tls.readStop();
  }

  resume(): void {
    if (!this.paused || this.closed) return;
    this.paused = false;
    if (!this.#peerEnded) this.#tls.readStart();
  }

  end(): void {
    if (this.#ended || this.closed) return;
    this.#ended = true;
    if (!this.#writing) this.#shutdown();
  }

  destroy(): void {
    if (this.closed) return;
    this.#leave();
    this.#tcp.close(() => this.#gone());
  }

  reset(): void {
    if (this.closed) return;
    this.#leave();
    if (this.#tcp.reset(() => this.#gone()) !== 0) this.#tcp.close(() => this.#gone());
  }

  #leave(): void {
    this.closed = true;
    this.#tls.onread = ignore;
    this.#queue = [];
    this.#queued = 0;
  }

  #gone(): void {
    this.#tls.destroySSL();
    try {
      this.#owner.onClosed();
    } catch (error) {
      contain(error, null);
    }
  }

  /** Says goodbye (close_notify), once everything is out. */
  #shutdown(): void {
    if (this.#shutting) return;
    this.#shutting = true;
    const status = shutdownHandle(this.#tls, () => this.#onShut());
    if (status !== 0) setImmediate(() => this.#onShut());
  }

  #onShut(): void {
    this.#shut = true;
    if (this.#peerEnded) this.destroy();
  }

  #hold(part: string | Buffer): void {
    const queue = this.#queue;
    const last = queue.length - 1;
    const before = queue[last];
    if (typeof part === "string" && typeof before === "string") queue[last] = before + part;
    else queue.push(part);
    this.#queued += part.length;
  }

  #wait(part: string | Buffer): boolean {
    this.#hold(part);
    return this.#flows();
  }

  /** Hands everything that waits to the handle. */
  #flush(): boolean {
    const parts = this.#queue;
    const bytes = this.#queued;
    this.#queue = [];
    this.#queued = 0;
    const only = parts.length === 1 ? parts[0] : undefined;
    if (typeof only === "string") return this.#written(this.#tls.writeLatin1String(null, only), bytes, null);
    if (only !== undefined) return this.#written(this.#tls.writeBuffer(null, only), bytes, only);
    const pairs: unknown[] = [];
    for (const part of parts) pairs.push(part, typeof part === "string" ? "latin1" : "buffer");
    return this.#written(this.#tls.writev(null, pairs, false), bytes, parts);
  }

  #written(result: number | WriteRequest, bytes: number, kept: unknown): boolean {
    if (typeof result === "number") {
      if (result !== 0) this.#writeFailed(result);
      return this.#flows();
    }
    const error = writeError();
    if (error !== 0) {
      this.#writeFailed(error);
      return this.#flows();
    }
    this.#writing = true;
    this.#sending = bytes;
    const request = result as WiredRequest;
    request[WIRE] = this;
    request.kept = kept;
    request.oncomplete = onWritten;
    if (request.writeStatus !== null) this.completed(request.writeStatus); // done before anybody could be told
    return this.#flows();
  }

  /** Whether a writer may go on; one that may not hears `onDrain`. */
  #flows(): boolean {
    if (!this.blocked && this.#writing)
      this.blocked = this.#sending + this.#queued > HIGH_WATER_BYTES || this.#tcp.writeQueueSize > 0;
    return !this.blocked;
  }

  /** As with plain wires: what the peer sent before it left is still to be read; who does not read hears of it here. */
  #writeFailed(status: number): void {
    const deaf = this.paused || (this.#peerEnded && this.halfOpen);
    if (!deaf) return;
    setImmediate(() => {
      try {
        this.broken(`write ${errorName(status)}`);
      } catch (error) {
        contain(error, this);
      }
    });
  }

  /** Called by the handle. */
  completed(status: number): void {
    this.#writing = false;
    this.#sending = 0;
    if (this.closed) return;
    if (status < 0) return this.#writeFailed(status);
    if (this.#queue.length > 0) {
      this.#flush();
      return;
    }
    if (this.blocked) {
      this.blocked = false;
      this.#owner.onDrain();
    }
    if (this.#ended && !this.#writing && !this.closed) this.#shutdown();
  }

  /** Called by the handle. */
  read(result: number): void {
    if (result > 0) return this.#owner.onRead(chunkOf(result));
    if (result === 0) return;
    if (result !== END_OF_STREAM) return this.broken(`read ${errorName(result)}`);
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    this.#owner.onEnd();
    if (this.closed) return;
    if (this.#shut) this.destroy();
    else if (!this.halfOpen) this.end();
  }

  /** Called by the handle. */
  secured(): void {
    const owner = this.#securing;
    this.#securing = null; // TLS 1.3 may tell of it again
    if (owner !== null && !this.closed) owner.onSecure();
  }

  /** The connection is of no use any more. */
  broken(reason: string): void {
    if (this.closed) return;
    this.destroy();
    this.#owner.onBroken(reason);
  }
}

function onRead(this: TcpHandle): void {
  const wire = (this as unknown as WiredHandle)[WIRE] as TlsWire;
  try {
    wire.read(readResult());
  } catch (error) {
    contain(error, wire);
  }
}

function onSecure(this: WiredHandle): void {
  const wire = this[WIRE] as TlsWire;
  try {
    wire.secured();
  } catch (error) {
    contain(error, wire);
  }
}

function onFailure(this: WiredHandle, error: TlsFailure): void {
  const wire = this[WIRE] as TlsWire;
  try {
    wire.broken(`TLS: ${error.reason ?? error.message}`);
  } catch (fault) {
    contain(fault, wire);
  }
}

function onWritten(this: WiredRequest, status: number): void {
  const wire = this[WIRE] as TlsWire;
  try {
    wire.completed(status);
  } catch (error) {
    contain(error, wire);
  }
}

function ignore(): void {}
