/** What expressions say of a request, and which of several wins. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { byteString } from "../../../src/router/path.ts";
import { type RequestRow, request } from "../fixtures.ts";
import { type ExpressionRow, holds, tableOf } from "./requests.ts";

const headers = (...values: string[]): RequestRow => ({ headers: { "x-a": values } });

for (const [expression, row, expected] of [
  ['http.method == "GET"', { method: "GET" }, true],
  ['http.method != "GET"', { method: "GET" }, false],
  ['net.protocol == "https"', { scheme: "https" }, true],
  ['http.host == "a.com"', { host: "a.com" }, true],
  ['http.host =^ ".a.com"', { host: "x.a.com" }, true],
  ['http.host ^= "a."', { host: "a.com" }, true],
  ['http.host != "a.com"', { host: "" }, false],
  ['!(http.host == "a.com")', { host: "" }, true],
  ['http.path ^= "/é"', { path: byteString("/ècole") }, false],
  ['http.path ^= "/é"', { path: byteString("/étude") }, true],
  ['lower(http.path) == "/é"', { path: byteString("/É") }, true],
  ['http.path contains "/b/"', { path: "/a/b/c" }, true],
  ['http.path ~ "b/c$"', { path: "/a/b/c" }, true],
  ['http.path ~ "^b"', { path: "/a/b/c" }, false],
  ['http.path ~ "(?i)^/A"', { path: "/a/b" }, true],
  ['http.path ~ "."', { path: "/\xff" }, false],
  ['http.path.segments.0 == "a"', { path: "/a/b/c" }, true],
  ['http.path.segments.1_2 == "b/c"', { path: "/a/b/c/" }, true],
  ['http.path.segments.1_3 ^= "b"', { path: "/a/b/c" }, false],
  ['http.path.segments.3 != "x"', { path: "/a/b/c" }, false],
  ["http.path.segments.len == 3", { path: "/a/b/c/" }, true],
  ["http.path.segments.len == 0", { path: "/" }, true],
  ["net.dst.port == 8000", {}, true],
  ["net.port > 7999 && net.port < 0x1f41", {}, true],
  ["net.src.port >= 40000 && net.src.port <= 40000", {}, true],
  ["net.src.ip == 10.1.2.3", { clientIp: "10.1.2.3" }, true],
  ["net.src.ip == 10.1.2.3", { clientIp: "::ffff:10.1.2.3" }, true],
  ["net.src.ip in 10.0.0.0/8", { clientIp: "10.1.2.3" }, true],
  ["net.src.ip in 10.1.2.0/23", { clientIp: "10.1.4.3" }, false],
  ["net.src.ip in 0.0.0.0/0", { clientIp: "fd00::1" }, false],
  ["net.src.ip not in 10.0.0.0/8", { clientIp: "11.1.2.3" }, true],
  ["net.src.ip not in 10.0.0.0/8", { clientIp: "" }, false],
  ["net.src.ip in fd00::/9", { clientIp: "fd7f::1" }, true],
  ["net.src.ip != ::1", { clientIp: "fd00::1" }, true],
  ["net.dst.ip == 127.0.0.1", {}, true],
  ['tls.sni == "a.com"', { scheme: "https", sni: "A.com." }, true],
  ['tls.sni != "a.com"', { sni: null }, false],
  ['http.headers.x_a == "1"', headers("1"), true],
  ['http.headers.X_A == "1"', headers("1"), true],
  ['http.headers.x_a == "1"', { headers: { x_a: ["1"] } }, true],
  ['http.headers.x_a == "1"', headers("1", "2"), false],
  ['any(http.headers.x_a) == "2"', headers("1", "2"), true],
  ['http.headers.x_a != "3"', headers("1", "2"), true],
  ['any(http.headers.x_a) != "1"', headers("1"), false],
  ['any(http.headers.x_a) != "1"', headers("1", "2"), true],
  ['http.headers.x_a != "1"', {}, false],
  ['any(http.headers.x_a) != "1"', {}, false],
  ['!(any(http.headers.x_a) == "1")', {}, true],
  ['http.headers.x_a == "a"', headers("A"), false],
  ['any(lower(http.headers.x_a)) == "a"', headers("b", "A"), true],
  ['lower(any(http.headers.x_a)) contains "bc"', headers("ABCD"), true],
  ['http.headers.x_a ~ r#"^\\d+$"#', headers("12", "3"), true],
  ['http.queries.q == "1"', { query: "q=1" }, true],
  ['http.queries.q == "1"', { query: "p=1&q=%31" }, true],
  ['http.queries.q == "a b"', { query: "q=a+b" }, true],
  ['http.queries.q == ""', { query: "q" }, true],
  ['http.queries.q == ""', { query: "q=" }, true],
  ['http.queries.q == "1"', { query: "q=1&q=2" }, false],
  ['any(http.queries.q) == "2"', { query: "q=1&q=2" }, true],
  ['http.queries.q != "1"', { query: "" }, false],
  ['http.queries.Q == "1"', { query: "q=1" }, false],
  ['http.queries.q == "50%"', { query: "q=50%" }, true],
  ['http.queries.q == "é"', { query: "q=%C3%A9" }, true],
] as [string, RequestRow, boolean][]) {
  test(`${expression} is ${expected} for ${JSON.stringify(row)}`, () => {
    assert.equal(holds(expression, row), expected);
  });
}

test("every query argument is looked at, however many come before it", () => {
  const query = `${Array.from({ length: 5_000 }, (_, i) => `a${i}=1`).join("&")}&q=1`;
  assert.equal(holds('http.queries.q == "1"', { query }), true);
});

test("fields of a request are not kept for the next one", () => {
  const table = tableOf({ id: "it", expression: 'http.queries.q == "1" && net.src.ip == 10.0.0.1' });
  assert.ok(table.match(request({ query: "q=1", clientIp: "10.0.0.1" })));
  assert.equal(table.match(request({ query: "q=2", clientIp: "10.0.0.1" })), null);
  assert.equal(table.match(request({ query: "q=1", clientIp: "10.0.0.2" })), null);
});

const winner = (rows: ExpressionRow[], row: RequestRow) => tableOf(...rows).match(request(row))?.data ?? null;
const any = 'http.path ^= "/"';

test("the expression with the highest priority wins, and among equals the largest route id", () => {
  const rows = [
    { id: "b", expression: any, priority: 1 },
    { id: "c", expression: 'http.host == "a.com"', priority: 1 },
    { id: "a", expression: 'http.method == "GET"', priority: 2 ** 46 - 1 },
  ];
  assert.equal(winner(rows, { host: "a.com" }), "a");
  assert.equal(winner(rows, { host: "a.com", method: "PUT" }), "c");
  assert.equal(winner(rows, { method: "PUT" }), "b");
});

test("every expression comes before every classic route", () => {
  const classic = { id: "z", hosts: ["a.com"], paths: ["/long/path"], methods: ["GET"] };
  const rows = [classic, { id: "a", expression: any, priority: 0 }];
  assert.equal(winner(rows, { host: "a.com", path: "/long/path" }), "a");
  assert.equal(winner([classic], { host: "a.com", path: "/long/path" }), "z");
});

for (const [protocols, scheme, expected] of [
  [["http"], "http", "it"],
  [["http"], "https", null],
  [["http", "https"], "https", "it"],
  [["https"], "http", "it"],
  [["https"], "https", "it"],
] as const) {
  test(`with protocols ${protocols.join()} a request by ${scheme} finds ${expected}`, () => {
    assert.equal(winner([{ id: "it", expression: any, protocols }], { scheme }), expected);
    assert.equal(winner([{ id: "it", paths: ["/"], protocols }], { scheme }), expected);
  });
}

for (const [expression, path, matched] of [
  ['http.path ^= "/a/b"', "/a/b/c", "/a/b"],
  ['http.path == "/a"', "/a", "/a"],
  ['http.path ^= "/é"', byteString("/é/b"), byteString("/é")],
  ['lower(http.path) ^= "/a"', "/A/b", "/A"],
  ['http.path ~ r#"^/v\\d+"#', "/v12/x", "/v12"],
  ['http.path ~ "b/"', "/a/b/c", ""],
  ['http.path =^ "c"', "/a/b/c", ""],
  ['http.path contains "b"', "/a/b/c", ""],
  ['http.path ^= "/" && http.path ^= "/a"', "/a/b", "/a"],
  ['http.path ^= "/x" || http.path ^= "/a"', "/a/b", "/a"],
  ['!(http.path ^= "/b") && http.method == "GET"', "/a/b", ""],
  ['http.method == "GET"', "/a/b", ""],
] as const) {
  test(`${expression} takes '${matched}' of ${path}, which strip_path strips`, () => {
    assert.equal(tableOf({ id: "it", expression }).match(request({ path }))?.matchedPath, matched);
  });
}

test("groups of the pattern that matched the path are captures", () => {
  const table = tableOf({ id: "it", expression: 'http.path ~ r#"^/(?<kind>\\w+)/(\\d+)"#' });
  const captures = table.match(request({ path: "/users/12/x" }))?.captures;
  assert.deepEqual({ ...captures }, { 0: "/users/12", 1: "users", 2: "12", kind: "users" });
});

test("a table with an expression that cannot be names the route, and the old one goes on", () => {
  const before = tableOf({ id: "a", expression: any });
  const edit = before.edit();
  edit.add({ ...routeLike("b"), expression: "nothing" }, "b");
  assert.throws(() => edit.done(), {
    name: "RouterError",
    problems: [
      {
        routeId: "b",
        field: "expression",
        message:
          "Router Expression failed validation: column 8: expected an operator: == != ^= =^ >= <= > < ~ in not in contains",
      },
    ],
  });
  assert.equal(before.match(request({}))?.data, "a");
});

test("a route turns from classic to expression and back", () => {
  let table = tableOf({ id: "a", paths: ["/a"] });
  for (const fields of [{ expression: 'http.host == "x"' }, { paths: ["/b"], expression: null }]) {
    const edit = table.edit();
    edit.add({ ...routeLike("a"), ...fields }, "a");
    table = edit.done() as typeof table;
    const isExpression = fields.expression !== null;
    assert.equal(table.match(request({ host: "x", path: "/c" })) !== null, isExpression);
    assert.equal(table.match(request({ host: "y", path: "/b" })) !== null, !isExpression);
    assert.equal(table.match(request({ path: "/a" })), null);
  }
});

function routeLike(id: string) {
  const none = { methods: null, hosts: null, paths: null, headers: null, snis: null };
  return { id, ...none, protocols: ["http", "https"], regex_priority: 0, strip_path: true };
}
