/** Which route wins: Kong's traditional_compatible rules, one table for each kind of condition. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Router, RouterError } from "../../src/router/router.ts";
import { type RequestRow, type RouteRow, request, route, routerOf, winner } from "./fixtures.ts";

/** Routes, and requests with the route each must reach. Routes are given in both orders: it must not matter. */
function cases(
  title: string,
  routes: RouteRow[],
  rows: [request: RequestRow, expected: string | null][],
): void {
  describe(title, () => {
    for (const [row, expected] of rows) {
      test(`${JSON.stringify(row)} reaches ${expected}`, () => {
        assert.equal(winner(routerOf(...routes), row), expected);
        assert.equal(winner(routerOf(...routes.toReversed()), row), expected);
      });
    }
  });
}

cases(
  "hosts: exact before wildcard",
  [
    { id: "exact", hosts: ["api.a.com"] },
    { id: "left", hosts: ["*.a.com"] },
    { id: "right", hosts: ["www.*"] },
    { id: "several", hosts: ["one.org", "two.org", "*.three.org"] },
  ],
  [
    [{ host: "api.a.com" }, "exact"],
    [{ host: "web.a.com" }, "left"],
    [{ host: "x.y.a.com" }, "left"],
    [{ host: "a.com" }, null],
    [{ host: "xa.com" }, null],
    [{ host: "www.b.net" }, "right"],
    [{ host: "www.b.co.uk" }, "right"],
    [{ host: "www" }, null],
    [{ host: "xwww.b" }, null],
    [{ host: "two.org" }, "several"],
    [{ host: "x.three.org" }, "several"],
    [{ host: "three.org" }, null],
    [{ host: "" }, null],
  ],
);

cases(
  "hosts: a port in the route is compared, one in none is not",
  [
    { id: "port", hosts: ["a.com:8443"], methods: ["GET"] },
    { id: "any", hosts: ["a.com"] },
    { id: "left", hosts: ["*.b.com:8443"] },
    { id: "right", hosts: ["b.*:8443"] },
    { id: "ipv6", hosts: ["[::1]:8443"] },
    { id: "bare", hosts: ["fe80::1"] },
  ],
  [
    [{ host: "a.com", port: 8443 }, "port"],
    [{ host: "a.com", port: 8000 }, "any"],
    [{ host: "x.b.com", port: 8443 }, "left"],
    [{ host: "x.b.com", port: 8000 }, null],
    [{ host: "b.net", port: 8443 }, "right"],
    [{ host: "b.net", port: 8000 }, null],
    [{ host: "[::1]", port: 8443 }, "ipv6"],
    [{ host: "[::1]", port: 1 }, null],
    [{ host: "[fe80::1]", port: 1 }, "bare"],
  ],
);

cases(
  "hosts: written in any case",
  [{ id: "r", hosts: ["API.Example.COM", "*.Example.NET"] }],
  [
    [{ host: "api.example.com" }, "r"],
    [{ host: "x.example.net" }, "r"],
  ],
);

cases(
  "hosts: the longer wildcard is not preferred, the larger id is",
  [
    { id: "1", hosts: ["*.a.b.com"] },
    { id: "2", hosts: ["*.b.com"] },
  ],
  [[{ host: "x.a.b.com" }, "2"]],
);

cases(
  "paths: the longest prefix, by characters and not by segments",
  [
    { id: "root", paths: ["/"] },
    { id: "foo", paths: ["/foo"] },
    { id: "foobar", paths: ["/foobar"] },
    { id: "slash", paths: ["/foo/"] },
    { id: "encoded", paths: ["/a%2Fb"] },
    { id: "utf8", paths: ["/é"] },
  ],
  [
    [{ path: "/" }, "root"],
    [{ path: "/f" }, "root"],
    [{ path: "/foo" }, "foo"],
    [{ path: "/foob" }, "foo"],
    [{ path: "/foobar/x" }, "foobar"],
    [{ path: "/foo/" }, "slash"],
    [{ path: "/foo/bar" }, "slash"],
    [{ path: "/FOO" }, "root"],
    [{ path: "/a%2Fb/c" }, "encoded"],
    [{ path: "/a/b" }, "root"],
    [{ path: "/\xc3\xa9t\xc3\xa9" }, "utf8"],
    [{ path: "*" }, null],
  ],
);

cases(
  "paths: any regex before any prefix, then regex_priority, then the larger id",
  [
    { id: "prefix", paths: ["/items/42/very/long/prefix"] },
    { id: "regex", paths: ["~/items/\\d+"] },
    { id: "urgent", paths: ["~/items/4"], regex_priority: 1 },
    { id: "regey", paths: ["~/items/[0-9]+/z"] },
    { id: "end", paths: ["~/end$"] },
    { id: "choice", paths: ["~/one|/two"] },
    { id: "flag", paths: ["~/(?i)upper"] },
    { id: "utf8", paths: ["~/caf.$"] },
  ],
  [
    [{ path: "/items/42/very/long/prefix" }, "urgent"],
    [{ path: "/items/52/very" }, "regex"],
    [{ path: "/items/52/z" }, "regey"],
    [{ path: "/items/x" }, null],
    [{ path: "/x/items/5" }, null],
    [{ path: "/end" }, "end"],
    [{ path: "/end/" }, null],
    [{ path: "/one" }, "choice"],
    [{ path: "/two" }, "choice"],
    [{ path: "/x/two" }, null],
    [{ path: "/UPPER" }, "flag"],
    [{ path: "/caf\xc3\xa9" }, "utf8"],
    [{ path: "/caf\xff" }, null],
  ],
);

cases(
  "paths: each group of a route with several has its own priority",
  [
    { id: "mixed", paths: ["/a", "/a/long/prefix", "~/a/r[0-9]"] },
    { id: "middle", paths: ["/a/long"] },
    { id: "other", paths: ["/a/r"] },
  ],
  [
    [{ path: "/a/x" }, "mixed"],
    [{ path: "/a/long/x" }, "middle"],
    [{ path: "/a/long/prefix" }, "mixed"],
    [{ path: "/a/r" }, "other"],
    [{ path: "/a/r1" }, "mixed"],
  ],
);

cases(
  "methods are compared as they are",
  [
    { id: "get", methods: ["GET", "HEAD"], paths: ["/a"] },
    { id: "post", methods: ["POST"], paths: ["/a"] },
    { id: "custom", methods: ["PURGE"] },
  ],
  [
    [{ method: "GET", path: "/a" }, "get"],
    [{ method: "HEAD", path: "/a" }, "get"],
    [{ method: "POST", path: "/a" }, "post"],
    [{ method: "PUT", path: "/a" }, null],
    [{ method: "get", path: "/a" }, null],
    [{ method: "PURGE", path: "/z" }, "custom"],
  ],
);

cases(
  "headers: all names, any value, in any case; more names first",
  [
    { id: "one", headers: { "X-Version": ["1", "2"] } },
    { id: "two", headers: { "X-Version": ["1"], "X-Tenant": ["Acme"] } },
    { id: "regex", headers: { "X-Agent": ["~*^bot/\\d+\\D$", "human"] } },
    { id: "underscore", headers: { x_flag: ["on"] } },
  ],
  [
    [{ headers: { "x-version": ["2"] } }, "one"],
    [{ headers: { "x-version": ["3"] } }, null],
    [{ headers: { "x-version": ["3", "1"] } }, "one"],
    [{ headers: { "x-version": ["1"], "x-tenant": ["ACME"] } }, "two"],
    [{ headers: { "x-tenant": ["acme"] } }, null],
    [{ headers: { "x-agent": ["BOT/12!"] } }, "regex"],
    [{ headers: { "x-agent": ["bot/123"] } }, null],
    [{ headers: { "x-agent": ["Human"] } }, "regex"],
    [{ headers: { "x-flag": ["on"] } }, "underscore"],
    [{ headers: { x_flag: ["on"] } }, "underscore"],
    [{}, null],
  ],
);

cases(
  "snis are asked of TLS requests only",
  [
    { id: "sni", snis: ["a.com", "*.b.com", "c.*", "dotted.com."], paths: ["/"] },
    { id: "plain", paths: ["/"] },
  ],
  [
    [{ scheme: "https", sni: "a.com" }, "sni"],
    [{ scheme: "https", sni: "A.com." }, "sni"],
    [{ scheme: "https", sni: "x.b.com" }, "sni"],
    [{ scheme: "https", sni: "b.com" }, "plain"],
    [{ scheme: "https", sni: "c.org" }, "sni"],
    [{ scheme: "https", sni: "dotted.com" }, "sni"],
    [{ scheme: "https", sni: "other.com" }, "plain"],
    [{ scheme: "https", sni: null }, "plain"],
    [{ scheme: "http" }, "sni"],
  ],
);

const everything = { host: "h.com", path: "/items/1", headers: { "x-a": ["1"], "x-b": ["1"] } };
describe("priority: of two routes that match, the first of the pair wins", () => {
  const pairs: [higher: RouteRow, lower: RouteRow, why: string][] = [
    [
      { id: "1", methods: ["GET"], paths: ["/"] },
      { id: "2", hosts: ["h.com"] },
      "two kinds before one, whichever",
    ],
    [
      { id: "1", hosts: ["*.com"], paths: ["/"], methods: ["GET"] },
      { id: "2", hosts: ["h.com"], paths: ["~/items/\\d"], regex_priority: 9 },
      "more kinds before plain hosts and regexes",
    ],
    [{ id: "1", hosts: ["h.com"] }, { id: "2", paths: ["~/items"] }, "plain hosts before a regex"],
    [
      { id: "1", hosts: ["h.com"] },
      { id: "2", hosts: ["h.com", "*.org"] },
      "one wildcard spoils plain hosts",
    ],
    [
      { id: "1", hosts: ["h.com"] },
      { id: "2", headers: { "x-a": ["1"], "x-b": ["1"] } },
      "plain hosts before header names",
    ],
    [
      { id: "1", headers: { "x-a": ["1"], "x-b": ["1"] } },
      { id: "2", headers: { "x-a": ["1"] } },
      "more header names before fewer",
    ],
    [{ id: "1", headers: { "x-a": ["1"] } }, { id: "2", paths: ["~/items"] }, "a header name before a regex"],
    [{ id: "1", paths: ["~/"] }, { id: "2", paths: ["/items/1"] }, "a regex before a prefix"],
    [
      { id: "1", paths: ["~/"], regex_priority: 4_294_967_295 },
      { id: "2", paths: ["~/items"], regex_priority: 4_294_967_294 },
      "regex_priority uses all its bits",
    ],
    [
      { id: "2", paths: ["~/"], regex_priority: 0 },
      { id: "1", paths: ["~/items"], regex_priority: -5 },
      "a negative regex_priority counts as zero",
    ],
    [
      { id: "1", hosts: [], methods: [], headers: {}, paths: ["~/items"] },
      { id: "2", methods: ["GET"] },
      "an empty list is no condition, but empty hosts count as plain",
    ],
    [
      { id: "1", paths: ["/items"], regex_priority: 0 },
      { id: "2", paths: ["/"], regex_priority: 99 },
      "regex_priority is nothing to a prefix",
    ],
    [{ id: "b", paths: ["/items"] }, { id: "a", paths: ["/items"] }, "the larger id"],
  ];
  for (const [higher, lower, why] of pairs) {
    test(why, () => {
      assert.equal(winner(routerOf(lower), everything), lower.id);
      assert.equal(winner(routerOf(higher, lower), everything), higher.id);
      assert.equal(winner(routerOf(lower, higher), everything), higher.id);
    });
  }
});

describe("the match says what matched", () => {
  const router = routerOf(
    { id: "prefix", paths: ["/a", "/b/"] },
    { id: "regex", paths: ["~/u/(?<id>\\d+)(?:/(?P<tail>[^/]+))?", "~/n/\\w+"] },
    { id: "both", paths: ["~/u/7/(x)", "~/u/7"], regex_priority: 1 },
    { id: "pathless", methods: ["PURGE"] },
  );
  const rows: [RequestRow, string, Record<string, string> | null][] = [
    [{ path: "/abc" }, "/a", null],
    [{ path: "/b/c" }, "/b/", null],
    [{ path: "/u/12/xy/z" }, "/u/12/xy", { 0: "/u/12/xy", 1: "12", 2: "xy", id: "12", tail: "xy" }],
    [{ path: "/u/12/" }, "/u/12", { 0: "/u/12", 1: "12", id: "12" }],
    [
      { path: "/u/1/\xc3\xa9" },
      "/u/1/\xc3\xa9",
      { 0: "/u/1/\xc3\xa9", 1: "1", 2: "\xc3\xa9", id: "1", tail: "\xc3\xa9" },
    ],
    [{ path: "/n/abc/d" }, "/n/abc", null],
    [{ path: "/u/7/x" }, "/u/7/x", { 0: "/u/7/x", 1: "x" }],
    [{ path: "/u/7" }, "/u/7", null],
    [{ path: "/z", method: "PURGE" }, "", null],
  ];
  for (const [row, matchedPath, captures] of rows) {
    test(JSON.stringify(row), () => {
      const match = router.match(request(row));
      assert.equal(match?.matchedPath, matchedPath);
      assert.deepEqual(match.captures && { ...match.captures }, captures);
    });
  }

  test("groups cannot reach a prototype", () => {
    const match = routerOf({ id: "r", paths: ["~/(?<__proto__>x)"] }).match(request({ path: "/x" }));
    assert.equal(Object.getPrototypeOf(match?.captures), null);
    assert.equal(({} as Record<string, unknown>).x, undefined);
  });

  test("headers are not looked at when no route asks for them", () => {
    const input = { ...request({ path: "/a" }), headerValues: () => assert.fail("headers were read") };
    assert.equal(router.match(input)?.data, "prefix");
  });
});

describe("building", () => {
  test("no routes match nothing", () => assert.equal(winner(routerOf(), {}), null));

  test("stream routes never match a request", () => {
    const router = routerOf(
      { id: "tls", protocols: ["tls"], snis: ["a.com"] },
      { id: "grpc", protocols: ["grpc"], paths: ["/p"] },
    );
    assert.equal(winner(router, { path: "/" }), null);
    assert.equal(winner(router, { path: "/p" }), "grpc");
  });

  test("every problem of every route is named at once", () => {
    const build = () =>
      routerOf(
        { id: "r1", paths: ["/ok", "~/a(?=b)", "~/(a)\\1"] },
        { id: "r2", headers: { "X-A": ["~*("] } },
        { id: "r3" },
        { id: "r4", paths: ["/fine"] },
      );
    assert.throws(build, (error: RouterError) => {
      assert.ok(error instanceof RouterError);
      assert.deepEqual(
        error.problems.map((it) => `${it.routeId} ${it.field}`),
        ["r1 paths[1]", "r1 paths[2]", "r2 headers.X-A", "r3 paths"],
      );
      assert.match(error.message, /look-ahead "\(\?=".*linear time/);
      assert.match(error.message, /back-reference "\\1"/);
      return true;
    });
  });

  test("a route put in again answers as before", () => {
    const again = route({ id: "r", paths: ["~/a(\\d)"], headers: { "x-a": ["~*b"] } });
    const edit = Router.build([{ route: again, data: "r" }]).edit();
    edit.add(again, "r");
    const next = edit.done();
    assert.equal(winner(next, { path: "/a1", headers: { "x-a": ["abc"] } }), "r");
    assert.equal(winner(next, { path: "/a1", headers: { "x-a": ["xyz"] } }), null);
  });
});
