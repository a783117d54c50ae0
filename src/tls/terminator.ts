/**
 * TLS at the listeners of one data thread: the certificates in force, and the handshakes that go on.
 */
import type { Deadlines } from "../http1/deadlines.ts";
import type { PlainWire } from "../http1/plain-wire.ts";
import type { TlsSession } from "../http1/wire.ts";
import { Certificates } from "./certificates.ts";
import { Contexts, type KeyPair, type ListenerTls } from "./contexts.ts";
import { type FailedHandshake, Handshake } from "./handshake.ts";
import type { TlsWire } from "./tls-wire.ts";

/** What a thread is told at its start; plain data. */
export interface ThreadTls {
  readonly options: ListenerTls;
  /** The certificate of the settings. */
  readonly fallback: readonly KeyPair[];
  readonly ticketKeys: Uint8Array;
}

export class Terminator {
  /** In force for the handshakes that begin from now on; replaced whole. */
  certificates: Certificates;
  readonly #contexts: Contexts;
  readonly #deadlines: Deadlines;
  readonly #timeoutMs: number;
  readonly #onFailed: (remoteAddress: string, failure: FailedHandshake) => void;
  readonly #handshakes = new Set<Handshake>();

  /** `onFailed` hears of each handshake that came to nothing. */
  constructor(
    tls: ThreadTls,
    deadlines: Deadlines,
    timeoutMs: number,
    onFailed: (remoteAddress: string, failure: FailedHandshake) => void,
  ) {
    this.#contexts = new Contexts(tls.options, tls.ticketKeys);
    this.#deadlines = deadlines;
    this.#timeoutMs = timeoutMs;
    this.#onFailed = onFailed;
    this.certificates = Certificates.only(this.#contexts, tls.fallback);
  }

  /** Other certificates for names that have none, other keys for tickets. */
  replace({ fallback, ticketKeys }: ThreadTls): void {
    this.#contexts.replaceTicketKeys(ticketKeys);
    this.certificates = this.certificates.withFallback(fallback);
  }

  /**
   * Shakes hands on a connection. `first` is what was read of it already. One of the two functions is called in
   * the end, `onGone` when the connection is closed.
   */
  shake(
    wire: PlainWire,
    first: Buffer | null,
    onSecure: (wire: TlsWire, session: TlsSession) => void,
    onGone: () => void,
  ): void {
    const handshake = new Handshake(
      wire,
      first,
      (name) => this.certificates.contextFor(name),
      this.#deadlines,
      this.#timeoutMs,
      {
        onSecure: (secure, session) => {
          this.#handshakes.delete(handshake);
          onSecure(secure, session);
        },
        onFailed: (remoteAddress, failure) => {
          this.#handshakes.delete(handshake);
          if (failure !== null) this.#onFailed(remoteAddress, failure);
          onGone();
        },
      },
    );
    this.#handshakes.add(handshake);
  }

  /** Ends the handshake that began first, in want of descriptors. */
  evict(): void {
    for (const handshake of this.#handshakes) {
      this.#handshakes.delete(handshake);
      return handshake.abandon("there are no descriptors left");
    }
  }

  /** Ends the handshakes that go on: no request has begun on their connections. */
  close(): void {
    for (const handshake of this.#handshakes) handshake.abandon("the gateway stops");
  }
}
