/**
 * Who the client is when a trusted proxy stands in front (Kong's `trusted_ips`, `real_ip_header`,
 * `real_ip_recursive`). What an untrusted peer says about addresses, schemes and hosts is not believed.
 *
 * Trust is in the peer, as in Kong: behind a trusted proxy that passes on bytes (PROXY protocol), the client's own
 * X-Forwarded-* are believed too, because nobody between has removed them.
 */
import { BlockList, isIP } from "node:net";
import type { Headers } from "@gatehouse/sdk";
import type { ProxiedFrom } from "../proxy-protocol/header.ts";

export interface TrustSettings {
  readonly trustedIps: readonly string[];
  readonly realIpHeader: string;
  readonly realIpRecursive: boolean;
}

/** What a trusted proxy said about the client's request. */
export interface Forwarded {
  /** Address and port of the client, and 0 for a port that is not known; null if the proxy does not say. */
  readonly client: ProxiedFrom | null;
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly path: string | null;
  readonly prefix: string | null;
}

/** Addresses looked at in one header. */
const MAX_ADDRESSES = 64;
/** The value of `real_ip_header` that stands for the PROXY protocol. */
const PROXY_PROTOCOL = "proxy_protocol";

export class Trust {
  readonly #peers = new BlockList();
  readonly #header: string;
  readonly #recursive: boolean;
  readonly #any: boolean;

  constructor({ trustedIps, realIpHeader, realIpRecursive }: TrustSettings) {
    for (const network of trustedIps) {
      const [address = "", length] = network.split("/");
      const family = isIP(address) === 6 ? "ipv6" : "ipv4";
      if (length === undefined) this.#peers.addAddress(address, family);
      else this.#peers.addSubnet(address, Number(length), family);
    }
    this.#any = trustedIps.length > 0;
    this.#header = realIpHeader.toLowerCase();
    this.#recursive = realIpRecursive;
  }

  trusts(address: string): boolean {
    return (
      this.#any && isIP(address) !== 0 && this.#peers.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")
    );
  }

  /** Reads what a trusted peer forwarded. `proxied` is what it said by the PROXY protocol, if anything. */
  read(headers: Headers, proxied: ProxiedFrom | null): Forwarded {
    const port = Number(last(headers, "x-forwarded-port"));
    const scheme = last(headers, "x-forwarded-proto")?.toLowerCase();
    return {
      client: this.#header === PROXY_PROTOCOL ? proxied : this.#client(headers),
      scheme: scheme === "http" || scheme === "https" ? scheme : null,
      host: last(headers, "x-forwarded-host"),
      port: Number.isInteger(port) && port > 0 && port < 65536 ? port : null,
      path: headers.get("x-forwarded-path") ?? null,
      prefix: headers.get("x-forwarded-prefix") ?? null,
    };
  }

  /** The client that the PROXY protocol names, where `real_ip_header` says that its word counts. */
  proxiedClient(proxied: ProxiedFrom | null): ProxiedFrom | null {
    return this.#header === PROXY_PROTOCOL ? proxied : null;
  }

  /**
   * The last address of the header, or with `real_ip_recursive` the last one that is not trusted. What stands left
   * of something that is no address is not believed, and neither is a header that a proxy has added to its client's:
   * all of them are read as one list.
   */
  #client(headers: Headers): ProxiedFrom | null {
    const listed = headers
      .getAll(this.#header)
      .join(",")
      .split(",")
      .map((entry) => entry.trim())
      .filter((entry) => entry !== "")
      .slice(-MAX_ADDRESSES)
      .reverse();
    let found: ProxiedFrom | null = null;
    for (const entry of listed) {
      const client = readClient(entry);
      if (client === null) break;
      found = client;
      if (!this.#recursive || !this.trusts(client.address)) break;
    }
    return found;
  }
}

function last(headers: Headers, name: string): string | null {
  const value = headers.getAll(name).at(-1);
  return value === undefined ? null : (value.split(",").at(-1) as string).trim();
}

/** `1.2.3.4`, `1.2.3.4:5678`, `::1` and `[::1]:5678`. A zone names an interface of somebody else's machine. */
function readClient(entry: string): ProxiedFrom | null {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(entry);
  const address = parts?.[1] ?? parts?.[2] ?? entry;
  if (isIP(address) === 0 || address.includes("%") || (parts?.[1] !== undefined && isIP(address) !== 6))
    return null;
  const port = Number(parts?.[3] ?? 0);
  return port > 65_535 ? null : { address, port };
}
