/**
 * What a connection needs of its transport. Three exist: PlainWire over the runtime's TCP handles, for everything
 * that is not encrypted; TlsWire (tls/tls-wire.ts) over its TLS handles, for clients; StreamWire over its TLS sockets,
 * for upstreams.
 */

/** Hears what happens on a wire. Nothing comes after `onClosed`. */
export interface WireOwner {
  /** Bytes were read. They are valid during the call alone: who keeps them, copies them. */
  onRead(chunk: Buffer): void;
  /** Everything written so far was taken by the system. Comes only after a write that returned false. */
  onDrain(): void;
  /** The peer has said its last. Unless the wire is half-open, it ends too once its own bytes are out. */
  onEnd(): void;
  /** The connection broke, or could not be made; the wire is closed. `reason` names the system's error. */
  onBroken(reason: string): void;
  onClosed(): void;
}

/** What the owner of a wire that it opens itself hears besides. */
export interface ConnectingOwner extends WireOwner {
  onConnected(): void;
}

/** What was agreed on in a TLS handshake. */
export interface TlsSession {
  /** Name that the client asked for (SNI), lower-case; null without one. */
  readonly serverName: string | null;
}

export interface Wire {
  /** Hands the wire to somebody: from now on it hears what happens. */
  own(owner: WireOwner): void;
  /** Address and port of the peer; an IPv4 address is never written as IPv6. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  /** Address that the peer connected to, written as `remoteAddress` is; "" if it is gone. Asked rarely. */
  readonly localAddress: string;
  /** Whether the wire was destroyed, broke or was reset. */
  readonly closed: boolean;
  readonly paused: boolean;
  /** Whether the wire stays open for writing after the peer has said its last, until its owner ends it too. */
  halfOpen: boolean;
  /**
   * Whether the peer's end was not its own word: TLS was spoken, and TCP ended without close_notify, as anybody on the
   * way can have it end.
   */
  readonly cutOff: boolean;
  /** Whether the system has not taken everything that was written. Writing more is allowed, and costs memory. */
  readonly blocked: boolean;
  /** Bytes that wait for the system. */
  readonly queuedBytes: number;
  /** Bytes that the system has taken since the connection began: grows while a peer reads. Asked rarely. */
  readonly takenBytes: number;
  /** The writes return false if the wire is blocked from then on; `onDrain` follows. */
  writeText(latin1: string): boolean;
  /** The bytes belong to the wire from now on. */
  writeBytes(bytes: Buffer): boolean;
  /** Text, bytes and text in one go; each text may be empty. */
  writeAround(head: string, bytes: Buffer, tail: string): boolean;
  /** The same with bytes that are the wire's during the call alone: what a read brought. */
  writeCopy(head: string, bytes: Buffer, tail: string): boolean;
  pause(): void;
  resume(): void;
  /** Sends what was written and says goodbye; the peer may still send. */
  end(): void;
  /** Closes at once; what was not sent is lost. */
  destroy(): void;
  /** Closes at once, and the peer sees an error instead of an end (RST). */
  reset(): void;
}
