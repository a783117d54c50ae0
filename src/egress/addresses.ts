/**
 * What an IP address stands for, whatever form it is written in. One destination has many spellings: an IPv4
 * address inside IPv6 (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) reaches the same machine, so
 * a rule that knew one spelling alone would be no rule.
 *
 * Ranges: RFC 6890 with IANA's special-purpose registries for IPv4 and IPv6; what clouds call the metadata service
 * by their own documents.
 */
import { BlockList, isIP } from "node:net";

/** What a special address is for; a public one has no kind. */
export const KINDS = [
  "metadata",
  "unspecified",
  "loopback",
  "link_local",
  "multicast",
  "broadcast",
  "private",
  "shared",
  "documentation",
  "benchmarking",
  "reserved",
] as const;
export type AddressKind = (typeof KINDS)[number];

/** For messages: "127.0.0.1 is …". */
export const KIND_WORDS: Readonly<Record<AddressKind, string>> = {
  metadata: "the address of a cloud's metadata service",
  unspecified: "an unspecified address, which leads to this machine",
  loopback: "a loopback address",
  link_local: "a link-local address",
  multicast: "a multicast address",
  broadcast: "the broadcast address",
  private: "a private address",
  shared: "an address of the shared space (carrier-grade NAT)",
  documentation: "an address for documentation",
  benchmarking: "an address for benchmarks",
  reserved: "a reserved address",
};

/** An address in one spelling: IPv4 dotted, IPv6 as eight groups; no zone, and IPv4 mapped into IPv6 is IPv4. */
export interface Address {
  readonly family: "ipv4" | "ipv6";
  readonly text: string;
  /** IPv4 addresses that it carries besides: to reach it may be to reach them. */
  readonly carried: readonly string[];
}

/** Null for a text that is not an address in its standard form: decimal, octal, hexadecimal and short ones are not. */
export function readIp(text: string): Address | null {
  const family = isIP(text);
  if (family === 0) return null;
  if (family === 4) return { family: "ipv4", text, carried: [] };
  const groups = groupsOf(text);
  const high = groups.slice(0, 5).every((group) => group === 0);
  if (high && groups[5] === 0xffff) return { family: "ipv4", text: dotted(groups, 6), carried: [] };
  return {
    family: "ipv6",
    text: groups.map((group) => group.toString(16)).join(":"),
    carried: carried(groups),
  };
}

/** The eight groups of a sound IPv6 address. */
function groupsOf(text: string): number[] {
  const zone = text.indexOf("%");
  const parts = (zone < 0 ? text : text.slice(0, zone)).split("::").map((half) => {
    if (half === "") return [];
    return half.split(":").flatMap((group) => {
      if (!group.includes(".")) return [Number.parseInt(group, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
      return [(a << 8) | b, (c << 8) | d];
    });
  });
  const [head = [], tail = []] = parts;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** The IPv4 address in two groups. */
function dotted(groups: readonly number[], at: number, mask = 0): string {
  const high = (groups[at] as number) ^ mask;
  const low = (groups[at + 1] as number) ^ mask;
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function carried(groups: readonly number[]): readonly string[] {
  const [a, b, c, d, e, f] = groups as [number, number, number, number, number, number];
  const found: string[] = [];
  // IPv4-compatible (RFC 4291 section 2.5.5.1); :: and ::1 are addresses of their own.
  const zeros = a === 0 && b === 0 && c === 0 && d === 0;
  if (zeros && e === 0 && f === 0 && (groups[6] !== 0 || (groups[7] as number) > 1))
    found.push(dotted(groups, 6));
  if (zeros && e === 0xffff && f === 0) found.push(dotted(groups, 6)); // IPv4-translated (RFC 2765)
  if (a === 0x64 && b === 0xff9b) found.push(dotted(groups, 6)); // NAT64 (RFC 6052, RFC 8215)
  if (a === 0x2002) found.push(dotted(groups, 1)); // 6to4 (RFC 3056)
  // Teredo (RFC 4380): the server, and the client with its bits turned over.
  if (a === 0x2001 && b === 0) found.push(dotted(groups, 2), dotted(groups, 6, 0xffff));
  if ((e & 0xfdff) === 0 && f === 0x5efe) found.push(dotted(groups, 6)); // ISATAP (RFC 5214)
  return found;
}

/** In the order in which they are asked: the first that holds an address names it. */
const RANGES: readonly (readonly [AddressKind, readonly string[]])[] = [
  [
    "metadata",
    [
      "169.254.169.254/32", // AWS, Azure, Google Cloud, Oracle, OpenStack and others
      "169.254.169.253/32", // AWS: name servers
      "169.254.170.2/32", // AWS: credentials of containers
      "169.254.170.23/32",
      "168.63.129.16/32", // Azure: the host's agent
      "100.100.100.200/32", // Alibaba
      "192.0.0.192/32", // Oracle, the older one
      "fd00:ec2::254/128", // AWS
      "fd00:ec2::253/128",
      "fd00:ec2::23/128",
      "fd20:ce::254/128", // Google Cloud
      "fd00:c1::a9fe:a9fe/128", // Oracle
    ],
  ],
  ["unspecified", ["0.0.0.0/8", "::/128"]],
  ["loopback", ["127.0.0.0/8", "::1/128"]],
  ["link_local", ["169.254.0.0/16", "fe80::/10"]],
  ["private", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"]],
  ["shared", ["100.64.0.0/10"]],
  ["documentation", ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"]],
  ["benchmarking", ["198.18.0.0/15", "2001:2::/48"]],
  ["multicast", ["224.0.0.0/4", "ff00::/8"]],
  ["broadcast", ["255.255.255.255/32"]],
  [
    "reserved",
    [
      "192.0.0.0/24", // protocol assignments
      "192.88.99.0/24", // relays of 6to4, given up
      "240.0.0.0/4",
      "64:ff9b:1::/48", // local translation: where it leads, the site alone knows
      "2001:10::/28", // identifiers, not addresses
      "2001:20::/28",
    ],
  ],
];

const LISTS = RANGES.map(([kind, networks]) => [kind, blockList(networks)] as const);
/** Everything of IPv6 that is routed, NAT64 included; what is outside, and in no range above, is reserved. */
const ROUTED = blockList(["2000::/3", "64:ff9b::/96"]);

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    list.addSubnet(address, Number(bits), isIP(address) === 6 ? "ipv6" : "ipv4");
  }
  return list;
}

/** What an address is, the addresses that it carries aside; null for a public one. */
export function kindOf({ family, text }: Pick<Address, "family" | "text">): AddressKind | null {
  for (const [kind, list] of LISTS) if (list.check(text, family)) return kind;
  return family === "ipv6" && !ROUTED.check(text, "ipv6") ? "reserved" : null;
}
