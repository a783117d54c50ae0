/** As what an address is counted, by all who bound what one client may do. */

export interface AddressKey {
  readonly high: number;
  readonly low: number;
}

/** What an address counts as: an IPv4 address, or the first 64 bits of an IPv6 address. */
export function addressKey(address: string): AddressKey {
  if (!address.includes(":")) {
    let low = 0;
    for (const part of address.split(".")) low = (low << 8) | Number(part);
    return { high: 0xffff, low }; // 0:ffff::/32 is nobody's
  }
  const [start = "", end] = address.split("::");
  const groups = start === "" ? [] : start.split(":");
  if (end !== undefined) {
    const last = end === "" ? [] : end.split(":");
    const width = last.length + (end.includes(".") ? 1 : 0);
    while (groups.length + width < 8) groups.push("0");
    groups.push(...last);
  }
  const bits = groups.slice(0, 4).map((group) => Number.parseInt(group, 16) || 0);
  return {
    high: ((bits[0] ?? 0) << 16) | (bits[1] ?? 0),
    low: ((bits[2] ?? 0) << 16) | (bits[3] ?? 0),
  };
}

/** An IPv4 address as one, although the socket is of both kinds. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

/** The same as a text. An IPv4 address is one, whatever the socket is of. */
export function networkOf(address: string): string {
  const { high, low } = addressKey(plainAddress(address));
  return `${high} ${low}`;
}
