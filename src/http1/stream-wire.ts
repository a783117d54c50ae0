/** A wire over one of the runtime's sockets: what is encrypted. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Wire, WireOwner } from "./wire.ts";

/** Bytes on their way out: a TLS handle counts what it was given, its parent what became of it. */
interface EncryptedHandle {
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
  readonly _parent?: EncryptedHandle;
}

export class StreamWire implements Wire {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly socket: Socket | TLSSocket;
  #owner: WireOwner;

  constructor(socket: Socket | TLSSocket, owner: WireOwner) {
    this.socket = socket;
    this.#owner = owner;
    const address = socket.remoteAddress ?? "0.0.0.0";
    this.remoteAddress = address.startsWith("::ffff:") ? address.substring(7) : address;
    this.remotePort = socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    socket.pause();
    socket.on("data", (chunk: Buffer) => this.#owner.onRead(chunk));
    socket.on("drain", () => this.#owner.onDrain());
    socket.on("end", () => this.#owner.onEnd());
    socket.on("error", (error) => this.#owner.onBroken(error.message));
    socket.on("close", () => this.#owner.onClosed());
  }

  get localAddress(): string {
    const address = this.socket.localAddress ?? "";
    return address.startsWith("::ffff:") ? address.substring(7) : address;
  }

  get closed(): boolean {
    return this.socket.destroyed;
  }

  get paused(): boolean {
    return this.socket.isPaused();
  }

  get halfOpen(): boolean {
    return this.socket.allowHalfOpen;
  }

  set halfOpen(on: boolean) {
    this.socket.allowHalfOpen = on;
  }

  get blocked(): boolean {
    return this.socket.writableNeedDrain;
  }

  get queuedBytes(): number {
    return this.socket.writableLength;
  }

  get takenBytes(): number {
    const handle = (this.socket as unknown as { _handle: EncryptedHandle | null })._handle;
    if (handle === null) return 0;
    const { bytesWritten, writeQueueSize } = handle._parent ?? handle;
    return bytesWritten - writeQueueSize;
  }

  own(owner: WireOwner): void {
    this.#owner = owner;
  }

  writeText(latin1: string): boolean {
    return this.socket.write(latin1, "latin1");
  }

  writeBytes(bytes: Buffer): boolean {
    return this.socket.write(bytes);
  }

  writeAround(head: string, bytes: Buffer, tail: string): boolean {
    const { socket } = this;
    socket.cork();
    if (head !== "") socket.write(head, "latin1");
    let flows = socket.write(bytes);
    if (tail !== "") flows = socket.write(tail, "latin1");
    socket.uncork();
    return flows;
  }

  writeCopy(head: string, bytes: Buffer, tail: string): boolean {
    return this.writeAround(head, Buffer.from(bytes), tail);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  end(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }
}
