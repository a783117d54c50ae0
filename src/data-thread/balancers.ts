/** Makes the balancers of a data thread: who is asked for a service, and how TLS is spoken with it. */

import type { EgressPolicy, Refusal } from "../egress/policy.ts";
import type { Service, Target, Upstream } from "../entities/entities.ts";
import { parseHost } from "../entities/hosts.ts";
import type { KeyPair } from "../tls/contexts.ts";
import type { UpstreamKeys } from "../tls/upstream-keys.ts";
import { UpstreamTls } from "../tls/upstream-tls.ts";
import { Balancer, type TargetSpec } from "../upstream/balancer.ts";
import type { Pool } from "../upstream/pool.ts";
import type { Resolver } from "../upstream/resolver.ts";

interface BalancersParts {
  readonly pool: Pool;
  readonly resolver: Resolver;
  /** An address of a host is refused to a service. */
  onRefused(refusal: Refusal, host: string, service: Service): void;
  /** PEM of the authorities that upstreams are verified against by default; null for the runtime's own. */
  readonly ca: readonly string[] | null;
  /** What is shown to upstreams whose service names no certificate; null for nothing. */
  readonly clientPair: KeyPair | null;
}

/** Refused addresses of one service that were told of; those of a name server may be others each time. */
const MAX_TOLD = 100;

export class Balancers {
  readonly #parts: BalancersParts;

  constructor(parts: BalancersParts) {
    this.#parts = parts;
  }

  /**
   * `upstream` is null where the service names its host itself; `keys` has what the service names, `egress` says
   * where its workspace may go.
   */
  make(
    service: Service,
    upstream: Upstream | null,
    list: readonly Target[],
    keys: UpstreamKeys,
    egress: EgressPolicy,
  ): Balancer {
    const { pool, resolver, ca, clientPair } = this.#parts;
    const targets: readonly TargetSpec[] =
      upstream === null
        ? [{ host: service.host, port: service.port, weight: 1 }]
        : list.map(({ target, weight }) => ({ ...splitTarget(target), weight }));
    const told = new Set<string>();
    const secure = service.protocol === "https";
    const { client_certificate: own, ca_certificates: authorities } = service;
    const trust = {
      verify: service.tls_verify ?? true,
      depth: service.tls_verify_depth,
      ca: authorities === null || authorities.length === 0 ? ca : keys.authorities(authorities),
      client: own === null ? clientPair : keys.certificate(own.id),
    };
    return new Balancer(targets, resolver, secure ? 443 : 80, (ip, target) => {
      const refusal = egress.check(ip, target.port);
      if (refusal !== null) {
        this.#tell(refusal, target.host, service, told);
        return null;
      }
      const servername = nameOf(upstream?.host_header ?? target.host);
      return pool.origin({
        address: ip,
        port: target.port,
        tls: secure ? new UpstreamTls({ ...trust, servername }) : null,
      });
    });
  }

  /** Once for each address, as long as the service is what it is. */
  #tell(refusal: Refusal, host: string, service: Service, told: Set<string>): void {
    const key = `${refusal.address} ${refusal.port}`;
    if (told.has(key) || told.size >= MAX_TOLD) return;
    told.add(key);
    this.#parts.onRefused(refusal, host, service);
  }
}

/** The name that an upstream is asked for by SNI: that of a `host[:port]`; null for an address. */
function nameOf(host: string): string | null {
  const parts = parseHost(host);
  return typeof parts === "string" || parts.kind !== "name" ? null : parts.host;
}

function splitTarget(target: string): { host: string; port: number } {
  const colon = target.lastIndexOf(":");
  const host = target.substring(0, colon);
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port: Number(target.substring(colon + 1)) };
}
