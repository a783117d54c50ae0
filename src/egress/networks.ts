/** Lists of networks as operators write them: addresses, networks in CIDR form, and kinds of addresses by name. */
import { BlockList } from "node:net";
import { type Address, type AddressKind, KINDS, readIp } from "./addresses.ts";

interface Network {
  readonly family: "ipv4" | "ipv6";
  readonly text: string;
  readonly bits: number;
}

const ALLOWED = `write an address, a network such as 10.0.0.0/8, or one of: ${KINDS.join(", ")}`;

/** What is wrong with an entry of a list; undefined if nothing. */
export function checkNetwork(entry: string): string | undefined {
  const found = readNetwork(entry);
  return typeof found === "string" && !isKind(found) ? found : undefined;
}

const isKind = (text: string): text is AddressKind => (KINDS as readonly string[]).includes(text);

/** A network, the name of a kind, or what is wrong. */
function readNetwork(entry: string): Network | AddressKind | string {
  if (isKind(entry)) return entry;
  const [written = "", length, ...rest] = entry.split("/");
  const address = written.includes("%") ? null : readIp(written);
  if (address === null || rest.length > 0) return `'${entry}' is not a network; ${ALLOWED}`;
  const longest = written.includes(":") ? 128 : 32;
  const bits = length === undefined ? longest : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!(bits <= longest)) return `'${entry}' is not a network: its length is a number from 0 to ${longest}`;
  // IPv4 written inside IPv6 is meant as IPv4.
  if (longest === 128 && address.family === "ipv4") {
    if (bits < 96) return `'${entry}' is half IPv4 and half IPv6; write two networks`;
    return { family: "ipv4", text: address.text, bits: bits - 96 };
  }
  return { family: address.family, text: address.text, bits };
}

/** Never changed. */
export class Networks {
  static readonly none = new Networks([]);
  readonly #list = new BlockList();
  readonly #kinds = new Set<AddressKind>();
  /** Addresses that an entry names alone. */
  readonly #single = new Set<string>();

  /** @throws {Error} for an entry that `checkNetwork` has something against */
  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const found = readNetwork(entry);
      if (typeof found !== "string") {
        this.#list.addSubnet(found.text, found.bits, found.family);
        if (found.bits === (found.family === "ipv4" ? 32 : 128)) this.#single.add(found.text);
      } else if (isKind(found)) this.#kinds.add(found);
      else throw new Error(found);
    }
  }

  has({ family, text }: Pick<Address, "family" | "text">, kind: AddressKind | null): boolean {
    return (kind !== null && this.#kinds.has(kind)) || this.#list.check(text, family);
  }

  /** Whether an entry means this very address or its kind: a network that only happens to hold it does not. */
  names({ text }: Pick<Address, "text">, kind: AddressKind): boolean {
    return this.#kinds.has(kind) || this.#single.has(text);
  }
}
