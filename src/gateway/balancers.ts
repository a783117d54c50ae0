/** Makes the balancers of a data thread: who is asked for a service, and how TLS is spoken with it. */
import { isIP } from "node:net";
import type { Service, Target, Upstream } from "../entities/entities.ts";
import { parseHost } from "../entities/hosts.ts";
import type { Listen } from "../settings.ts";
import type { KeyPair } from "../tls/contexts.ts";
import type { UpstreamKeys } from "../tls/upstream-keys.ts";
import { UpstreamTls } from "../tls/upstream-tls.ts";
import { Balancer, type TargetSpec } from "../upstream/balancer.ts";
import type { Pool } from "../upstream/pool.ts";
import { Resolver } from "../upstream/resolver.ts";

interface BalancersParts {
  readonly pool: Pool;
  /** Servers to ask for names; those of the system if there are none. */
  readonly dnsServers: readonly Pick<Listen, "host" | "port">[];
  /** PEM of the authorities that upstreams are verified against by default; null for the runtime's own. */
  readonly ca: readonly string[] | null;
  /** What is shown to upstreams whose service names no certificate; null for nothing. */
  readonly clientPair: KeyPair | null;
}

export class Balancers {
  readonly #parts: BalancersParts;
  readonly #resolver: Resolver;

  constructor(parts: BalancersParts) {
    this.#parts = parts;
    this.#resolver = new Resolver({
      servers: parts.dnsServers.length > 0 ? parts.dnsServers.map(address) : null,
      hostsFile: "/etc/hosts",
    });
  }

  /** `upstream` is null where the service names its host itself; `keys` has what the service names. */
  make(service: Service, upstream: Upstream | null, list: readonly Target[], keys: UpstreamKeys): Balancer {
    const { pool, ca, clientPair } = this.#parts;
    const targets: readonly TargetSpec[] =
      upstream === null
        ? [{ host: service.host, port: service.port, weight: 1 }]
        : list.map(({ target, weight }) => ({ ...splitTarget(target), weight }));
    const secure = service.protocol === "https";
    const { client_certificate: own, ca_certificates: authorities } = service;
    const trust = {
      verify: service.tls_verify ?? true,
      depth: service.tls_verify_depth,
      ca: authorities === null || authorities.length === 0 ? ca : keys.authorities(authorities),
      client: own === null ? clientPair : keys.certificate(own.id),
    };
    return new Balancer(targets, this.#resolver, secure ? 443 : 80, (ip, target) =>
      pool.origin({
        address: ip,
        port: target.port,
        tls: secure
          ? new UpstreamTls({ ...trust, servername: nameOf(upstream?.host_header ?? target.host) })
          : null,
      }),
    );
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

function address({ host, port }: { host: string; port: number }): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}
