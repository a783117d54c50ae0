/** The PROXY protocol's header as bytes: what is read from it, what is refused, in every split. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MAX_HEADER_BYTES, type ProxyHeader, parseProxyHeader } from "../../src/proxy-protocol/header.ts";
import { binaryHeader } from "./binary-header.ts";

const V4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb]);
const V6 = Buffer.concat([
  Buffer.from("20010db8000000000000000000000001", "hex"),
  Buffer.from("20010db8000000000000000000000002", "hex"),
  Buffer.from([0xdc, 0x04, 0x01, 0xbb]),
]);
const MAPPED = Buffer.concat([
  Buffer.from("00000000000000000000ffffc0000201", "hex"),
  Buffer.from("00000000000000000000ffffc6336402", "hex"),
  Buffer.from([0xdc, 0x04, 0x01, 0xbb]),
]);
const TLV = Buffer.from([0x04, 0x00, 0x03, 1, 2, 3]);
const LONGEST = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".padEnd(105, "x");

const ACCEPTED: readonly (readonly [title: string, bytes: string | Buffer, from: string | null])[] = [
  ["TCP4", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1 56324"],
  [
    "TCP4 with the outermost values",
    "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
    "255.255.255.255 65535",
  ],
  ["TCP4 with port 0", "PROXY TCP4 192.0.2.1 198.51.100.2 0 443\r\n", "192.0.2.1 0"],
  ["TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "2001:db8::1 56324"],
  ["TCP6 in full", "PROXY TCP6 2001:0DB8:0:0:0:0:0:1 2001:db8::2 56324 443\r\n", "2001:db8::1 56324"],
  ["TCP6 around an IPv4 address", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n", "192.0.2.1 1"],
  ["UNKNOWN alone", "PROXY UNKNOWN\r\n", null],
  ["UNKNOWN with anything", "PROXY UNKNOWN what ever \xff\r\n", null],
  ["a line as long as it may be", `${LONGEST}\r\n`, null],
  ["v2 over IPv4", binaryHeader(0x21, 0x11, V4), "192.0.2.1 56324"],
  ["v2 over IPv6", binaryHeader(0x21, 0x21, V6), "2001:db8::1 56324"],
  ["v2 over IPv6 around an IPv4 address", binaryHeader(0x21, 0x21, MAPPED), "192.0.2.1 56324"],
  ["v2 with extensions", binaryHeader(0x21, 0x11, Buffer.concat([V4, TLV, TLV])), "192.0.2.1 56324"],
  [
    "v2 as long as it may be",
    binaryHeader(0x21, 0x11, Buffer.concat([V4, Buffer.alloc(MAX_HEADER_BYTES - 28)])),
    "192.0.2.1 56324",
  ],
  ["v2 LOCAL", binaryHeader(0x20, 0x00, Buffer.alloc(0)), null],
  ["v2 LOCAL with addresses", binaryHeader(0x20, 0x11, V4), null],
  ["v2 LOCAL with too few addresses", binaryHeader(0x20, 0x11, V4.subarray(0, 5)), null],
  ["v2 unspecified", binaryHeader(0x21, 0x00, TLV), null],
  ["v2 over UDP", binaryHeader(0x21, 0x12, V4), null],
  ["v2 over a Unix socket", binaryHeader(0x21, 0x31, Buffer.alloc(216)), null],
];

const REFUSED: readonly (readonly [title: string, bytes: string | Buffer, reason: RegExp])[] = [
  ["HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", /does not begin/],
  ["TLS", Buffer.from([22, 3, 1, 0, 200, 1]), /does not begin/],
  ["small letters", "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", /does not begin/],
  ["a space before it", " PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n", /does not begin/],
  ["a tab behind PROXY", "PROXY\tTCP4 192.0.2.1 198.51.100.2 1 2\r\n", /does not begin/],
  ["another protocol", "PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", /other than TCP4/],
  ["no protocol", "PROXY \r\n", /other than TCP4/],
  ["UNKNOWN and more letters", "PROXY UNKNOWNS\r\n", /other than TCP4/],
  ["an IPv6 address for TCP4", "PROXY TCP4 ::1 198.51.100.2 1 2\r\n", /two addresses of TCP4/],
  ["an IPv4 address for TCP6", "PROXY TCP6 ::1 198.51.100.2 1 2\r\n", /two addresses of TCP6/],
  ["a zone", "PROXY TCP6 fe80::1%lo ::1 1 2\r\n", /two addresses of TCP6/],
  ["a name", "PROXY TCP4 localhost 198.51.100.2 1 2\r\n", /two addresses/],
  ["an octet with a leading zero", "PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n", /two addresses/],
  ["an octet over 255", "PROXY TCP4 192.0.256.1 198.51.100.2 1 2\r\n", /two addresses/],
  ["two spaces", "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n", /two addresses/],
  ["a field too many", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n", /two addresses/],
  ["a space at the end", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", /two addresses/],
  ["no ports", "PROXY TCP4 192.0.2.1 198.51.100.2\r\n", /two ports/],
  ["one port", "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", /two ports/],
  ["a port over 65535", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", /two ports/],
  ["a second port over 65535", "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", /two ports/],
  ["a port with a leading zero", "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", /two ports/],
  ["a signed port", "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", /two ports/],
  ["a bare LF", "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", /CRLF/],
  ["a bare CR", "PROXY TCP4 192.0.2.1\r198.51.100.2 1 2\r\n", /CRLF/],
  ["a line that is too long by one", `${LONGEST}x\r\n`, /longer than 107/],
  ["a line without end", `PROXY UNKNOWN ${"x".repeat(200)}`, /longer than 107/],
  ["v2 with a wrong signature", Buffer.from("\r\n\r\n\0\r\nQUIT\r", "latin1"), /does not begin/],
  ["v1 in v2's clothes", binaryHeader(0x11, 0x11, V4), /version 1/],
  ["v3", binaryHeader(0x31, 0x11, V4), /version 3/],
  ["v2 with an unknown command", binaryHeader(0x22, 0x11, V4), /command 2/],
  ["v2 with an unknown family", binaryHeader(0x21, 0x41, V4), /family 4/],
  ["v2 with an unknown transport", binaryHeader(0x21, 0x13, V4), /transport 3/],
  ["v2 too short for IPv4", binaryHeader(0x21, 0x11, V4.subarray(0, 11)), /too short/],
  ["v2 too short for IPv6", binaryHeader(0x21, 0x21, V4), /too short/],
  ["v2 that is too long", binaryHeader(0x21, 0x11, Buffer.alloc(MAX_HEADER_BYTES - 15)), /at most 4096/],
  ["v2 of 65,551 bytes", binaryHeader(0x21, 0x11, Buffer.alloc(65_535)), /at most 4096/],
];

const toBytes = (text: string | Buffer) => (typeof text === "string" ? Buffer.from(text, "latin1") : text);

/** What the parser says once it has made up its mind, fed prefix by prefix; null if it never does. */
function verdict(bytes: Buffer): ProxyHeader | null {
  for (let length = 0; length <= bytes.length; length++) {
    const header = parseProxyHeader(bytes.subarray(0, length));
    if (header.kind !== "incomplete") return header;
  }
  return null;
}

describe("the PROXY header", () => {
  for (const [title, text, from] of ACCEPTED) {
    it(`${title} is read, and what follows is not touched`, () => {
      const bytes = toBytes(text);
      const header = parseProxyHeader(Buffer.concat([bytes, Buffer.from("GET / HTTP/1.1\r\n")]));
      assert.equal(header.kind, "complete");
      assert.equal(header.end, bytes.length);
      assert.equal(header.from === null ? null : `${header.from.address} ${header.from.port}`, from);
    });
    it(`${title} says the same byte by byte`, () => {
      const bytes = toBytes(text);
      assert.deepEqual(verdict(bytes), parseProxyHeader(bytes));
    });
  }

  for (const [title, text, reason] of REFUSED) {
    it(`${title} is refused, whole and byte by byte`, () => {
      const whole = parseProxyHeader(toBytes(text));
      assert.equal(whole.kind, "refused");
      assert.match(whole.reason, reason);
      const drops = verdict(toBytes(text));
      assert.equal(drops?.kind, "refused");
    });
  }

  it("whatever comes, the verdict does not depend on how it arrives, and falls within 4,096 bytes", () => {
    const start = fc.constantFrom(...[...ACCEPTED, ...REFUSED].map(([, text]) => toBytes(text)));
    const mutated = fc
      .tuple(start, fc.array(fc.tuple(fc.nat(60), fc.integer({ min: 0, max: 255 })), { maxLength: 3 }))
      .map(([bytes, changes]) => {
        const made = Buffer.from(bytes.subarray(0, MAX_HEADER_BYTES + 1));
        for (const [at, value] of changes) if (at < made.length) made[at] = value;
        return made;
      });
    const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(mutated, noise), fc.nat(300), (bytes, cut) => {
        const whole = parseProxyHeader(bytes);
        const first = parseProxyHeader(bytes.subarray(0, cut));
        // A verdict of fewer bytes stands, and none is taken back.
        if (first.kind !== "incomplete") assert.equal(whole.kind, first.kind);
        if (first.kind === "complete") assert.deepEqual(whole, first);
        if (whole.kind === "incomplete") assert.ok(bytes.length < MAX_HEADER_BYTES);
        if (whole.kind === "complete") assert.ok(whole.end <= Math.min(bytes.length, MAX_HEADER_BYTES));
      }),
      { numRuns: 20_000 },
    );
  });
});
