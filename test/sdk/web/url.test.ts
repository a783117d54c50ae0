/** URL of the SDK against Node's: whatever it accepts both read alike, and what people write it accepts. */
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { URL as Own, URLSearchParams as OwnParams } from "@gatehouse/sdk/web";
import fc from "fast-check";

const MEMBERS = [
  "href",
  "origin",
  "protocol",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
] as const;

function parts(url: Own | URL): Record<string, string> {
  return Object.fromEntries(MEMBERS.map((name) => [name, url[name]]));
}

const ACCEPTED: [url: string, base?: string][] = [
  ["https://example.org"],
  ["HTTP://Example.ORG:80/a/./b/../c%2e%2E/%2e/d?x=1&y=ä#ü"],
  ["https://example.org:8443/"],
  ["https://example.org:443"],
  ["https://example.org:/"],
  ["https:\\\\example.org\\a\\..\\b"],
  ["  https://example.org/a\tb\nc  "],
  ["https:///example.org/a//b///"],
  ['https://example.org/ "<>`{}|^\\x?a b\'"<>#a b`"<>'],
  ["https://127.0.0.1/"],
  ["http://[::1]:8080/x"],
  ["http://[2001:DB8:0:0:1:0:0:1]/"],
  ["http://[1:0:0:2:0:0:0:3]/"],
  ["http://[0:0:0:0:0:0:0:0]/"],
  ["wss://example.org./"],
  ["https://xn--bcher-kva.example/"],
  ["https://example.org/?"],
  ["https://example.org/#"],
  ["../c?d", "https://example.org/a/b/x?y#z"],
  ["/c", "https://example.org/a/b"],
  ["?q", "https://example.org/a/b?x#z"],
  ["#f", "https://example.org/a/b?x#z"],
  ["", "https://example.org/a/b?x#z"],
  ["//other.example/x", "https://example.org/a"],
  ["./", "https://example.org/a/b"],
  ["..", "https://example.org/a/b/c"],
  ["https://example.org/\ud800?\ud800"],
];

for (const [url, base] of ACCEPTED)
  test(`${JSON.stringify(url)}${base ? ` on ${base}` : ""} is read as Node reads it`, () => {
    assert.deepEqual(parts(new Own(url, base)), parts(new URL(url, base)));
  });

const REFUSED: [what: string, url: string, base?: string][] = [
  ["no scheme", "example.org/a"],
  ["another scheme", "file:///etc/passwd"],
  ["a scheme without its slashes", "https:example.org"],
  ["a user", "https://user@example.org/"],
  ["no host", "https://"],
  ["an address in octal", "http://0177.0.0.1/"],
  ["an address as one number", "http://2130706433/"],
  ["an address in hexadecimal", "http://0x7f.1/"],
  ["an address that is too long", "http://1.2.3.4.5/"],
  ["a host in another script", "https://bücher.example/"],
  ["a host with escapes", "https://ex%61mple.org/"],
  ["a host with a space", "https://exa mple.org/"],
  ["a port that is none", "https://example.org:65536/"],
  ["a port in letters", "https://example.org:x/"],
  ["an IPv6 address with two gaps", "http://[1::2::3]/"],
  ["an IPv6 address that is too long", "http://[1:2:3:4:5:6:7:8:9]/"],
];

for (const [what, url, base] of REFUSED)
  test(`${what} is refused`, () => {
    assert.throws(() => new Own(url, base), TypeError);
    assert.equal(Own.canParse(url, base), false);
  });

test("whatever it accepts, Node reads alike", () => {
  const signs = [
    ..."ab.:/\\?#%@[]&=+ \t-_~^|{}'\"<>`;,!$()*",
    "..",
    "%2e",
    "//",
    "https://",
    "http:",
    "127.0.0.1",
    "[::1]",
    "0x7f",
    "ä",
    "\u{1f600}",
    "\ud800",
    "\0",
    "\x7f",
    "\u00a0",
  ];
  const text = fc.array(fc.constantFrom(...signs), { maxLength: 14 }).map((list) => list.join(""));
  const base = fc.constantFrom(undefined, "https://example.org/a/b/c?d#e");
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.constantFrom("", "https://", "http://h", "https://h.example/"),
      text,
      base,
      (front, rest, on) => {
        const own = Own.parse(front + rest, on);
        if (own === null) return;
        accepted++;
        const node = new URL(front + rest, on);
        assert.deepEqual(parts(own), parts(node));
        assert.deepEqual([...own.searchParams], [...node.searchParams]);
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(accepted > 1000, String(accepted));
});

describe("URLSearchParams", () => {
  it("reads and writes as Node's does", () => {
    for (const query of [
      "?a=1&a=2&b",
      "a=%zz&b=%ff&c=+%20",
      "&&=x&=&a=b=c",
      "ä=ü&%F0%9F%98%80=1",
      "*-._~!'()=",
    ])
      assert.deepEqual(
        [[...new OwnParams(query)], String(new OwnParams(query))],
        [[...new URLSearchParams(query)], String(new URLSearchParams(query))],
      );
    assert.equal(String(new OwnParams({ a: "1 2", b: "&" })), "a=1+2&b=%26");
    assert.equal(
      String(
        new OwnParams([
          ["a", "1"],
          ["a", "2"],
        ]),
      ),
      "a=1&a=2",
    );
  });

  it("changes the URL that it is of", () => {
    const url = new Own("https://example.org/?a=1&b=2&a=3");
    url.searchParams.set("a", "x y");
    url.searchParams.append("c", "ä");
    url.searchParams.delete("b");
    assert.equal(url.href, "https://example.org/?a=x+y&c=%C3%A4");
    url.search = "z=1";
    assert.equal(url.searchParams.get("z"), "1");
    url.pathname = "/a/../b c";
    url.hash = "#top";
    assert.equal(String(url), "https://example.org/b%20c?z=1#top");
  });
});
