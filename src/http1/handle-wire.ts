/**
 * What wires over the runtime's bare handles have in common: plain ones (plain-wire.ts) and those of TLS
 * (tls/tls-wire.ts). Reads come into one buffer of the thread; how what is written goes out is each wire's own. Hot;
 * guarded by bench/bench.ts.
 */
import { contain } from "./fault.ts";
import {
  END_OF_STREAM,
  errorName,
  localAddressOf,
  readResult,
  type StreamHandle,
  shutdownHandle,
  type TcpHandle,
  type WriteRequest,
  writeError,
} from "./tcp-handle.ts";
import type { Wire, WireOwner } from "./wire.ts";

export const READ_BYTES = 65_536;

/**
 * What all wires of this thread read into, one after the other: a buffer for each read would be 64 KiB from
 * the allocator each time. Therefore a chunk is only valid while it is handed over.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);

/** Views of the first bytes of the buffer, by length: small reads come all the time, and so need no new object. */
const SMALL_BYTES = 4096;
const SMALL_CHUNKS: (Buffer | undefined)[] = new Array(SMALL_BYTES + 1).fill(undefined);

/** What a read of so many bytes brought. */
function chunkOf(length: number): Buffer {
  if (length > SMALL_BYTES) return length === READ_BYTES ? READ_BUFFER : READ_BUFFER.subarray(0, length);
  let chunk = SMALL_CHUNKS[length];
  if (chunk === undefined) {
    chunk = READ_BUFFER.subarray(0, length);
    SMALL_CHUNKS[length] = chunk;
  }
  return chunk;
}

/** The wire of a handle or of a write, found without a closure for each. */
const WIRE = Symbol("wire");
type WiredHandle = StreamHandle & { [WIRE]?: HandleWire<StreamHandle> };
type WiredRequest = WriteRequest & { [WIRE]?: HandleWire<StreamHandle>; kept?: unknown };

/** Ends of an accepted connection. */
export interface Ends {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
}

export abstract class HandleWire<H extends StreamHandle> implements Wire {
  closed = false;
  paused = true;
  halfOpen = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  /** The connection, and what is read and written: the same, or that of TLS above it. */
  protected readonly tcp: TcpHandle;
  protected readonly handle: H;
  protected owner: WireOwner;
  /** The owner writes no more. */
  protected ended = false;
  /** Both directions: the peer's end was read; our end is out. */
  protected peerEnded = false;
  #shutting = false;
  #shut = false;

  constructor(tcp: TcpHandle, handle: H, owner: WireOwner, ends: Ends) {
    this.tcp = tcp;
    this.handle = handle;
    this.owner = owner;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.localPort = ends.localPort;
    (handle as WiredHandle)[WIRE] = this;
    // The runtime holds a connection until it is closed, but what is above it only as long as somebody does.
    (tcp as WiredHandle)[WIRE] = this;
    handle.onread = onRead;
    handle.useUserBuffer(READ_BUFFER);
  }

  abstract readonly blocked: boolean;
  abstract readonly queuedBytes: number;
  abstract writeText(latin1: string): boolean;
  abstract writeBytes(bytes: Buffer): boolean;
  abstract writeAround(head: string, bytes: Buffer, tail: string): boolean;
  abstract writeCopy(head: string, bytes: Buffer, tail: string): boolean;
  /** Called by the handle: a write that the system had not taken whole is over. */
  abstract written(status: number): void;

  /** Without TLS, nobody can tell; and how a client ends makes no difference: a request says how long it is. */
  get cutOff(): boolean {
    return false;
  }

  get localAddress(): string {
    return this.closed ? "" : localAddressOf(this.tcp);
  }

  get takenBytes(): number {
    return this.closed ? 0 : this.tcp.bytesWritten - this.tcp.writeQueueSize;
  }

  own(owner: WireOwner): void {
    this.owner = owner;
  }

  pause(): void {
    if (this.paused || this.closed) return;
    this.paused = true;
    this.handle.readStop();
  }

  resume(): void {
    if (!this.paused || this.closed) return;
    // What cannot be read stays paused, and may be tried again.
    if (this.peerEnded || this.handle.readStart() === 0) this.paused = false;
  }

  end(): void {
    if (this.ended || this.closed) return;
    this.ended = true;
    this.shutDown();
  }

  destroy(): void {
    if (this.closed) return;
    this.leave();
    this.tcp.close(() => this.#gone());
  }

  reset(): void {
    if (this.closed) return;
    this.leave();
    if (this.tcp.reset(() => this.#gone()) !== 0) this.tcp.close(() => this.#gone());
  }

  /** Nothing more is heard of the connection, and nothing written to it. */
  protected leave(): void {
    this.closed = true;
    this.handle.onread = ignore;
  }

  /** The connection is closed; its owner is yet to hear of it. */
  protected free(): void {}

  #gone(): void {
    this.free();
    try {
      this.owner.onClosed();
    } catch (error) {
      contain(error, null);
    }
  }

  /** Says goodbye behind what the handle was given. */
  protected shutDown(): void {
    if (this.#shutting) return;
    this.#shutting = true;
    const status = shutdownHandle(this.handle, () => this.#onShut());
    if (status !== 0) setImmediate(() => this.#onShut());
  }

  #onShut(): void {
    this.#shut = true;
    if (this.peerEnded) this.destroy();
  }

  /** Whether a write goes on; then `await` is to be called. One that failed is seen to. */
  protected goesOn(result: number | WriteRequest): result is WriteRequest {
    const error = typeof result === "number" ? result : writeError();
    if (error === 0) return typeof result !== "number";
    this.writeFailed(error);
    return false;
  }

  /** Waits for a write that goes on, and keeps what it writes until then. */
  protected await(request: WriteRequest, kept: unknown): void {
    const wired = request as WiredRequest;
    wired[WIRE] = this;
    wired.kept = kept;
    wired.oncomplete = onWritten;
    if (wired.writeStatus !== null) this.written(wired.writeStatus); // done before anybody could be told
  }

  /**
   * The peer takes nothing any more. What it sent before it left is still to be read, an early answer for one, and
   * the read that follows tells of the end; who does not read hears of it here.
   */
  protected writeFailed(status: number): void {
    const deaf = this.paused || (this.peerEnded && this.halfOpen);
    if (deaf) this.breakSoon(`write ${errorName(status)}`);
  }

  /** Called by the handle. */
  read(result: number): void {
    if (result > 0) return this.owner.onRead(chunkOf(result));
    if (result === 0) return;
    if (result !== END_OF_STREAM) return this.broken(`read ${errorName(result)}`);
    if (this.peerEnded) return; // TLS may tell of it again
    this.peerEnded = true;
    this.owner.onEnd();
    if (this.closed) return;
    if (this.#shut) this.destroy();
    else if (!this.halfOpen) this.end();
  }

  /** The connection is of no use any more. */
  broken(reason: string): void {
    if (this.closed) return;
    this.destroy();
    this.owner.onBroken(reason);
  }

  /** The same, not before the caller has returned. */
  breakSoon(reason: string): void {
    setImmediate(() => {
      try {
        this.broken(reason);
      } catch (error) {
        contain(error, this);
      }
    });
  }
}

/** The wire of a handle, for what it calls beside reads and writes. */
export function wireOf<W extends HandleWire<StreamHandle>>(handle: StreamHandle): W {
  return (handle as WiredHandle)[WIRE] as W;
}

function onRead(this: StreamHandle): void {
  const wire = (this as WiredHandle)[WIRE] as HandleWire<StreamHandle>;
  try {
    wire.read(readResult());
  } catch (error) {
    contain(error, wire);
  }
}

function onWritten(this: WriteRequest, status: number): void {
  const wire = (this as WiredRequest)[WIRE] as HandleWire<StreamHandle>;
  try {
    wire.written(status);
  } catch (error) {
    contain(error, wire);
  }
}

function ignore(): void {}
