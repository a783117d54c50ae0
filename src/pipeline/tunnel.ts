/**
 * A connection that has become a WebSocket: bytes go both ways as they come, whatever they mean.
 *
 * Each side is read only as fast as the other takes its bytes, so a tunnel holds one read of each direction at
 * most. The end of one side is passed on while the other may still speak; a reset is passed on as a reset. Without
 * a byte either way for the service's `read_timeout` the tunnel is closed, and so it is when a side takes nothing
 * of what waits for it.
 */
import type { Deadlines, Guarded } from "../http1/deadlines.ts";
import type { Wire, WireOwner } from "../http1/wire.ts";

export interface TunnelTimeouts {
  /** Without a byte in either direction. */
  readonly idleMs: number;
  /** For the client, and for the upstream, to take what waits for them. */
  readonly clientWriteMs: number;
  readonly upstreamWriteMs: number;
}

export class Tunnel implements Guarded {
  deadline: number;
  readonly client: TunnelEnd;
  readonly upstream: TunnelEnd;
  readonly #deadlines: Deadlines;
  readonly #idleMs: number;
  readonly #onClosed: () => void;
  #finished = false;

  /** `onClosed` is called once, when both wires are closed. */
  constructor(
    client: Wire,
    upstream: Wire,
    deadlines: Deadlines,
    timeouts: TunnelTimeouts,
    onClosed: () => void,
  ) {
    this.client = new TunnelEnd(this, client, timeouts.clientWriteMs);
    this.upstream = new TunnelEnd(this, upstream, timeouts.upstreamWriteMs);
    this.client.other = this.upstream;
    this.upstream.other = this.client;
    this.#deadlines = deadlines;
    this.#idleMs = timeouts.idleMs;
    this.#onClosed = onClosed;
    this.deadline = performance.now() + timeouts.idleMs;
    deadlines.add(this);
  }

  /** Begins with what each side said before both had switched. */
  start(fromClient: Buffer, fromUpstream: Buffer): void {
    const { client, upstream } = this;
    if (fromUpstream.length > 0) upstream.onRead(fromUpstream);
    if (fromClient.length > 0) client.onRead(fromClient);
    if (!upstream.wire.blocked) client.wire.resume();
    if (!client.wire.blocked) upstream.wire.resume();
  }

  /** Something moved at `now`. */
  touch(now: number): void {
    this.deadline = Math.min(now + this.#idleMs, this.client.blockedUntil, this.upstream.blockedUntil);
  }

  onDeadline(): void {
    this.destroy();
  }

  destroy(): void {
    this.client.wire.destroy();
    this.upstream.wire.destroy();
  }

  closed(): void {
    if (this.#finished || !this.client.isClosed || !this.upstream.isClosed) return;
    this.#finished = true;
    this.#deadlines.delete(this);
    this.#onClosed();
  }
}

/** One side of a tunnel: hears its wire and writes to the other's. */
class TunnelEnd implements WireOwner {
  readonly wire: Wire;
  other!: TunnelEnd;
  /** Bytes that came from this side. */
  bytes = 0;
  /** When this side must have taken what waits for it. */
  blockedUntil = Number.POSITIVE_INFINITY;
  isClosed = false;
  readonly #tunnel: Tunnel;
  readonly #writeMs: number;
  /** Whether this side has said its last. */
  #ended = false;

  constructor(tunnel: Tunnel, wire: Wire, writeMs: number) {
    this.#tunnel = tunnel;
    this.wire = wire;
    this.#writeMs = writeMs;
    wire.halfOpen = true;
  }

  onRead(chunk: Buffer): void {
    this.bytes += chunk.length;
    const now = performance.now();
    const { other } = this;
    // The wire keeps what it writes, and the read buffer is the thread's.
    if (!other.wire.writeBytes(Buffer.from(chunk))) {
      other.blockedUntil = now + other.#writeMs;
      this.wire.pause();
    }
    this.#tunnel.touch(now);
  }

  onDrain(): void {
    this.blockedUntil = Number.POSITIVE_INFINITY;
    this.#tunnel.touch(performance.now());
    this.other.wire.resume();
  }

  onEnd(): void {
    this.#ended = true;
    this.other.wire.end();
    this.#tunnel.touch(performance.now());
  }

  onBroken(): void {
    this.other.wire.reset();
  }

  onClosed(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    // Closed without a word, the other side is not left waiting. After an orderly end it still takes what is its.
    if (!this.#ended || !this.other.#ended) this.other.wire.destroy();
    this.#tunnel.closed();
  }
}
