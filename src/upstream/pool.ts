/**
 * Connections to upstreams that wait for their next request, by place. One pool for each data thread; the most
 * recently used connection serves first, so that surplus ones grow old and go.
 *
 * A name may resolve to other addresses for ever, so an origin is known here only as long as somebody holds it:
 * a balancer that can pick it, or a connection that lives (the sweep over deadlines holds those). A balancer
 * that is dropped with its snapshot, or sees new addresses, has nothing to give back: letting go is enough.
 */
import {
  ClientConnection,
  type ConnectionPool,
  type Place,
  type UpstreamOwner,
  type UpstreamTimeouts,
} from "../http1/client-connection.ts";
import type { Deadlines } from "../http1/deadlines.ts";
import type { HeadLimits } from "../http1/head.ts";

export interface PoolSettings {
  readonly limits: HeadLimits;
  /** Idle connections kept for each place. */
  readonly size: number;
  readonly maxRequests: number;
  readonly idleTimeoutMs: number;
}

/** All connections to one place. */
export class Origin implements ConnectionPool {
  readonly place: Place;
  readonly limits: HeadLimits;
  readonly maxRequests: number;
  readonly idleTimeoutMs: number;
  readonly #size: number;
  readonly #deadlines: Deadlines;
  readonly #idle: ClientConnection[] = [];

  constructor(place: Place, settings: PoolSettings, deadlines: Deadlines) {
    this.place = place;
    this.limits = settings.limits;
    this.maxRequests = settings.maxRequests;
    this.idleTimeoutMs = settings.idleTimeoutMs;
    this.#size = settings.size;
    this.#deadlines = deadlines;
  }

  /** A kept connection that is ready, or null. */
  take(owner: UpstreamOwner, timeouts: UpstreamTimeouts): ClientConnection | null {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return null;
      if (connection.closed) continue;
      connection.reuse(owner, timeouts);
      return connection;
    }
  }

  /** A new connection; the owner hears when it is there. */
  connect(owner: UpstreamOwner, timeouts: UpstreamTimeouts): ClientConnection {
    return new ClientConnection(this, this.#deadlines, owner, timeouts);
  }

  keep(connection: ClientConnection): boolean {
    if (this.#idle.length >= this.#size) return false;
    this.#idle.push(connection);
    return true;
  }

  forget(connection: ClientConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.abandon();
  }
}

export class Pool {
  readonly #origins = new Map<string, WeakRef<Origin>>();
  readonly #unused = new FinalizationRegistry<string>((key) => {
    // A new origin may have taken the place of the one that is gone.
    if (this.#origins.get(key)?.deref() === undefined) this.#origins.delete(key);
  });
  readonly #settings: PoolSettings;
  readonly #deadlines: Deadlines;

  constructor(settings: PoolSettings, deadlines: Deadlines) {
    this.#settings = settings;
    this.#deadlines = deadlines;
  }

  /** How many places are known. What nobody uses any more goes with the next garbage collection. */
  get size(): number {
    return this.#origins.size;
  }

  /** The origin for a place; the same one for equal places. */
  origin(place: Place): Origin {
    const key = JSON.stringify([place.address, place.port, place.tls?.id ?? null]);
    const known = this.#origins.get(key)?.deref();
    if (known !== undefined) return known;
    const origin = new Origin(place, this.#settings, this.#deadlines);
    this.#origins.set(key, new WeakRef(origin));
    this.#unused.register(origin, key);
    return origin;
  }

  close(): void {
    for (const origin of this.#origins.values()) origin.deref()?.closeIdle();
  }
}
