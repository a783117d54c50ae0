/**
 * A TCP connection on the bare handle: writes are tried at once and queue in the system's own layer only as far as the
 * peer does not take them. Hot; guarded by bench/bench.ts.
 */
import type { Server } from "node:net";
import { contain } from "./fault.ts";
import { type Ends, HandleWire, READ_BYTES } from "./handle-wire.ts";
import { connectHandle, errorName, newHandle, type TcpHandle, type WriteRequest } from "./tcp-handle.ts";
import type { ConnectingOwner, WireOwner } from "./wire.ts";

/**
 * Where a write puts what is only valid while it is handed over. The system mostly takes it at once, and the next
 * write uses the same memory, which is in the CPU's cache; a write that has to wait keeps it, and there is another.
 * With a copy from the allocator for each piece, large bodies cost five times the time outside the kernel
 * (bench/bench.ts `plain-1m`), and their garbage outran the collector by 50 MiB and more.
 */
let copies = Buffer.allocUnsafeSlow(READ_BYTES);

const NOWHERE: Ends = { remoteAddress: "", remotePort: 0, localPort: 0 };

const NOBODY: WireOwner = {
  onRead() {},
  onDrain() {},
  onEnd() {},
  onBroken() {},
  onClosed() {},
};

export class PlainWire extends HandleWire<TcpHandle> {
  /** Writes that the system has not taken whole. */
  #waiting = 0;

  constructor(handle: TcpHandle, owner: WireOwner, ends: Ends = NOWHERE) {
    super(handle, handle, owner, ends);
  }

  get blocked(): boolean {
    return this.#waiting > 0;
  }

  get queuedBytes(): number {
    return this.closed ? 0 : this.handle.writeQueueSize;
  }

  writeText(latin1: string): boolean {
    if (this.closed || this.ended) return true;
    return this.#wrote(this.handle.writeLatin1String(null, latin1), null);
  }

  writeBytes(bytes: Buffer): boolean {
    if (this.closed || this.ended) return true;
    return this.#wrote(this.handle.writeBuffer(null, bytes), bytes);
  }

  writeAround(head: string, bytes: Buffer, tail: string): boolean {
    if (this.closed || this.ended) return true;
    if (head === "" && tail === "") return this.writeBytes(bytes);
    const parts: unknown[] = [];
    if (head !== "") parts.push(head, "latin1");
    parts.push(bytes, "buffer");
    if (tail !== "") parts.push(tail, "latin1");
    return this.#wrote(this.handle.writev(null, parts, false), bytes);
  }

  writeCopy(head: string, bytes: Buffer, tail: string): boolean {
    if (bytes.length > READ_BYTES) return this.writeAround(head, Buffer.from(bytes), tail);
    bytes.copy(copies);
    const copy = bytes.length === READ_BYTES ? copies : copies.subarray(0, bytes.length);
    const flows = this.writeAround(head, copy, tail);
    if (!flows) copies = Buffer.allocUnsafeSlow(READ_BYTES);
    return flows;
  }

  /** Gives the connection away, with nothing of it left to write: TLS begins on it. The owner hears nothing more. */
  release(): TcpHandle {
    this.pause();
    this.leave();
    return this.handle;
  }

  #wrote(result: number | WriteRequest, kept: unknown): boolean {
    if (result !== 0 && this.goesOn(result)) {
      this.#waiting++;
      this.await(result, kept);
    }
    return this.#waiting === 0;
  }

  written(status: number): void {
    this.#waiting--;
    if (this.closed) return;
    if (status < 0) this.writeFailed(status);
    else if (this.#waiting === 0) this.owner.onDrain();
  }
}

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
  onFailed: (reason: string) => void = nothing,
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
  accept(server, onWire, nothing, () => NOWHERE);
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
    if (ends === null) return handle.close(nothing);
    const wire = new PlainWire(handle, NOBODY, ends);
    try {
      onWire(wire);
    } catch (error) {
      contain(error, wire);
    }
  };
  return listening;
}

function nothing(): void {}
