/**
 * The PROXY protocol's header: what a proxy that passes on bytes says about its client before the first of them
 * (proxy-protocol.txt of HAProxy, versions 1 and 2). A listener either expects it on every connection or on none:
 * where it is optional, clients write it themselves.
 */
import { isIP, SocketAddress } from "node:net";

/** Where the client came from, as the proxy saw it. */
export interface ProxiedFrom {
  readonly address: string;
  readonly port: number;
}

export type ProxyHeader =
  | { readonly kind: "incomplete" }
  | { readonly kind: "refused"; readonly reason: string }
  /**
   * `from` is null where the proxy speaks for itself (health checks) or does not say: then the peer is the client.
   * `end` is the index of the first byte behind the header.
   */
  | { readonly kind: "complete"; readonly end: number; readonly from: ProxiedFrom | null };

/** Section 2.1: the longest line of version 1, with its CRLF. */
const MAX_LINE_BYTES = 107;
/** Bound of a whole header of version 2, which nginx has too: addresses take 36 bytes, the rest is for extensions. */
export const MAX_HEADER_BYTES = 4096;

const LINE_START = Buffer.from("PROXY ");
/** Section 2.2. */
const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Signature, version and command, family and transport, length of the rest. */
const FIXED_BYTES = 16;
/** Bytes of addresses by family: unspecified, IPv4, IPv6, Unix. */
const ADDRESS_BYTES = [0, 12, 36, 216] as const;
const COMMAND = { local: 0, proxy: 1 } as const;
const FAMILY = { ipv4: 1, ipv6: 2 } as const;
const STREAM = 1;

const INCOMPLETE: ProxyHeader = { kind: "incomplete" };

/** Reads the header from all bytes of a connection so far. Refused as soon as no further byte can mend it. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return INCOMPLETE;
  if (begins(bytes, LINE_START)) return parseLine(bytes);
  if (begins(bytes, SIGNATURE)) return parseBinary(bytes);
  return refused("the connection does not begin with a PROXY header");
}

/** Whether `bytes` begin with `start`, as far as there are any. */
function begins(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function refused(reason: string): ProxyHeader {
  return { kind: "refused", reason };
}

/** Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443` and CRLF. */
function parseLine(bytes: Buffer): ProxyHeader {
  const window = bytes.toString("latin1", 0, Math.min(bytes.length, MAX_LINE_BYTES));
  const end = window.search(/[\r\n]/);
  if (end < 0 || end + 1 === window.length) {
    if (end >= 0 && window[end] !== "\r") return refused("the PROXY line does not end in CRLF");
    return bytes.length < MAX_LINE_BYTES
      ? INCOMPLETE
      : refused(`the PROXY line is longer than ${MAX_LINE_BYTES} bytes`);
  }
  if (!window.startsWith("\r\n", end)) return refused("the PROXY line does not end in CRLF");
  const line = window.substring(0, end);
  const complete = (from: ProxiedFrom | null): ProxyHeader => ({ kind: "complete", end: end + 2, from });
  // Whatever stands behind UNKNOWN is not for us.
  if (line === "PROXY UNKNOWN" || line.startsWith("PROXY UNKNOWN ")) return complete(null);
  const [, protocol, source = "", destination = "", sourcePort = "", destinationPort = "", ...more] =
    line.split(" ");
  const version = protocol === "TCP4" ? 4 : protocol === "TCP6" ? 6 : 0;
  if (version === 0) return refused("the PROXY line names a protocol other than TCP4, TCP6 and UNKNOWN");
  if (more.length > 0 || !isAddress(source, version) || !isAddress(destination, version))
    return refused(`the PROXY line does not name two addresses of ${protocol}`);
  if (!PORT.test(sourcePort) || !PORT.test(destinationPort) || Number(sourcePort) > 65_535)
    return refused("the PROXY line does not end in two ports");
  if (Number(destinationPort) > 65_535) return refused("the PROXY line does not end in two ports");
  return complete({ address: plainAddress(source), port: Number(sourcePort) });
}

const PORT = /^(?:0|[1-9]\d{0,4})$/;

/** A zone names an interface of somebody else's machine. */
function isAddress(text: string, version: number): boolean {
  return isIP(text) === version && !text.includes("%");
}

/** Version 2: binary, and extensions behind the addresses, which are skipped. */
function parseBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length <= SIGNATURE.length) return INCOMPLETE;
  const version = bytes[12] as number;
  if (version >> 4 !== 2) return refused(`version ${version >> 4} of the PROXY protocol`);
  const command = version & 15;
  if (command > COMMAND.proxy) return refused(`command ${command} of the PROXY protocol`);
  if (bytes.length < 14) return INCOMPLETE;
  const family = (bytes[13] as number) >> 4;
  const transport = (bytes[13] as number) & 15;
  const needed = ADDRESS_BYTES[family];
  // Reserved values are rejected (section 2.2).
  if (needed === undefined || transport > 2)
    return refused(`address family ${family}, transport ${transport} of the PROXY protocol`);
  if (bytes.length < FIXED_BYTES) return INCOMPLETE;
  const length = bytes.readUInt16BE(14);
  const end = FIXED_BYTES + length;
  if (end > MAX_HEADER_BYTES)
    return refused(`a PROXY header of ${end} bytes, and at most ${MAX_HEADER_BYTES} are allowed`);
  if (command === COMMAND.proxy && length < needed)
    return refused("the PROXY header is too short for its addresses");
  if (bytes.length < end) return INCOMPLETE;
  const told = command === COMMAND.proxy && transport === STREAM;
  return { kind: "complete", end, from: told ? source(bytes, family) : null };
}

/** Source address and port; null for a family that names none of the network. */
function source(bytes: Buffer, family: number): ProxiedFrom | null {
  if (family === FAMILY.ipv4)
    return { address: bytes.subarray(16, 20).join("."), port: bytes.readUInt16BE(24) };
  if (family !== FAMILY.ipv6) return null;
  const groups: string[] = [];
  for (let at = 16; at < 32; at += 2) groups.push(bytes.readUInt16BE(at).toString(16));
  return { address: plainAddress(groups.join(":")), port: bytes.readUInt16BE(48) };
}

/** The address in its usual spelling; an IPv4 address in IPv6 clothes is the IPv4 address. */
function plainAddress(text: string): string {
  if (isIP(text) === 4) return text;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  return address.startsWith("::ffff:") && isIP(address.substring(7)) === 4 ? address.substring(7) : address;
}
