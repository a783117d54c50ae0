/**
 * The connections of clients in a data thread, from the listener to the pipeline:
 *
 *     accept → a seat → PROXY header → TLS → HTTP → pipeline/handle.ts
 *
 * Every step is skipped where the listener does not ask for it. A connection that fails one is closed, and its seat is
 * given back.
 */
import type { PlainWire } from "../http1/plain-wire.ts";
import type { RequestHandler } from "../http1/request-handler.ts";
import { ServerConnection } from "../http1/server-connection.ts";
import type { TlsSession, Wire } from "../http1/wire.ts";
import type { DataPlane } from "../pipeline/data-plane.ts";
import { requestHandler } from "../pipeline/handle.ts";
import type { ProxiedFrom } from "../proxy-protocol/header.ts";
import { ProxyHeaders } from "../proxy-protocol/header-reader.ts";
import type { ProxyListen } from "../settings.ts";
import type { ConnectionCaps } from "../threads/connection-caps.ts";
import type { ConnectionStates } from "../threads/messages.ts";
import type { Vitals } from "../threads/vitals.ts";
import type { Terminator } from "../tls/terminator.ts";
import { Listeners } from "./listeners.ts";
import type { ThreadLog } from "./thread-log.ts";

/** Connections that are looked at, at most, to find an idle one. */
const MAX_LOOKS = 64;

interface ConnectionsParts {
  readonly plane: DataPlane;
  readonly caps: ConnectionCaps;
  /** Null if no listener speaks TLS. */
  readonly terminator: Terminator | null;
  readonly vitals: Vitals;
  readonly log: ThreadLog;
  /** The last connection is gone, after `drain`. */
  onDrained(): void;
}

/** What is known of a connection before HTTP is spoken on it. */
interface Arrival {
  readonly trusted: boolean;
  /** The client that the peer speaks for, by the PROXY protocol. */
  readonly proxied: ProxiedFrom | null;
  readonly seat: number;
}

export class Connections {
  readonly #parts: ConnectionsParts;
  /** HTTP is spoken on them. */
  readonly #open = new Set<ServerConnection>();
  readonly #listeners = new Listeners(
    (wire, listener) => this.#accept(wire, listener),
    (reason) => this.#onAcceptFailed(reason),
  );
  readonly #proxyHeaders: ProxyHeaders;
  readonly #handler: RequestHandler;
  #draining = false;
  /** Whether a connection has made room in this turn of the loop. */
  #evicted = false;

  constructor(parts: ConnectionsParts) {
    const { plane, vitals, log } = parts;
    this.#parts = parts;
    this.#proxyHeaders = new ProxyHeaders(
      plane.deadlines,
      plane.settings.limits.headTimeoutMs,
      (client, reason) => log.unproxied(client, reason),
    );
    const pipeline = requestHandler(plane, (connection) => this.#onClosed(connection));
    this.#handler = {
      onRequest(connection) {
        vitals.onBegun();
        pipeline.onRequest(connection);
      },
      onRefused(connection, code, detail) {
        vitals.onBegun();
        pipeline.onRefused(connection, code, detail);
      },
      onCut: pipeline.onCut,
      onClosed: pipeline.onClosed,
    };
  }

  /**
   * Opens the addresses; returns their ports, in the same order.
   * @throws {Error} the system's, if one cannot be had
   */
  listen(wanted: readonly ProxyListen[]): Promise<number[]> {
    return this.#listeners.open(wanted);
  }

  #accept(wire: PlainWire, listener: ProxyListen): void {
    const { plane, caps, vitals } = this.#parts;
    vitals.onAccepted();
    const trusted = plane.trust.trusts(wire.remoteAddress);
    const seat = this.#enter(wire, wire.remoteAddress, trusted);
    if (seat === null) return;
    if (!listener.proxyProtocol) return this.#secure(wire, listener, { trusted, proxied: null, seat }, null);
    this.#proxyHeaders.read(
      wire,
      (proxied, rest) => {
        const arrival = this.#seated(wire, { trusted, proxied, seat });
        if (arrival !== null) this.#secure(wire, listener, arrival, rest);
      },
      () => caps.leave(seat),
    );
  }

  /** TLS where the listener speaks it. `first` was read already. */
  #secure(wire: PlainWire, listener: ProxyListen, arrival: Arrival, first: Buffer | null): void {
    const { caps, terminator } = this.#parts;
    if (!listener.ssl || terminator === null) return this.#serve(wire, arrival, null, first);
    terminator.shake(
      wire,
      first,
      (secured, session) => this.#serve(secured, arrival, session, null),
      () => caps.leave(arrival.seat),
    );
  }

  /** HTTP from here on: each request goes to the pipeline. */
  #serve(wire: Wire, arrival: Arrival, session: TlsSession | null, first: Buffer | null): void {
    const { plane, vitals } = this.#parts;
    const connection = new ServerConnection(wire, this.#handler, plane.deadlines, plane.settings.limits);
    connection.trusted = arrival.trusted;
    connection.proxied = arrival.proxied;
    connection.seat = arrival.seat;
    connection.tls = session;
    this.#open.add(connection);
    vitals.open = this.#open.size;
    if (this.#draining) connection.drain();
    if (first !== null && first.length > 0) connection.onRead(first);
  }

  #onClosed(connection: ServerConnection): void {
    const { caps, vitals } = this.#parts;
    if (this.#open.delete(connection)) caps.leave(connection.seat);
    vitals.open = this.#open.size;
    this.#finishDraining();
  }

  /** The seat of a connection; null if there is none, and then it is closed. */
  #enter(wire: Wire, client: string, exempt: boolean): number | null {
    const { caps, log } = this.#parts;
    const seat = caps.enter(client, exempt);
    if (typeof seat !== "string") return seat;
    log.refused(client, seat);
    wire.reset(); // costs least, and leaves nothing behind
    return null;
  }

  /** Where a trusted peer's word stands for the client's address, the seat is that client's. */
  #seated(wire: Wire, { trusted, proxied, seat }: Arrival): Arrival | null {
    const { trust } = this.#parts.plane;
    const client = trusted ? trust.proxiedClient(proxied) : null;
    if (client === null) return { trusted, proxied, seat };
    this.#parts.caps.leave(seat);
    const own = this.#enter(wire, client.address, trust.trusts(client.address));
    return own === null ? null : { trusted, proxied, seat: own };
  }

  /**
   * Descriptors have run out: a connection that does nothing makes room. It is closed at the end of the turn, so
   * however many fail in one, one makes room for the next.
   */
  #onAcceptFailed(reason: string): void {
    this.#parts.log.starved(reason);
    if (this.#evicted) return;
    this.#evicted = true;
    setImmediate(() => {
      this.#evicted = false;
    });
    if (!this.#evictIdle() && !this.#proxyHeaders.evict()) this.#parts.terminator?.evict();
  }

  /** Closes the oldest idle connection; whether there was one among those that were looked at. */
  #evictIdle(): boolean {
    let looks = Math.min(this.#open.size, MAX_LOOKS);
    for (const connection of this.#open) {
      if (looks-- === 0) return false;
      if (connection.idle && !connection.wire.closed) {
        connection.wire.destroy();
        return true;
      }
      // The next search goes on behind it.
      this.#open.delete(connection);
      this.#open.add(connection);
    }
    return false;
  }

  states(): ConnectionStates {
    const now = { active: this.#open.size, waiting: 0, reading: 0 };
    for (const connection of this.#open) {
      if (connection.idle) now.waiting++;
      else if (connection.readingHead) now.reading++;
    }
    return now;
  }

  /** Takes no more connections, and ends each of those that are there after its request. */
  drain(): void {
    this.#draining = true;
    this.#listeners.close();
    this.#proxyHeaders.close();
    this.#parts.terminator?.close();
    for (const connection of this.#open) connection.drain();
    this.#finishDraining();
  }

  #finishDraining(): void {
    if (this.#draining && this.#open.size === 0) this.#parts.onDrained();
  }
}
