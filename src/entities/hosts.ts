/**
 * Host names as routes, workspaces, services and targets write them, and the question that keeps tenants
 * apart: does a workspace own a host? Ownership is decided on lower-case names, ports aside.
 */
import { isIP } from "node:net";
import { checkRouterPath } from "./paths.ts";

/** A name of one or more labels, as DNS and Kong allow them (`_` included). At most 253 bytes. */
const HOSTNAME = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/;
const MAX_HOSTNAME = 253;

export interface HostParts {
  /** Lower-case; IPv6 without brackets. */
  readonly host: string;
  readonly port: number | null;
  readonly kind: "name" | "ipv4" | "ipv6";
}

function isHostname(text: string): boolean {
  return text.length <= MAX_HOSTNAME && HOSTNAME.test(text);
}

/** Splits `host`, `host:port` or `[ipv6]:port`; a string says what is wrong. */
export function parseHost(text: string): HostParts | string {
  if (isIP(text) === 6) return { host: text.toLowerCase(), port: null, kind: "ipv6" };
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed) {
    if (isIP(bracketed[1]!) !== 6) return `invalid ipv6 address: ${text}`;
    return withPort(bracketed[1]!.toLowerCase(), bracketed[2], "ipv6", text);
  }
  const colon = text.indexOf(":");
  const name = (colon === -1 ? text : text.slice(0, colon)).toLowerCase();
  const port = colon === -1 ? undefined : text.slice(colon + 1);
  if (isIP(name) === 4) return withPort(name, port, "ipv4", text);
  // A last label that is a number, also in hexadecimal, is read as an IPv4 address by some and not by others.
  if (!isHostname(name) || /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/.test(name)) return `invalid hostname: ${text}`;
  return withPort(name, port, "name", text);
}

function withPort(host: string, port: string | undefined, kind: HostParts["kind"], text: string) {
  if (port === undefined) return { host, port: null, kind };
  const number = /^[0-9]{1,5}$/.test(port) ? Number(port) : Number.NaN;
  return number >= 0 && number <= 65_535 ? { host, port: number, kind } : `invalid port number in '${text}'`;
}

/** A host without a port (a service's). */
export function checkHost(text: string): string | undefined {
  const parts = parseHost(text);
  if (typeof parts === "string") return parts;
  return parts.port === null ? undefined : "must not have a port";
}

/** A host with or without a port (a target, `host_header`). */
export function checkHostWithPort(text: string): string | undefined {
  const parts = parseHost(text);
  return typeof parts === "string" ? parts : undefined;
}

/** A host of a route: `[host][:port]`, where one `*` may stand as the leftmost or rightmost label. */
export function checkRouteHost(text: string): string | undefined {
  if (!text.includes("*")) return checkHostWithPort(text);
  if (text.indexOf("*") !== text.lastIndexOf("*"))
    return "invalid wildcard: at most one '*' is allowed, as the leftmost or rightmost label";
  const colon = text.indexOf(":");
  const name = colon === -1 ? text : text.slice(0, colon);
  if (!name.startsWith("*.") && !name.endsWith(".*"))
    return "invalid wildcard: must be placed at leftmost or rightmost label, as in '*.example.com'";
  const parts = parseHost(text.replace("*", "a"));
  if (typeof parts === "string") return parts.replace(text.replace("*", "a"), text);
  return undefined;
}

/** A host that a workspace owns: a name, an address, or `*.name` for everything below a name. */
export function checkOwnedHost(text: string): string | undefined {
  if (text !== text.toLowerCase()) return `must be lower-case: use '${text.toLowerCase()}'`;
  if (!text.includes("*")) return checkHost(text);
  if (!text.startsWith("*.") || text.lastIndexOf("*") > 0)
    return "only whole names and '*.name' can be owned; '*' must be the leftmost label";
  return checkHost(text.slice(2));
}

/** A path that a workspace owns on a host that is nobody's: `name/prefix/`. */
export function checkOwnedPath(text: string): string | undefined {
  const slash = text.indexOf("/");
  const host = slash === -1 ? text : text.slice(0, slash);
  if (host.includes("*")) return "must begin with one whole name of a host";
  const wrong = checkOwnedHost(host);
  if (wrong !== undefined) return wrong;
  if (slash === -1 || text.length === slash + 1 || !text.endsWith("/"))
    return "must be a host and a path that begins and ends with '/', as in 'example.com/orders/'";
  return checkRouterPath(text.slice(slash));
}

/** The name that ownership looks at: lower-case, without port. A wildcard keeps its `*`. */
function ownershipName(routeHost: string): string {
  if (!routeHost.includes("*")) {
    const parts = parseHost(routeHost);
    return typeof parts === "string" ? routeHost.toLowerCase() : parts.host;
  }
  const colon = routeHost.indexOf(":");
  return (colon === -1 ? routeHost : routeHost.slice(0, colon)).toLowerCase();
}

/** The hosts of one workspace, for many questions. */
export class OwnedHosts {
  readonly #exact = new Set<string>();
  /** Names under which everything is owned, without `*.`. */
  readonly #below = new Set<string>();

  constructor(hosts: readonly string[]) {
    for (const host of hosts) {
      if (host.startsWith("*.")) this.#below.add(host.slice(2));
      else this.#exact.add(host);
    }
  }

  /**
   * Whether every request that this host of a route can match is for a name that is owned here. A rightmost
   * wildcard (`shop.*`) reaches names of everybody, so nobody owns one.
   */
  owns(routeHost: string): boolean {
    const name = ownershipName(routeHost);
    if (name.endsWith(".*")) return false;
    if (name.startsWith("*.")) return this.#below.has(name.slice(2)) || this.#isBelow(name.slice(2));
    return this.#exact.has(name) || this.#isBelow(name);
  }

  #isBelow(name: string): boolean {
    for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
      if (this.#below.has(name.slice(dot + 1))) return true;
    }
    return false;
  }
}
