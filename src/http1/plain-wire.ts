/**
 * A TCP connection on the bare handle: reads come into one buffer of the thread, writes are tried at once and
 * queue in the system's own layer only as far as the peer does not take them. Hot; guarded by bench/bench.ts.
 */
import type { Server } from "node:net";
import { contain } from "./fault.ts";
import {
  connectHandle,
  END_OF_STREAM,
  errorName,
  localAddressOf,
  newHandle,
  readResult,
  shutdownHandle,
  type TcpHandle,
  type WriteRequest,
  writeError,
} from "./tcp-handle.ts";
import type { ConnectingOwner, Wire, WireOwner } from "./wire.ts";

const READ_BYTES = 65_536;

/**
 * What all wires of this thread read into, one after the other: a buffer for each read would be 64 KiB from
 * the allocator each time. Therefore a chunk is only valid while it is handed over.
 */
export const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Where a write puts what is only valid while it is handed over. The system mostly takes it at once, and the next
 * write uses the same memory, which is in the CPU's cache; a write that has to wait keeps it, and there is another.
 * With a copy from the allocator for each piece, large bodies cost five times the time outside the kernel
 * (bench/bench.ts `plain-1m`), and their garbage outran the collector by 50 MiB and more.
 */
let copies = Buffer.allocUnsafeSlow(READ_BYTES);

/** Views of the first bytes of the buffer, by length: small reads come all the time, and so need no new object. */
const SMALL_BYTES = 4096;
const SMALL_CHUNKS: (Buffer | undefined)[] = new Array(SMALL_BYTES + 1).fill(undefined);

/** What a read of so many bytes brought. */
export function chunkOf(length: number): Buffer {
  if (length > SMALL_BYTES) return length === READ_BYTES ? READ_BUFFER : READ_BUFFER.subarray(0, length);
  let chunk = SMALL_CHUNKS[length];
  if (chunk === undefined) {
    chunk = READ_BUFFER.subarray(0, length);
    SMALL_CHUNKS[length] = chunk;
  }
  return chunk;
}

/** The handle's wire, found without a closure for each. */
const WIRE = Symbol("wire");
type WiredHandle = TcpHandle & { [WIRE]?: PlainWire };
type WiredRequest = WriteRequest & { [WIRE]?: PlainWire; kept?: unknown };

/** Ends of an accepted connection. */
export interface Ends {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
}

const NOWHERE: Ends = { remoteAddress: "", remotePort: 0, localPort: 0 };

const NOBODY: WireOwner = {
  onRead() {},
  onDrain() {},
  onEnd() {},
  onBroken() {},
  onClosed() {},
};

export class PlainWire implements Wire {
  closed = false;
  paused = true;
  halfOpen = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly #handle: WiredHandle;
  #owner: WireOwner;
  /** Writes that the system has not taken whole. */
  #waiting = 0;
  #ended = false;
  /** Both directions: the peer's end was read; our end is out. */
  #peerEnded = false;
  #shut = false;

  constructor(handle: TcpHandle, owner: WireOwner, ends: Ends = NOWHERE) {
    this.#handle = handle;
    this.#owner = owner;
    this.remoteAddress = ends.remoteAddress;
    this.remotePort = ends.remotePort;
    this.localPort = ends.localPort;
    this.#handle[WIRE] = this;
    handle.onread = onRead;
    handle.useUserBuffer(READ_BUFFER);
  }

  /** Without TLS, nobody can tell. */
  get cutOff(): boolean {
    return false;
  }

  get blocked(): boolean {
    return this.#waiting > 0;
  }

  get localAddress(): string {
    return this.closed ? "" : localAddressOf(this.#handle);
  }

  get queuedBytes(): number {
    return this.closed ? 0 : this.#handle.writeQueueSize;
  }

  get takenBytes(): number {
    return this.closed ? 0 : this.#handle.bytesWritten - this.#handle.writeQueueSize;
  }

  own(owner: WireOwner): void {
    this.#owner = owner;
  }

  writeText(latin1: string): boolean {
    if (this.closed || this.#ended) return true;
    return this.#written(this.#handle.writeLatin1String(null, latin1), null);
  }

  writeBytes(bytes: Buffer): boolean {
    if (this.closed || this.#ended) return true;
    return this.#written(this.#handle.writeBuffer(null, bytes), bytes);
  }

  writeAround(head: string, bytes: Buffer, tail: string): boolean {
    if (this.closed || this.#ended) return true;
    if (head === "" && tail === "") return this.writeBytes(bytes);
    const parts: unknown[] = [];
    if (head !== "") parts.push(head, "latin1");
    parts.push(bytes, "buffer");
    if (tail !== "") parts.push(tail, "latin1");
    return this.#written(this.#handle.writev(null, parts, false), bytes);
  }

  writeCopy(head: string, bytes: Buffer, tail: string): boolean {
    if (bytes.length > READ_BYTES) return this.writeAround(head, Buffer.from(bytes), tail);
    bytes.copy(copies);
    const copy = bytes.length === READ_BYTES ? copies : copies.subarray(0, bytes.length);
    const flows = this.writeAround(head, copy, tail);
    if (!flows) copies = Buffer.allocUnsafeSlow(READ_BYTES);
    return flows;
  }

  pause(): void {
    if (this.paused || this.closed) return;
    this.paused = true;
    this.#handle.readStop();
  }

  resume(): void {
    if (!this.paused || this.closed) return;
    // What cannot be read stays paused, and may be tried again.
    if (this.#peerEnded || this.#handle.readStart() === 0) this.paused = false;
  }

  end(): void {
    if (this.#ended || this.closed) return;
    this.#ended = true;
    const status = shutdownHandle(this.#handle, () => this.#onShut());
    if (status !== 0) setImmediate(() => this.#onShut());
  }

  destroy(): void {
    if (this.closed) return;
    this.#leave();
    this.#handle.close(() => this.#gone());
  }

  reset(): void {
    if (this.closed) return;
    this.#leave();
    if (this.#handle.reset(() => this.#gone()) !== 0) this.#handle.close(() => this.#gone());
  }

  /** Gives the connection away, with nothing of it left to write: TLS begins on it. The owner hears nothing more. */
  release(): TcpHandle {
    this.pause();
    this.#leave();
    return this.#handle;
  }

  #leave(): void {
    this.closed = true;
    this.#handle.onread = ignore;
  }

  #gone(): void {
    try {
      this.#owner.onClosed();
    } catch (error) {
      contain(error, null);
    }
  }

  #onShut(): void {
    this.#shut = true;
    if (this.#peerEnded) this.destroy();
  }

  #written(result: number | WriteRequest, kept: unknown): boolean {
    if (typeof result === "number") {
      if (result !== 0) this.#writeFailed(result);
      return this.#waiting === 0;
    }
    const error = writeError();
    if (error !== 0) {
      this.#writeFailed(error);
      return this.#waiting === 0;
    }
    this.#waiting++;
    const request = result as WiredRequest;
    request[WIRE] = this;
    request.kept = kept;
    request.oncomplete = onWritten;
    if (request.writeStatus !== null) this.completed(request.writeStatus); // done before anybody could be told
    return this.#waiting === 0;
  }

  /**
   * The peer takes nothing any more. What it sent before it left is still to be read, an early answer for one, and
   * the read that follows tells of the end; who does not read hears of it here.
   */
  #writeFailed(status: number): void {
    const deaf = this.paused || (this.#peerEnded && this.halfOpen);
    if (deaf) this.breakSoon(`write ${errorName(status)}`);
  }

  /** Called by the handle. */
  completed(status: number): void {
    this.#waiting--;
    if (this.closed) return;
    if (status < 0) this.#writeFailed(status);
    else if (this.#waiting === 0) this.#owner.onDrain();
  }

  /** Called by the handle. */
  read(result: number): void {
    if (result > 0) return this.#owner.onRead(chunkOf(result));
    if (result === 0) return;
    if (result !== END_OF_STREAM) return this.broken(`read ${errorName(result)}`);
    this.#peerEnded = true;
    this.#owner.onEnd();
    if (this.closed) return;
    if (this.#shut) this.destroy();
    else if (!this.halfOpen) this.end();
  }

  /** The connection is of no use any more. */
  broken(reason: string): void {
    if (this.closed) return;
    this.destroy();
    this.#owner.onBroken(reason);
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

function onRead(this: WiredHandle): void {
  const wire = this[WIRE] as PlainWire;
  try {
    wire.read(readResult());
  } catch (error) {
    contain(error, wire);
  }
}

function onWritten(this: WiredRequest, status: number): void {
  const wire = this[WIRE] as PlainWire;
  try {
    wire.completed(status);
  } catch (error) {
    contain(error, wire);
  }
}

function ignore(): void {}

/** Opens a connection. The owner hears `onConnected` or `onBroken`, never before this returns. */
export function connectPlain(address: string, port: number, owner: ConnectingOwner): PlainWire {
  const handle = newHandle();
  const wire = new PlainWire(handle, owner);
  const status = connectHandle(handle, address, port, (result) => {
    if (wire.closed) return;
    try {
      if (result !== 0) return wire.broken(`connect ${errorName(result)}`);
      handle.setNoDelay(true);
      wire.resume();
      owner.onConnected();
    } catch (error) {
      contain(error, wire);
    }
  });
  if (status !== 0) wire.breakSoon(`connect ${errorName(status)}`);
  return wire;
}

/** A wire of a connection that cannot even be tried: the owner hears `onBroken`, as with one that fails. */
export function failPlain(reason: string, owner: WireOwner): PlainWire {
  const wire = new PlainWire(newHandle(), owner);
  wire.breakSoon(reason);
  return wire;
}

/** The parts of a listening server's handle that accepting needs. */
interface ListeningHandle {
  onconnection: (status: number, handle: TcpHandle | undefined) => void;
  setNoDelay(on: boolean): number;
}

/**
 * Has a listening server give its connections as wires, in place of sockets. Reading begins when whoever takes the
 * wire resumes it.
 */
export function acceptPlain(
  server: Server,
  onWire: (wire: PlainWire) => void,
  onFailed: (reason: string) => void = ignore,
): void {
  const { port: localPort } = server.address() as { port: number };
  const listening = accept(server, onWire, onFailed, (handle) => {
    const peer: { address?: string; port?: number } = {};
    if (handle.getpeername(peer) !== 0) return null; // gone already
    const address = peer.address as string;
    const remoteAddress = address.startsWith("::ffff:") ? address.substring(7) : address;
    return { remoteAddress, remotePort: peer.port as number, localPort };
  });
  listening.setNoDelay(true); // accepted sockets inherit it
}

/** The same for a server on a Unix socket, whose wires have no addresses. */
export function acceptLocal(server: Server, onWire: (wire: PlainWire) => void): void {
  accept(server, onWire, ignore, () => NOWHERE);
}

function accept(
  server: Server,
  onWire: (wire: PlainWire) => void,
  onFailed: (reason: string) => void,
  endsOf: (handle: TcpHandle) => Ends | null,
): ListeningHandle {
  const listening = (server as unknown as { _handle: ListeningHandle })._handle;
  listening.onconnection = (status, handle) => {
    // Without free descriptors the runtime accepts and closes at once, from a reserve, so that nothing spins; where
    // the reserve is gone too, this is called again and again until there is a descriptor.
    if (status !== 0 || handle === undefined) return onFailed(status === 0 ? "no handle" : errorName(status));
    const ends = endsOf(handle);
    if (ends === null) return handle.close(ignore);
    const wire = new PlainWire(handle, NOBODY, ends);
    try {
      onWire(wire);
    } catch (error) {
      contain(error, wire);
    }
  };
  return listening;
}
