/**
 * Addresses as settings write them: listeners (`127.0.0.1:8001, [::1]:8001 reuseport`), trusted networks
 * (`10.0.0.0/8`) and name servers (`1.1.1.1:53`). Everything is an IP address: a name could resolve to
 * another interface than the operator thinks of.
 */
import { BlockList, isIP } from "node:net";

/** Where one port is opened. `port` 0 lets the system choose. */
export interface Listen {
  readonly host: string;
  readonly port: number;
  /** Length of the kernel's queue of connections that wait to be accepted. */
  readonly backlog: number;
}

export interface TlsListen extends Listen {
  /** Whether TLS is spoken there. */
  readonly ssl: boolean;
}

/** A listener of the proxy. */
export interface ProxyListen extends TlsListen {
  /** Whether every connection begins with a header of the PROXY protocol, before TLS. */
  readonly proxyProtocol: boolean;
}

/** A value that cannot be read; the message says what is allowed instead. */
export class UnreadableValue extends Error {
  override name = "UnreadableValue";
}

/** Kong's own number for its proxy listeners; the kernel's `somaxconn` caps it. */
const DEFAULT_BACKLOG = 16384;

/**
 * Reads a list of listeners, `off` giving none.
 * @throws {UnreadableValue}
 */
export function readListeners(entries: readonly string[]): readonly Listen[] {
  return readAll(entries, ["backlog=N", "reuseport"]).map(({ host, port, backlog }) => ({
    host,
    port,
    backlog,
  }));
}

/**
 * Reads a list of listeners that may speak TLS, `off` giving none.
 * @throws {UnreadableValue}
 */
export function readProxyListeners(entries: readonly string[]): readonly ProxyListen[] {
  return readAll(entries, ["ssl", "proxy_protocol", "backlog=N", "reuseport"]);
}

/**
 * Reads a list of listeners that may speak TLS and are never behind a balancer, `off` giving none.
 * @throws {UnreadableValue}
 */
export function readTlsListeners(entries: readonly string[]): readonly TlsListen[] {
  return readAll(entries, ["ssl", "backlog=N", "reuseport"]).map(({ host, port, backlog, ssl }) => ({
    host,
    port,
    backlog,
    ssl,
  }));
}

function readAll(entries: readonly string[], allowed: readonly string[]): readonly ProxyListen[] {
  if (entries.length === 1 && entries[0] === "off") return [];
  const listeners = entries.map((entry) => readListener(entry, allowed));
  const seen = new Set<string>();
  for (const { host, port } of listeners) {
    const address = `${host}:${port}`;
    if (port !== 0 && seen.has(address)) throw new UnreadableValue(`'${address}' is listed twice`);
    seen.add(address);
  }
  return listeners;
}

function readListener(entry: string, allowed: readonly string[]): ProxyListen {
  const [address = "", ...options] = entry.split(/\s+/);
  if (address === "off") throw new UnreadableValue("'off' stands alone: remove it or the other addresses");
  const { host, port } = readAddress(address);
  let backlog = DEFAULT_BACKLOG;
  let ssl = false;
  let proxyProtocol = false;
  for (const option of options) {
    const given = /^backlog=(\d{1,6})$/.exec(option);
    if (given) backlog = Number(given[1]);
    else if (option === "ssl" && allowed.includes(option)) ssl = true;
    else if (option === "proxy_protocol" && allowed.includes(option)) proxyProtocol = true;
    else if (option === "http2")
      throw new UnreadableValue(
        `'http2' is not served yet: listeners speak HTTP/1.1, which clients of HTTP/2 fall back to; drop it from '${entry}'`,
      );
    else if (option === "ssl" || option === "proxy_protocol")
      throw new UnreadableValue(`'${option}' is not served here yet; drop it from '${entry}'`);
    // Every data thread listens by SO_REUSEPORT anyway.
    else if (option !== "reuseport")
      throw new UnreadableValue(`unknown option '${option}' of '${entry}'; allowed: ${allowed.join(", ")}`);
  }
  return { host, port, backlog, ssl, proxyProtocol };
}

/**
 * Reads `ip:port`, `[ipv6]:port` or `localhost:port`.
 * @throws {UnreadableValue}
 */
export function readAddress(text: string, defaultPort?: number): { host: string; port: number } {
  const parts = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const written = parts?.[1] ?? parts?.[2] ?? (isIP(text) === 6 ? text : "");
  const host = written === "localhost" ? "127.0.0.1" : written;
  const port = parts?.[3] === undefined ? defaultPort : Number(parts[3]);
  if (isIP(host) === 0 || (parts?.[1] !== undefined && isIP(host) !== 6))
    throw new UnreadableValue(
      `'${text}' is not an address; write ip:port, such as 127.0.0.1:8000 or [::1]:8000`,
    );
  if (port === undefined) throw new UnreadableValue(`'${text}' has no port; write ip:port`);
  if (port > 65535) throw new UnreadableValue(`'${text}': a port is a number from 0 to 65535`);
  return { host, port };
}

/** Whether only processes of this machine can reach a listener on this address. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? "ipv6" : "ipv4");
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/**
 * Checks an IP address or a network in CIDR form and returns it as written.
 * @throws {UnreadableValue}
 */
export function readNetwork(text: string): string {
  const [address = "", length, ...rest] = text.split("/");
  const family = isIP(address);
  const longest = family === 6 ? 128 : 32;
  const sound = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= longest);
  if (family === 0 || !sound || rest.length > 0)
    throw new UnreadableValue(`'${text}' is not an IP address or network; write 10.0.0.7 or 10.0.0.0/8`);
  return text;
}

/** A name under which the Admin API answers. @throws {UnreadableValue} */
export function readHostName(text: string): string {
  const name = text.toLowerCase();
  if (!/^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/.test(name))
    throw new UnreadableValue(`'${text}' is not a host name; write it without scheme, port or path`);
  return name;
}

/** A web origin. @throws {UnreadableValue} */
export function readOrigin(text: string): string {
  const url = URL.parse(text);
  if (
    !url ||
    !["http:", "https:"].includes(url.protocol) ||
    url.origin !== text.replace(/\/$/, "").toLowerCase()
  )
    throw new UnreadableValue(`'${text}' is not an origin; write scheme://host[:port] without a path`);
  return url.origin;
}
