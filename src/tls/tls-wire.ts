/**
 * The server's side of a TLS connection on the bare handles. Hot; guarded by bench/bench.ts (`tls`).
 *
 * Differences to a plain one that the handle makes: it takes one write at a time (a second one would end the process),
 * and tells of the end of each in a later turn of the loop. So what is written meanwhile is gathered here, and goes out
 * in one write after it.
 */
import type { SecureContext } from "node:tls";
import { contain } from "../http1/fault.ts";
import { type Ends, HandleWire, wireOf } from "../http1/handle-wire.ts";
import type { TcpHandle, WriteRequest } from "../http1/tcp-handle.ts";
import type { WireOwner } from "../http1/wire.ts";
import { serverHandle, type TlsFailure, type TlsHandle } from "./tls-handle.ts";

/** Who waits for the handshake hears of its end besides. */
export interface SecuringOwner extends WireOwner {
  onSecure(): void;
}

/** Bytes on their way, in the handle and here, from which on a writer is asked to wait. */
const HIGH_WATER_BYTES = 65_536;

/** `http/1.1` as ALPN writes it: the one protocol that is spoken here. */
const HTTP1_ONLY = Buffer.from("\x08http/1.1", "latin1");

export class TlsWire extends HandleWire<TlsHandle> {
  blocked = false;
  #securing: SecuringOwner | null;
  /** Whether the handle has a write. */
  #writing = false;
  /** Bytes of that write; what waits behind it, and its bytes. */
  #sending = 0;
  #queue: (string | Buffer)[] = [];
  #queued = 0;

  /** Takes over the handle of a TCP connection. */
  constructor(tcp: TcpHandle, context: SecureContext, ends: Ends, owner: SecuringOwner) {
    const handle = serverHandle(tcp, context);
    super(tcp, handle, owner, ends);
    this.#securing = owner;
    handle.onhandshakedone = onSecure;
    handle.onerror = onFailure;
    handle.setALPNProtocols(HTTP1_ONLY);
  }

  /** Starts the handshake. `first` is what was read of the connection already; the handle copies it. */
  start(first: Buffer): void {
    this.paused = false;
    this.handle.receive(first);
    if (!this.closed && !this.paused) this.handle.readStart();
  }

  get queuedBytes(): number {
    return this.closed ? 0 : this.#queued + this.handle.writeQueueSize + this.tcp.writeQueueSize;
  }

  /** Name that the client's session was made for: with TLS 1.2, that of the session that it resumes. */
  get sessionName(): string | null {
    return this.handle.getServername() || null;
  }

  get resumed(): boolean {
    return this.handle.isSessionReused();
  }

  get protocol(): string {
    return this.handle.getProtocol();
  }

  writeText(latin1: string): boolean {
    if (this.closed || this.ended || latin1 === "") return !this.blocked;
    if (this.#writing) return this.#wait(latin1);
    return this.#wrote(this.handle.writeLatin1String(null, latin1), latin1.length, null);
  }

  writeBytes(bytes: Buffer): boolean {
    if (this.closed || this.ended || bytes.length === 0) return !this.blocked;
    if (this.#writing) return this.#wait(bytes);
    return this.#wrote(this.handle.writeBuffer(null, bytes), bytes.length, bytes);
  }

  writeAround(head: string, bytes: Buffer, tail: string): boolean {
    if (this.closed || this.ended) return !this.blocked;
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

  protected override leave(): void {
    super.leave();
    this.#queue = [];
    this.#queued = 0;
  }

  protected override free(): void {
    this.handle.destroySSL();
  }

  /** Says goodbye (close_notify), once everything is out. */
  protected override shutDown(): void {
    if (!this.#writing) super.shutDown();
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
    if (typeof only === "string") return this.#wrote(this.handle.writeLatin1String(null, only), bytes, null);
    if (only !== undefined) return this.#wrote(this.handle.writeBuffer(null, only), bytes, only);
    const pairs: unknown[] = [];
    for (const part of parts) pairs.push(part, typeof part === "string" ? "latin1" : "buffer");
    return this.#wrote(this.handle.writev(null, pairs, false), bytes, parts);
  }

  #wrote(result: number | WriteRequest, bytes: number, kept: unknown): boolean {
    if (result !== 0 && this.goesOn(result)) {
      this.#writing = true;
      this.#sending = bytes;
      this.await(result, kept);
    }
    return this.#flows();
  }

  /** Whether a writer may go on; one that may not hears `onDrain`. */
  #flows(): boolean {
    if (!this.blocked && this.#writing)
      this.blocked = this.#sending + this.#queued > HIGH_WATER_BYTES || this.tcp.writeQueueSize > 0;
    return !this.blocked;
  }

  written(status: number): void {
    this.#writing = false;
    this.#sending = 0;
    if (this.closed) return;
    if (status < 0) return this.writeFailed(status);
    if (this.#queue.length > 0) {
      this.#flush();
      return;
    }
    if (this.blocked) {
      this.blocked = false;
      this.owner.onDrain();
    }
    if (this.ended && !this.closed) this.shutDown();
  }

  /** Called by the handle. */
  secured(): void {
    const owner = this.#securing;
    this.#securing = null; // TLS 1.3 may tell of it again
    if (owner !== null && !this.closed) owner.onSecure();
  }
}

function onSecure(this: TlsHandle): void {
  const wire = wireOf<TlsWire>(this);
  try {
    wire.secured();
  } catch (error) {
    contain(error, wire);
  }
}

function onFailure(this: TlsHandle, error: TlsFailure): void {
  const wire = wireOf<TlsWire>(this);
  try {
    wire.broken(`TLS: ${error.reason ?? error.message}`);
  } catch (fault) {
    contain(fault, wire);
  }
}
