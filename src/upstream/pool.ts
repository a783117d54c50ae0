/**
 * Connections to upstreams that wait for their next request, by place. One pool for each data thread; the most
 * recently used connection serves first, so that surplus ones grow old and go.
 */
import {
  ClientConnection,
  type ConnectionPool,
  type Place,
  type UpstreamOwner,
  type UpstreamTimeouts,
} from "../http1/client-connection.ts";
import type { Deadlines } from "../http1/deadlines.ts";
import type { HeadLimits } from "../http1/parse.ts";

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
  readonly #origins = new Map<string, Origin>();
  readonly #settings: PoolSettings;
  readonly #deadlines: Deadlines;

  constructor(settings: PoolSettings, deadlines: Deadlines) {
    this.#settings = settings;
    this.#deadlines = deadlines;
  }

  /** The origin for a place; the same one for equal places. */
  origin(place: Place): Origin {
    const key = JSON.stringify(place);
    let origin = this.#origins.get(key);
    if (origin === undefined) {
      origin = new Origin(place, this.#settings, this.#deadlines);
      this.#origins.set(key, origin);
    }
    return origin;
  }

  close(): void {
    for (const origin of this.#origins.values()) origin.closeIdle();
  }
}
