/** However an address is written, the verdict is the same: held against random addresses, and the runtime's own reading. */
import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { it } from "node:test";
import fc from "fast-check";
import { readIp } from "../../src/egress/addresses.ts";
import { Policies } from "../../src/egress/policies.ts";

const RUNS = { numRuns: 2000 };
const byte = fc.nat(255);
/** Half of them in a network that is refused to somebody. */
const ipv4 = fc.oneof(
  fc.tuple(byte, byte, byte, byte),
  fc.tuple(fc.constantFrom(0, 10, 127, 224, 240, 255), byte, byte, byte),
  fc.tuple(fc.constant(169), fc.constant(254), fc.constantFrom(169, 0, 170), fc.constantFrom(254, 1, 2)),
  fc.tuple(fc.constantFrom(192, 172, 100), fc.constantFrom(168, 16, 31, 64, 0), byte, byte),
);
type Bytes = readonly [number, number, number, number];

const hex = (a: number, b: number) => ((a << 8) | b).toString(16);
const groups = ([a, b, c, d]: Bytes) => `${hex(a, b)}:${hex(c, d)}`;
const dotted = (bytes: Bytes) => bytes.join(".");
const inverted = ([a, b, c, d]: Bytes): Bytes => [a ^ 255, b ^ 255, c ^ 255, d ^ 255];

/** Forms of IPv6 that lead, or may lead, to an IPv4 address. */
const FORMS: Readonly<Record<string, (bytes: Bytes) => string>> = {
  mapped: (bytes) => `::ffff:${dotted(bytes)}`,
  "mapped, in groups": (bytes) => `::FFFF:${groups(bytes)}`,
  "mapped, at length": (bytes) => `0:0:0:0:0:ffff:${groups(bytes)}`,
  "mapped, with a zone": (bytes) => `::ffff:${dotted(bytes)}%eth0`,
  compatible: (bytes) => `::${dotted(bytes)}`,
  translated: (bytes) => `::ffff:0:${dotted(bytes)}`,
  NAT64: (bytes) => `64:ff9b::${dotted(bytes)}`,
  "NAT64 of the site": (bytes) => `64:ff9b:1::${dotted(bytes)}`,
  "6to4": (bytes) => `2002:${groups(bytes)}::1`,
  "Teredo's client": (bytes) => `2001:0:101:101:0:0:${groups(inverted(bytes))}`,
  "Teredo's server": (bytes) => `2001:0:${groups(bytes)}::1`,
  ISATAP: (bytes) => `2606:4700::5efe:${dotted(bytes)}`,
};

const policies = Policies.of();
for (const purpose of ["configuration", "guest"] as const) {
  const policy = policies.named("acme", purpose);
  for (const [form, written] of Object.entries(FORMS))
    it(`${form}: refused to ${purpose === "guest" ? "guests" : "tenants"} wherever the IPv4 address is`, () => {
      fc.assert(
        fc.property(ipv4, (bytes) => {
          const text = written(bytes);
          assert.ok(isIPv6(text), text);
          if (policy.check(dotted(bytes), 80) !== null) assert.notEqual(policy.check(text, 80), null, text);
        }),
        RUNS,
      );
    });
}

it("every way to write an IPv6 address is read as URLs read it", () => {
  const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
  const style = fc.record({
    upper: fc.boolean(),
    padded: fc.boolean(),
    dotted: fc.boolean(),
    from: fc.nat(7),
    length: fc.nat(8),
  });
  fc.assert(
    fc.property(fc.tuple(group, group, group, group, group, group, group, group), style, (list, how) => {
      const values = [...list];
      const end = Math.min(how.from + how.length, how.dotted ? 6 : 8);
      const short = end > how.from;
      if (short) values.fill(0, how.from, end);
      const texts = values.map((value) => {
        const text = how.padded ? value.toString(16).padStart(4, "0") : value.toString(16);
        return how.upper ? text.toUpperCase() : text;
      });
      const [g, h] = [values[6] as number, values[7] as number];
      const last = how.dotted ? [`${g >> 8}.${g & 255}.${h >> 8}.${h & 255}`] : texts.slice(6);
      const all = [...texts.slice(0, 6), ...last];
      const text = short ? `${all.slice(0, how.from).join(":")}::${all.slice(end).join(":")}` : all.join(":");
      if (!isIPv6(text)) return;
      const read = readIp(text);
      assert.ok(read, text);
      const plain = read.family === "ipv4" ? `::ffff:${read.text}` : read.text;
      assert.equal(new URL(`http://[${plain}]`).hostname, new URL(`http://[${text}]`).hostname);
    }),
    { numRuns: 5000 },
  );
});

it("whatever text there is, reading it neither throws nor takes something for an address that the runtime does not", () => {
  const odd = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9a-fA-Fx:.%/[\]]{0,50}$/),
    fc.ipV4Extended(),
    fc.ipV6(),
  );
  fc.assert(
    fc.property(odd, (text) => {
      const read = readIp(text);
      if (read === null) return;
      const again = readIp(read.text);
      assert.deepEqual([again?.family, again?.text], [read.family, read.text]);
    }),
    RUNS,
  );
});
