/**
 * Names to addresses, without the thread pool: c-ares through `node:dns`, whose answers carry their TTL, and
 * the hosts file before it. An answer that has run out is served while a new one is fetched, because a name
 * server that stumbles is no reason to fail requests.
 */
import { Resolver as DnsResolver } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { GatewayError } from "../errors.ts";

export interface ResolverSettings {
  /** Name servers as `address[:port]`; null for those of the system. */
  readonly servers: readonly string[] | null;
  readonly hostsFile: string;
}

/** Name servers in the form in which the resolver takes them; null, for those of the system, if there are none. */
export function nameServers(
  list: readonly { readonly host: string; readonly port: number }[],
): readonly string[] | null {
  if (list.length === 0) return null;
  return list.map(({ host, port }) => (isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`));
}

interface Entry {
  addresses: readonly string[];
  /** Milliseconds of `performance.now()`. */
  expiresAt: number;
  staleUntil: number;
  pending: Promise<readonly string[]> | null;
  failed: boolean;
}

const MAX_ENTRIES = 10_000;
const MIN_TTL_MS = 1000;
const MAX_TTL_MS = 3_600_000;
const STALE_MS = 3_600_000;
const NOT_FOUND_MS = 1000;

export class Resolver {
  readonly #dns = new DnsResolver({ timeout: 2000, tries: 2 });
  readonly #hosts: ReadonlyMap<string, readonly string[]>;
  readonly #entries = new Map<string, Entry>();

  constructor(settings: ResolverSettings) {
    if (settings.servers !== null) this.#dns.setServers([...settings.servers]);
    this.#hosts = readHosts(settings.hostsFile);
  }

  /**
   * Addresses of a name: at once if they are known (or if it is an address already), else a promise.
   * @throws {GatewayError} `name_resolution`, also by rejection.
   */
  resolve(name: string): readonly string[] | Promise<readonly string[]> {
    if (isIP(name) !== 0) return [name];
    const lower = name.toLowerCase();
    const fixed = this.#hosts.get(lower);
    if (fixed !== undefined) return fixed;
    const now = performance.now();
    const entry = this.#entries.get(lower);
    if (entry === undefined) return this.#query(lower);
    if (now < entry.expiresAt) {
      if (entry.failed) throw new GatewayError("name_resolution", `'${name}' does not resolve`);
      return entry.addresses;
    }
    if (entry.failed || now >= entry.staleUntil) return entry.pending ?? this.#query(lower);
    if (entry.pending === null) this.#query(lower).catch(() => {});
    return entry.addresses;
  }

  #query(name: string): Promise<readonly string[]> {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { addresses: [], expiresAt: 0, staleUntil: 0, pending: null, failed: false };
      if (this.#entries.size >= MAX_ENTRIES)
        this.#entries.delete(this.#entries.keys().next().value as string);
      this.#entries.set(name, entry);
    }
    entry.pending ??= this.#fetch(name, entry);
    return entry.pending;
  }

  async #fetch(name: string, entry: Entry): Promise<readonly string[]> {
    try {
      const found = await this.#lookup(name);
      const ttlMs = Math.min(Math.max(found.ttlMs, MIN_TTL_MS), MAX_TTL_MS);
      entry.addresses = found.addresses;
      entry.expiresAt = performance.now() + ttlMs;
      entry.staleUntil = entry.expiresAt + STALE_MS;
      entry.failed = false;
      return entry.addresses;
    } catch (cause) {
      const now = performance.now();
      entry.expiresAt = now + NOT_FOUND_MS;
      // A name that was known stays served until it is too old.
      if (now < entry.staleUntil) return entry.addresses;
      entry.failed = true;
      throw new GatewayError("name_resolution", `'${name}' does not resolve: ${(cause as Error).message}`);
    } finally {
      entry.pending = null;
    }
  }

  /** A, then AAAA. */
  async #lookup(name: string): Promise<{ addresses: string[]; ttlMs: number }> {
    const answer = await this.#dns
      .resolve4(name, { ttl: true })
      .catch((error) => this.#dns.resolve6(name, { ttl: true }).catch(() => Promise.reject(error)));
    const ttl = Math.min(...answer.map((record) => record.ttl));
    return { addresses: answer.map((record) => record.address), ttlMs: ttl * 1000 };
  }
}

function readHosts(file: string): Map<string, readonly string[]> {
  const hosts = new Map<string, string[]>();
  let text = "";
  try {
    text = readFileSync(file, "utf8");
  } catch {
    // No hosts file: names come from the servers alone.
  }
  for (const line of text.split("\n")) {
    const [address, ...names] = (line.split("#")[0] as string).trim().split(/\s+/);
    if (!address || isIP(address) === 0) continue;
    for (const name of names) {
      const lower = name.toLowerCase();
      const known = hosts.get(lower);
      if (known === undefined) hosts.set(lower, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  // IPv4 first: a hosts file lists ::1 for localhost where many servers listen on 127.0.0.1 alone.
  for (const addresses of hosts.values()) addresses.sort((a, b) => isIP(a) - isIP(b));
  if (!hosts.has("localhost")) hosts.set("localhost", ["127.0.0.1"]);
  return hosts;
}
