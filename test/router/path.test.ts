/** Normalising, rebuilding and escaping of request paths, by tables; and paths that were made to deceive. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { byteString, escapePath, normalizePath, upstreamPath } from "../../src/router/path.ts";

describe("a path is normalised before routes are matched", () => {
  const rows: [raw: string, normal: string, why: string][] = [
    ["/", "/", "root"],
    ["/a/b", "/a/b", "nothing to do"],
    ["/a/b/", "/a/b/", "trailing slash stays"],
    ["*", "*", "asterisk form"],
    ["", "", "empty"],
    ["/%61bc", "/abc", "unreserved is decoded"],
    ["/%7Euser/%7euser", "/~user/~user", "hex digits of both cases"],
    ["/a%20b%22", '/a b"', "neither reserved nor unreserved is decoded"],
    ["/a%2fb%3f%23%26", "/a%2Fb%3F%23%26", "reserved stays, in upper case"],
    ["/a%25b", "/a%25b", "an encoded percent stays"],
    ["/%2525", "/%2525", "nothing is decoded twice"],
    ["/caf%C3%A9", "/caf\xc3\xa9", "bytes, not characters"],
    ["/a/./b", "/a/b", "single dot"],
    ["/a/../b", "/b", "double dot"],
    ["/a/b/..", "/a/", "double dot at the end leaves the slash"],
    ["/a/b/.", "/a/b/", "single dot at the end leaves the slash"],
    ["/..", "/", "above the root"],
    ["/../../a", "/a", "far above the root"],
    ["/a/..", "/", "back to the root"],
    ["//a///b//", "/a/b/", "slashes are merged"],
    ["//", "/", "only slashes"],
    ["/a//../b", "/b", "an empty segment is nothing to climb out of"],
    ["/a/.//b", "/a/b", "dot between slashes"],
    ["/.well-known/x", "/.well-known/x", "a leading dot is no dot segment"],
    ["/...", "/...", "three dots are a name"],
    ["/a/..b/.c", "/a/..b/.c", "names that begin with dots"],
    ["./a", "/a", "relative"],
    ["..", "/", "relative, upwards"],
  ];
  for (const [raw, normal, why] of rows) {
    test(`${why}: ${raw}`, () => assert.equal(normalizePath(raw), normal));
  }

  test("normalising twice changes nothing more, escaped or not", () => {
    const piece = fc.constantFrom(
      "/",
      "//",
      ".",
      "..",
      "%",
      "%2e",
      "%2F",
      "%25",
      "%C3",
      "%00",
      "a",
      "2e",
      "~",
      ";",
      "?",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        const normal = normalizePath(`/${pieces.join("")}`);
        assert.equal(normalizePath(normal), normal);
        assert.equal(normalizePath(escapePath(normal)), normalizePath(normal.replaceAll("?", "%3F")));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a path that was made to deceive", () => {
  const rows: [raw: string, normal: string, upstream: string, why: string][] = [
    ["/..%2fetc", "/..%2Fetc", "/..%2Fetc", "an encoded slash separates nothing"],
    ["/%2e%2e/%2E./secret", "/secret", "/secret", "encoded dots climb nowhere"],
    ["/a/%2e%2e%2fb", "/a/..%2Fb", "/a/..%2Fb", "dots before an encoded slash are a name"],
    ["/a%00.png", "/a\x00.png", "/a%00.png", "NUL never goes upstream bare"],
    ["/a%0d%0aHost:%20evil", "/a\r\nHost: evil", "/a%0D%0AHost:%20evil", "nor does a line break"],
    ["//evil.example/x", "/evil.example/x", "/evil.example/x", "no authority in a path"],
    ["/%5c..%5c", "/\\..\\", "/%5C..%5C", "a backslash is no slash"],
    ["/%", "/%25", "/%25", "a bare percent is data"],
    ["/%zz%4", "/%25zz%254", "/%25zz%254", "so is half a triplet"],
    ["/%%32e%%32e/x", "/%252e%252e/x", "/%252e%252e/x", "a triplet cannot be assembled by decoding"],
    ["/%2%35", "/%25" + "25", "/%2525", "nor at the end"],
    ["/\xff%ff", "/\xff\xff", "/%FF%FF", "bytes that are no UTF-8"],
  ];
  for (const [raw, normal, upstream, why] of rows) {
    test(`${why}: ${raw}`, () => {
      assert.equal(normalizePath(raw), normal);
      assert.equal(escapePath(normal), upstream);
    });
  }

  test("an overlong path is normalised in one go", () => {
    assert.equal(normalizePath("/a/..".repeat(200_000)), "/");
    assert.equal(normalizePath("/".repeat(1_000_000)), "/");
    assert.equal(normalizePath(`/${"%2e".repeat(300_000)}`).length, 300_001);
    assert.equal(escapePath("/\x00".repeat(1_000)).length, 4_000);
  });

  test("nothing but visible ASCII goes upstream, whatever came in", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
        assert.match(escapePath(text), /^[!-~]*$/);
        assert.match(escapePath(normalizePath(`/${text}`)), /^\/[!-~]*$/);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a path is escaped for the upstream", () => {
  const rows: [path: string, escaped: string][] = [
    ["/a-b._~!$&'()*+,;=:@/[x]", "/a-b._~!$&'()*+,;=:@/[x]"],
    ["/a%2Fb", "/a%2Fb"],
    ['/a b"<>^`{|}', "/a%20b%22%3C%3E%5E%60%7B%7C%7D"],
    ["/caf\xc3\xa9", "/caf%C3%A9"],
    ["/a?b#c", "/a%3Fb%23c"],
    ["/\u010d\u010a\u{1f600}", "/%C4%8D%C4%8A%F0%9F%98%80"],
    ["/\ud800", "/%EF%BF%BD"],
  ];
  for (const [path, escaped] of rows) test(path, () => assert.equal(escapePath(path), escaped));
});

describe("the upstream's path is built from the service's and the request's", () => {
  const rows: [service: string | null, request: string, matched: string, strip: boolean, upstream: string][] =
    [
      // Base ends in a slash, stripped.
      [null, "/route", "/route", true, "/"],
      ["/", "/route/", "/route", true, "/"],
      ["/", "/route/", "/route/", true, "/"],
      ["/", "/route/a", "/route", true, "/a"],
      ["/", "/route/a", "/route/", true, "/a"],
      ["/", "/routea", "/route", true, "/a"],
      ["/base/", "/route", "/route", true, "/base"],
      ["/base/", "/route/", "/route/", true, "/base/"],
      ["/base/", "/route/", "/route", true, "/base/"],
      ["/base/", "/route/a/", "/route", true, "/base/a/"],
      ["/base/", "/routea", "/route", true, "/base/a"],
      ["/base/", "/", "/", true, "/base/"],
      // Base ends in a slash, not stripped.
      [null, "/", "/", false, "/"],
      [null, "/route/a", "/route", false, "/route/a"],
      ["/base/", "/", "/", false, "/base/"],
      ["/base/", "/route/", "/route", false, "/base/route/"],
      // Base does not end in a slash, stripped.
      ["/base", "/route", "/route", true, "/base"],
      ["/base", "/route/", "/route/", true, "/base/"],
      ["/base", "/route/", "/route", true, "/base/"],
      ["/base", "/", "/", true, "/base"],
      ["/base", "/route/a", "/route", true, "/base/a"],
      ["/base", "/route/a", "/route/", true, "/base/a"],
      ["/base", "/routea/", "/route", true, "/base/a/"],
      // Base does not end in a slash, not stripped.
      ["/base", "/", "/", false, "/base"],
      ["/base", "/route/", "/route", false, "/base/route/"],
      ["/base", "/routea", "/route", false, "/base/routea"],
      // A route without paths strips nothing.
      ["/base", "/a/b", "", true, "/base/a/b"],
      [null, "/a/b", "", true, "/a/b"],
      ["", "/a/b", "", true, "/a/b"],
      // What is left must not climb out of the service's path.
      ["/base", "/files../key", "/files", true, "/base/key"],
      ["/base/", "/files../key", "/files", true, "/base/key"],
      ["/base", "/files./key", "/files", true, "/base/key"],
      ["/base", "/files..", "/files", true, "/base"],
      ["/", "/files..", "/files", true, "/"],
      ["/base", "/files..key", "/files", true, "/base/..key"],
      ["/base", "/files.././../key", "/files", true, "/base/key"],
      ["/", "/files///evil", "/files", true, "/evil"],
      ["/", "/files/../x", "/files", true, "/x"],
    ];
  for (const [service, request, matched, strip, upstream] of rows) {
    test(`${service} + ${request}, ${matched} ${strip ? "stripped" : "kept"}`, () => {
      assert.equal(upstreamPath(service, request, matched, strip), upstream);
    });
  }
});

test("text becomes bytes", () => {
  assert.equal(byteString("/plain"), "/plain");
  assert.equal(byteString("/é"), "/\xc3\xa9");
});
