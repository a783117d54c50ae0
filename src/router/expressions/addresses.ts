/**
 * IP addresses and networks as byte strings of 4 or 16 characters: comparing them is comparing strings, and
 * the family is the length.
 */

import { isIP } from "node:net";

export interface Network {
  /** The bytes of the network's address; bits behind the prefix are zero. */
  readonly address: string;
  /** Length of the prefix in bits. */
  readonly bits: number;
}

/** IPv4 within IPv6: a socket for both families shows IPv4 peers so. */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** The bytes of an address, or null if it is none. An IPv4 address mapped into IPv6 is that IPv4 address. */
export function parseAddress(text: string): string | null {
  const family = isIP(text);
  if (family === 4) return ipv4(text);
  if (family !== 6 || text.includes("%")) return null;
  const mapped = MAPPED.exec(text);
  return mapped === null ? ipv6(text) : ipv4(mapped[1]!);
}

const ipv4 = (text: string): string => String.fromCharCode(...text.split(".").map(Number));

function ipv6(text: string): string {
  const [head = "", tail] = text.split("::") as [string, string?];
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 16 - front.length - back.length }, () => 0);
  return String.fromCharCode(...front, ...zeros, ...back);
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** `10.0.0.0/8`; null if the address is none. As in Kong the address is the network's own, not a host's in it. */
export function parseNetwork(text: string): Network | { readonly problem: string } | null {
  const [written = "", prefix = ""] = text.split("/");
  const address = parseAddress(written);
  if (address === null) return null;
  const bits = Number(prefix);
  const most = address.length * 8;
  if (bits > most) return { problem: `'${text}': the prefix has at most ${most} bits` };
  const network = masked(address, bits);
  if (network !== address) {
    return { problem: `'${text}' has bits behind its prefix; the network is ${display(network)}/${bits}` };
  }
  return { address, bits };
}

function masked(address: string, bits: number): string {
  let out = "";
  for (let i = 0; i < address.length; i++)
    out += String.fromCharCode(address.charCodeAt(i) & maskOf(bits - 8 * i));
  return out;
}

/** Mask of a byte of which the first `bits` count; any number. */
const maskOf = (bits: number): number => (bits >= 8 ? 0xff : bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff);

export function isWithin(address: string, network: Network): boolean {
  if (address.length !== network.address.length) return false;
  for (let i = 0; 8 * i < network.bits; i++) {
    if ((address.charCodeAt(i) & maskOf(network.bits - 8 * i)) !== network.address.charCodeAt(i))
      return false;
  }
  return true;
}

function display(address: string): string {
  const bytes = [...address].map((byte) => byte.charCodeAt(0));
  if (bytes.length === 4) return bytes.join(".");
  const parts = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return new URL(`http://[${parts.join(":")}]`).hostname.slice(1, -1);
}
