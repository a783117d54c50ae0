/**
 * Picks the address that a request goes to: smooth weighted round-robin over the addresses of all targets
 * (Kong's `round-robin`; every address of a name carries its target's weight). One for each upstream, or for
 * a service that names its host directly, and for each data thread.
 */
import { GatewayError } from "../errors.ts";
import type { Origin } from "./pool.ts";
import type { Resolver } from "./resolver.ts";

export interface TargetSpec {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
  /** 0 takes no traffic. */
  readonly weight: number;
}

/** One place that can be picked. */
export interface Peer {
  readonly origin: Origin;
  /** `host[:port]` of the target as configured, for the Host field; the port is left out if it is the scheme's. */
  readonly authority: string;
  readonly weight: number;
}

interface Candidate extends Peer {
  /** Smooth weighted round-robin: grows by the weight at each pick, shrinks by the total when picked. */
  current: number;
}

/** How often names are looked at again. The resolver itself keeps to their TTL. */
const REFRESH_MS = 500;
/** Addresses of one name that are used. A DNS answer can hold thousands; each would cost memory and connections. */
const MAX_ADDRESSES = 64;

export class Balancer {
  readonly #targets: readonly TargetSpec[];
  readonly #resolver: Resolver;
  readonly #origin: (address: string, target: TargetSpec) => Origin | null;
  readonly #defaultPort: number;
  readonly #static: boolean;
  #peers: Candidate[] = [];
  #resolved: (readonly string[])[] = [];
  #refreshAt = 0;
  /** Why nothing can be picked, once the egress policy has refused every address. */
  #refused: GatewayError | null = null;

  /**
   * `origin` makes the origin for an address of a target, or null where the egress policy refuses it. It is asked
   * once for each address of an answer, not for requests.
   */
  constructor(
    targets: readonly TargetSpec[],
    resolver: Resolver,
    defaultPort: number,
    origin: (address: string, target: TargetSpec) => Origin | null,
  ) {
    this.#targets = targets.filter((target) => target.weight > 0);
    this.#resolver = resolver;
    this.#origin = origin;
    this.#defaultPort = defaultPort;
    this.#static = this.#targets.every((target) => /^[\d.]+$|:/.test(target.host));
  }

  /**
   * The next peer, avoiding those in `tried` as long as there are others.
   * @throws {GatewayError} `no_peer`, `name_resolution` or `egress_refused`, also by rejection.
   */
  pick(tried: readonly Peer[] | null): Peer | Promise<Peer> {
    if (this.#peers.length === 0 || (!this.#static && performance.now() >= this.#refreshAt)) {
      // Requests for what is refused come as often as a client likes, and names are asked for no more often for it.
      if (this.#refused !== null && performance.now() < this.#refreshAt) throw this.#refused;
      const waiting = this.#refresh();
      if (waiting !== null) {
        const found = waiting.then(() => this.#next(tried));
        if (this.#peers.length === 0) return found;
        found.catch(() => {}); // whoever asks next hears of it
      }
    }
    return this.#next(tried);
  }

  #next(tried: readonly Peer[] | null): Peer {
    const peers = this.#peers;
    if (peers.length === 1) return peers[0] as Peer;
    let best: Candidate | null = null;
    let total = 0;
    for (const peer of peers) {
      if (tried?.includes(peer)) continue;
      peer.current += peer.weight;
      total += peer.weight;
      if (best === null || peer.current > best.current) best = peer;
    }
    if (best === null) {
      if (tried !== null && peers.length > 0) return this.#next(null);
      throw new GatewayError("no_peer");
    }
    best.current -= total;
    return best;
  }

  /** Looks up the names of all targets; a promise if one has to be waited for. */
  #refresh(): Promise<void> | null {
    if (this.#targets.length === 0) throw new GatewayError("no_peer");
    this.#refreshAt = performance.now() + REFRESH_MS;
    const answers = this.#targets.map((target) => {
      try {
        return this.#resolver.resolve(target.host);
      } catch {
        return [];
      }
    });
    if (answers.every((answer): answer is readonly string[] => !(answer instanceof Promise))) {
      this.#use(answers);
      return null;
    }
    return Promise.all(answers.map((answer) => Promise.resolve(answer).catch(() => []))).then((all) =>
      this.#use(all),
    );
  }

  #use(resolved: (readonly string[])[]): void {
    // What has not changed keeps its peers, and they their place in the order.
    const same =
      resolved.length === this.#resolved.length &&
      resolved.every((list, i) => sameAddresses(list, this.#resolved[i] as readonly string[]));
    if (same && this.#peers.length > 0) return;
    const peers = resolved.flatMap((addresses, i) => {
      const target = this.#targets[i] as TargetSpec;
      const name =
        target.host.includes(":") && !target.host.startsWith("[") ? `[${target.host}]` : target.host;
      const authority = target.port === this.#defaultPort ? name : `${name}:${target.port}`;
      return bounded(addresses).flatMap((address) => {
        const origin = this.#origin(address, target);
        return origin === null ? [] : [{ origin, authority, weight: target.weight, current: 0 }];
      });
    });
    this.#refused = null;
    if (peers.length === 0 && resolved.some((addresses) => addresses.length > 0)) {
      // The name leads somewhere else now, and not where it used to: what it led to serves no more.
      this.#resolved = resolved;
      this.#peers = [];
      const hosts = this.#targets.map((target) => target.host).join(", ");
      this.#refused = new GatewayError(
        "egress_refused",
        `the egress policy refuses every address of ${hosts}`,
      );
      throw this.#refused;
    }
    if (peers.length === 0) {
      if (this.#peers.length > 0) return; // the last good answer is better than none
      throw new GatewayError(
        "name_resolution",
        `none of ${this.#targets.map((t) => t.host).join(", ")} resolves`,
      );
    }
    this.#resolved = resolved;
    this.#peers = peers;
  }
}

/** The first in order of text where there are too many: name servers rotate their answers, and these stay. */
function bounded(addresses: readonly string[]): readonly string[] {
  return addresses.length <= MAX_ADDRESSES ? addresses : [...addresses].sort().slice(0, MAX_ADDRESSES);
}

function sameAddresses(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((address, i) => address === b[i]));
}
