/**
 * Reads the PROXY header of an accepted connection, before TLS and HTTP. A connection that does not begin with a
 * sound one in time is closed without an answer: whoever it is, it is not the proxy that the listener is for.
 */
import type { Deadlines, Guarded } from "../http1/deadlines.ts";
import type { Wire, WireOwner } from "../http1/wire.ts";
import { MAX_HEADER_BYTES, type ProxiedFrom, parseProxyHeader } from "./header.ts";

export interface ProxyHeaderOutcome {
  /**
   * The wire is free for its next owner. `from` is null where the peer itself is the client; `rest` was read behind
   * the header.
   */
  onHeader(from: ProxiedFrom | null, rest: Buffer): void;
  /** The connection is closed already. `reason` is null if the peer left before it said anything. */
  onFailed(remoteAddress: string, reason: string | null): void;
}

export class ProxyHeaderReader implements Guarded, WireOwner {
  deadline: number;
  readonly #wire: Wire;
  readonly #deadlines: Deadlines;
  readonly #outcome: ProxyHeaderOutcome;
  #bytes: Buffer | null = null;
  #reason: string | null = null;
  #over = false;

  constructor(wire: Wire, deadlines: Deadlines, timeoutMs: number, outcome: ProxyHeaderOutcome) {
    this.#wire = wire;
    this.#deadlines = deadlines;
    this.#outcome = outcome;
    this.deadline = performance.now() + timeoutMs;
    deadlines.add(this);
    wire.own(this);
    wire.resume();
  }

  /** Ends it, whatever it has come to. */
  abandon(): void {
    this.#fail("the gateway stops");
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
    this.#end();
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
    this.#end();
    this.#outcome.onFailed(this.#wire.remoteAddress, this.#reason);
  }

  #fail(reason: string | null): void {
    this.#reason ??= reason;
    this.#wire.destroy();
  }

  #end(): void {
    this.#over = true;
    this.#bytes = null;
    this.#deadlines.delete(this);
  }
}
