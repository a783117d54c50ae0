/**
 * Who the client is when a trusted proxy stands in front (Kong's `trusted_ips`, `real_ip_header`,
 * `real_ip_recursive`). What an untrusted peer says about addresses, schemes and hosts is not believed.
 */
import { BlockList, isIP } from "node:net";
import type { Headers } from "@gatehouse/sdk";

export interface TrustSettings {
  readonly trustedIps: readonly string[];
  readonly realIpHeader: string;
  readonly realIpRecursive: boolean;
}

/** What a trusted proxy said about the client's request. */
export interface Forwarded {
  readonly ip: string | null;
  readonly scheme: string | null;
  readonly host: string | null;
  readonly port: number | null;
  readonly path: string | null;
  readonly prefix: string | null;
}

/** Addresses looked at in one header. */
const MAX_ADDRESSES = 64;

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

  /** Reads what a trusted peer forwarded. */
  read(headers: Headers): Forwarded {
    const port = Number(last(headers, "x-forwarded-port"));
    const scheme = last(headers, "x-forwarded-proto")?.toLowerCase();
    return {
      ip: this.#address(headers),
      scheme: scheme === "http" || scheme === "https" ? scheme : null,
      host: last(headers, "x-forwarded-host"),
      port: Number.isInteger(port) && port > 0 && port < 65536 ? port : null,
      path: headers.get("x-forwarded-path") ?? null,
      prefix: headers.get("x-forwarded-prefix") ?? null,
    };
  }

  /** The last address of the header, or with `real_ip_recursive` the last one that is not trusted. */
  #address(headers: Headers): string | null {
    const listed = headers
      .getAll(this.#header)
      .join(",")
      .split(",")
      .slice(-MAX_ADDRESSES)
      .map((entry) => withoutPort(entry.trim()));
    let found: string | null = null;
    for (const address of listed.reverse()) {
      if (isIP(address) === 0) break;
      found = address;
      if (!this.#recursive || !this.trusts(address)) break;
    }
    return found;
  }
}

function last(headers: Headers, name: string): string | null {
  const value = headers.getAll(name).at(-1);
  return value === undefined ? null : (value.split(",").at(-1) as string).trim();
}

/** `1.2.3.4:5678` and `[::1]:5678` as some proxies write them. */
function withoutPort(entry: string): string {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(entry);
  if (bracketed) return bracketed[1] as string;
  return /^\d+\.\d+\.\d+\.\d+:\d+$/.test(entry) ? entry.slice(0, entry.indexOf(":")) : entry;
}
