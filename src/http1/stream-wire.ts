/**
 * A wire over one of the runtime's sockets: what is encrypted towards upstreams.
 *
 * The runtime does not tell whether TLS was ended by close_notify or by the end of TCP alone, and a response that lasts
 * until the connection ends is incomplete without close_notify (RFC 9112 section 9.8): whoever can forge the end of TCP
 * could cut it short. The TCP handle below knows. Where close_notify was read, it is still being read, or rests because
 * nobody wanted more; where its own end was read, it has stopped.
 */
import type { Socket } from "node:net";
import { constants } from "node:os";
import type { TLSSocket } from "node:tls";
import { contain } from "./fault.ts";
import { END_OF_STREAM, readResult, type TcpHandle } from "./tcp-handle.ts";
import type { Wire, WireOwner } from "./wire.ts";

/** A TLS handle counts what it was given, the TCP handle below what became of it. */
interface EncryptedHandle {
  readonly bytesWritten: number;
  readonly writeQueueSize: number;
  readonly _parent?: TcpHandle;
  /** Whether the socket wants more. */
  readonly reading: boolean;
  onread: (this: EncryptedHandle, bytes: unknown) => unknown;
}

/** What a handle answers that is told to read and does. */
const READING_ALREADY = -constants.errno.EALREADY;

export class StreamWire implements Wire {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  readonly socket: Socket | TLSSocket;
  cutOff = false;
  #owner: WireOwner;

  constructor(socket: Socket | TLSSocket, owner: WireOwner) {
    this.socket = socket;
    this.#owner = owner;
    const address = socket.remoteAddress ?? "0.0.0.0";
    this.remoteAddress = address.startsWith("::ffff:") ? address.substring(7) : address;
    this.remotePort = socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    socket.pause();
    this.#hear("data", (chunk: Buffer) => this.#owner.onRead(chunk));
    this.#hear("drain", () => this.#owner.onDrain());
    this.#hear("end", () => this.#owner.onEnd());
    this.#hear("error", (error: Error) => this.#owner.onBroken(error.message));
    this.#hear("close", () => this.#owner.onClosed());
  }

  /** Sees to it that `cutOff` is known by the time of the end. To be called once the handshake is over. */
  watchEnd(): void {
    const handle = this.#handle;
    const tcp = handle?._parent;
    if (handle === null) return;
    if (tcp === undefined) throw new Error("no TCP handle below TLS");
    const { onread } = handle;
    let ended = false;
    handle.onread = (bytes) => {
      // After close_notify comes the end of TCP as well.
      if (readResult() === END_OF_STREAM && !ended) {
        ended = true;
        this.cutOff = handle.reading && tcp.readStart() !== READING_ALREADY;
        if (this.cutOff) tcp.readStop();
      }
      return onread.call(handle, bytes);
    };
  }

  #hear<T>(event: string, listener: (what: T) => void): void {
    this.socket.on(event, (what: T) => {
      try {
        listener(what);
      } catch (error) {
        contain(error, this);
      }
    });
  }

  get #handle(): EncryptedHandle | null {
    return (this.socket as unknown as { _handle: EncryptedHandle | null })._handle;
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
    const handle = this.#handle;
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
    // The runtime resets plain sockets alone: it is the TCP handle below that is closed so, when the socket closes it.
    const tcp = this.#handle?._parent;
    if (tcp !== undefined) {
      const { reset, close } = tcp;
      tcp.close = (done) => {
        if (reset.call(tcp, done) !== 0) close.call(tcp, done);
      };
    }
    this.socket.destroy();
  }
}
