/** What addresses stand for, in every spelling. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AddressKind, kindOf, readIp } from "../../src/egress/addresses.ts";

const CASES: Readonly<Record<AddressKind | "public", readonly string[]>> = {
  metadata: [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "fd00:ec2::254",
    "fd00:0ec2:0:0::0254",
    "100.100.100.200",
    "168.63.129.16",
    "fd20:ce::254",
  ],
  unspecified: ["0.0.0.0", "0.1.2.3", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"],
  loopback: [
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::1%lo",
  ],
  link_local: ["169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1"],
  private: [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "fc00::1",
    "fdff::1",
    "fec0::1",
    "::ffff:10.0.0.1",
  ],
  shared: ["100.64.0.1", "100.127.255.255"],
  documentation: ["192.0.2.1", "198.51.100.1", "203.0.113.9", "2001:db8::1", "3fff::1"],
  benchmarking: ["198.18.0.1", "198.19.255.255", "2001:2::1"],
  multicast: ["224.0.0.1", "239.255.255.255", "ff02::1"],
  broadcast: ["255.255.255.255"],
  reserved: [
    "240.0.0.1",
    "192.0.0.8",
    "192.88.99.1",
    "64:ff9b:1::1",
    "100::1",
    "4000::1",
    "::7f00:1",
    "::2",
    "::ffff:0:7f00:1",
    "5f00::1",
    "2001:20::1",
  ],
  public: [
    "1.1.1.1",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "128.0.0.1",
    "126.255.255.255",
    "169.253.1.1",
    "2606:4700::1111",
    "2002:101:101::1",
    "64:ff9b::101:101",
  ],
};

describe("the kind of an address", () => {
  for (const [kind, addresses] of Object.entries(CASES)) {
    for (const text of addresses) {
      it(`${text} is ${kind}`, () => {
        const address = readIp(text);
        assert.ok(address);
        assert.equal(kindOf(address) ?? "public", kind);
      });
    }
  }
});

describe("addresses that an IPv6 address carries", () => {
  for (const [text, carried] of [
    ["::7f00:1", ["127.0.0.1"]],
    ["::ffff:0:10.0.0.1", ["10.0.0.1"]],
    ["64:ff9b::169.254.169.254", ["169.254.169.254"]],
    ["64:ff9b:1::127.0.0.1", ["127.0.0.1"]],
    ["2002:7f00:1::", ["127.0.0.1"]],
    ["2002:a9fe:a9fe::1", ["169.254.169.254"]],
    ["2001:0:7f00:1::80ff:fffe", ["127.0.0.1", "127.0.0.1"]],
    ["2606:4700::5efe:7f00:1", ["127.0.0.1"]],
    ["2606:4700::200:5efe:10.0.0.1", ["10.0.0.1"]],
    ["::1", []],
    ["2606:4700::1111", []],
  ] as const) {
    it(`${text}: ${carried.join(", ") || "none"}`, () => assert.deepEqual(readIp(text)?.carried, carried));
  }
});

describe("what is no address in its standard form is not read as one", () => {
  for (const text of [
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.01",
    "1.2.3.4.",
    " 127.0.0.1",
    "127.0.0.1 ",
    "",
    "[::1]",
    "::ffff:127.1",
    "localhost",
    "１２７.0.0.1",
    "127.0.0.1\0",
  ]) {
    it(JSON.stringify(text), () => assert.equal(readIp(text), null));
  }
});
