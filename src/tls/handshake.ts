/**
 * From an accepted TCP connection to one on which HTTP can be spoken: reads the ClientHello, picks the certificate
 * for the name in it, lets OpenSSL shake hands, all before one deadline.
 */
import type { SecureContext } from "node:tls";
import type { Deadlines, Guarded } from "../http1/deadlines.ts";
import type { PlainWire } from "../http1/plain-wire.ts";
import type { TlsSession } from "../http1/wire.ts";
import type { ContextFor } from "./certificates.ts";
import { HelloReader } from "./client-hello.ts";
import { failureOf, type HandshakeFailure } from "./handshake-failure.ts";
import { type SecuringOwner, TlsWire } from "./tls-wire.ts";

export interface FailedHandshake {
  readonly kind: HandshakeFailure;
  /** OpenSSL's words or ours. */
  readonly reason: string;
}

export interface HandshakeOutcome {
  onSecure(wire: TlsWire, session: TlsSession): void;
  /** The connection is closed already. `failure` is null if the client left before it said anything. */
  onFailed(remoteAddress: string, failure: FailedHandshake | null): void;
}

/** What nginx answers to plain HTTP on a port of TLS. */
const PLAIN_HTTP =
  "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 50\r\nConnection: close\r\n\r\n" +
  "The plain HTTP request was sent to an HTTPS port.\n";
/** How long the answer to plain HTTP gets to be read. */
const LINGER_MS = 2000;

export class Handshake implements Guarded, SecuringOwner {
  deadline: number;
  #wire: PlainWire | TlsWire;
  /** Null until something has come. */
  #hello: HelloReader | null = null;
  #serverName: string | null = null;
  #failure: FailedHandshake | null = null;
  #over = false;
  readonly #deadlines: Deadlines;
  readonly #contextFor: ContextFor;
  readonly #outcome: HandshakeOutcome;

  /** `first` is what was read of the connection before, if anything was. */
  constructor(
    wire: PlainWire,
    first: Buffer | null,
    contextFor: ContextFor,
    deadlines: Deadlines,
    timeoutMs: number,
    outcome: HandshakeOutcome,
  ) {
    this.#wire = wire;
    this.#contextFor = contextFor;
    this.#deadlines = deadlines;
    this.#outcome = outcome;
    this.deadline = performance.now() + timeoutMs;
    deadlines.add(this);
    wire.own(this);
    if (first !== null && first.length > 0) this.onRead(first);
    if (this.#wire === wire) wire.resume();
  }

  /** Ends it, whatever it has come to. */
  abandon(reason: string): void {
    this.#failure ??= { kind: "abandoned", reason };
    this.#wire.destroy();
  }

  destroy(): void {
    this.#wire.destroy();
  }

  onDeadline(): void {
    if (this.#hello !== null || this.#wire instanceof TlsWire)
      this.#failure ??= { kind: "timeout", reason: "the handshake did not end in time" };
    this.#wire.destroy();
  }

  onRead(chunk: Buffer): void {
    const wire = this.#wire;
    if (wire instanceof TlsWire || this.#failure !== null) return; // nothing is said before the handshake is over
    if (this.#hello === null && speaksHttp(chunk)) return this.#answerPlain(wire);
    this.#hello ??= new HelloReader();
    const hello = this.#hello.add(chunk);
    if (hello === null) {
      if (this.#hello.refusal === null) return;
      this.#failure = { kind: "client_hello", reason: this.#hello.refusal };
      return wire.destroy();
    }
    this.#serverName = hello.serverName;
    const context = this.#context(hello.serverName);
    if (context === null) return wire.destroy();
    const secure = new TlsWire(wire.release(), context, wire, this);
    this.#wire = secure;
    secure.start(this.#hello.bytes);
  }

  /** Loading has tried every certificate; one that OpenSSL refuses all the same costs its connections alone. */
  #context(name: string | null): SecureContext | null {
    try {
      return this.#contextFor(name);
    } catch (error) {
      const reason = `the certificate cannot be used: ${(error as Error).message}`;
      this.#failure = { kind: "certificate", reason };
      return null;
    }
  }

  #answerPlain(wire: PlainWire): void {
    this.#failure = { kind: "plain_http", reason: "plain HTTP on a port of TLS" };
    this.deadline = performance.now() + LINGER_MS;
    wire.writeText(PLAIN_HTTP);
    wire.end();
  }

  onSecure(): void {
    const wire = this.#wire as TlsWire;
    // TLS 1.2 resumes a session for the name that it was made for and no other (RFC 6066 section 3).
    if (wire.resumed && wire.sessionName !== null && wire.sessionName.toLowerCase() !== this.#serverName) {
      this.#failure = { kind: "session_name", reason: "a session of another name" };
      return wire.destroy();
    }
    this.#end();
    this.#outcome.onSecure(wire, { serverName: this.#serverName });
  }

  onDrain(): void {}

  onEnd(): void {
    if (this.#hello !== null)
      this.#failure ??= { kind: "client_left", reason: "the client left in the middle of the handshake" };
    this.#wire.destroy();
  }

  onBroken(reason: string): void {
    this.#failure ??= { kind: failureOf(reason), reason };
  }

  onClosed(): void {
    if (this.#over) return;
    this.#end();
    this.#outcome.onFailed(this.#wire.remoteAddress, this.#failure);
  }

  #end(): void {
    this.#over = true;
    this.#deadlines.delete(this);
  }
}

/** Whether a connection begins as a request line does: with a letter, which no TLS record does. */
function speaksHttp(bytes: Buffer): boolean {
  const first = bytes[0] as number;
  return first >= 65 && first <= 90;
}
