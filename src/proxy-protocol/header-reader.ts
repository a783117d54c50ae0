/**
 * Reads the PROXY header of an accepted connection, before TLS and HTTP. A connection that does not begin with a
 * sound one in time is closed without an answer: whoever it is, it is not the proxy that the listener is for.
 */
import type { Deadlines, Guarded } from "../http1/deadlines.ts";
import type { Wire, WireOwner } from "../http1/wire.ts";
import { MAX_HEADER_BYTES, type ProxiedFrom, parseProxyHeader } from "./header.ts";

/**
 * The wire is free for its next owner. `from` is null where the peer itself is the client; `rest` was read behind the
 * header.
 */
type OnHeader = (from: ProxiedFrom | null, rest: Buffer) => void;

/** The connections of a thread whose PROXY header is still to come. */
export class ProxyHeaders {
  readonly #deadlines: Deadlines;
  readonly #timeoutMs: number;
  readonly #onRefused: (remoteAddress: string, reason: string) => void;
  readonly #readers = new Set<ProxyHeaderReader>();

  /** `onRefused` hears why a connection was closed, unless it ended before it said anything. */
  constructor(
    deadlines: Deadlines,
    timeoutMs: number,
    onRefused: (remoteAddress: string, reason: string) => void,
  ) {
    this.#deadlines = deadlines;
    this.#timeoutMs = timeoutMs;
    this.#onRefused = onRefused;
  }

  /** Reads the header of a connection. One of the two functions is called, `onGone` when the connection is closed. */
  read(wire: Wire, onHeader: OnHeader, onGone: () => void): void {
    const reader = new ProxyHeaderReader(wire, performance.now() + this.#timeoutMs, {
      onHeader: (from, rest) => {
        this.#forget(reader);
        onHeader(from, rest);
      },
      onFailed: (reason) => {
        this.#forget(reader);
        if (reason !== null) this.#onRefused(wire.remoteAddress, reason);
        onGone();
      },
    });
    this.#readers.add(reader);
    this.#deadlines.add(reader);
    wire.resume();
  }

  /** Ends the connection that waits longest, in want of descriptors; whether there is one. */
  evict(): boolean {
    for (const reader of this.#readers) {
      this.#forget(reader);
      reader.destroy();
      return true;
    }
    return false;
  }

  /** Ends the connections whose header has not come. */
  close(): void {
    for (const reader of this.#readers) reader.abandon();
  }

  #forget(reader: ProxyHeaderReader): void {
    this.#readers.delete(reader);
    this.#deadlines.delete(reader);
  }
}

interface Outcome {
  readonly onHeader: OnHeader;
  /** The connection is closed. `reason` is null if the peer left before it said anything. */
  onFailed(reason: string | null): void;
}

class ProxyHeaderReader implements Guarded, WireOwner {
  deadline: number;
  readonly #wire: Wire;
  readonly #outcome: Outcome;
  #bytes: Buffer | null = null;
  #reason: string | null = null;
  #over = false;

  constructor(wire: Wire, deadline: number, outcome: Outcome) {
    this.#wire = wire;
    this.#outcome = outcome;
    this.deadline = deadline;
    wire.own(this);
  }

  /** Ends it, whatever it has come to. */
  abandon(): void {
    this.#fail("the gateway stops");
  }

  destroy(): void {
    this.#wire.destroy();
  }

  onDeadline(): void {
    this.#fail("the PROXY header did not come in time");
  }

  onRead(chunk: Buffer): void {
    if (this.#reason !== null) return;
    // The chunk is the thread's buffer; no more of it is kept than a header can have.
    const bytes = this.#bytes === null ? chunk : Buffer.concat([this.#bytes, chunk]);
    const header = parseProxyHeader(bytes);
    if (header.kind === "refused") return this.#fail(header.reason);
    if (header.kind === "incomplete") {
      this.#bytes = Buffer.from(bytes.subarray(0, MAX_HEADER_BYTES));
      return;
    }
    this.#over = true;
    this.#outcome.onHeader(header.from, Buffer.from(bytes.subarray(header.end)));
  }

  onDrain(): void {}

  onEnd(): void {
    this.#fail(this.#bytes === null ? null : "the connection ended in the middle of the PROXY header");
  }

  onBroken(reason: string): void {
    this.#reason ??= reason;
  }

  onClosed(): void {
    if (this.#over) return;
    this.#over = true;
    this.#outcome.onFailed(this.#reason);
  }

  #fail(reason: string | null): void {
    this.#reason ??= reason;
    this.#wire.destroy();
  }
}
