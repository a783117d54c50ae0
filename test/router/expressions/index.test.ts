/**
 * The index against trying every expression in order. Random expressions and requests over small alphabets, so
 * that most requests match several; random changes, so that what was hung is taken out again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compile } from "../../../src/router/expressions/compile.ts";
import { isTriedBefore } from "../../../src/router/expressions/expression-index.ts";
import { necessary } from "../../../src/router/expressions/necessary.ts";
import { RequestFields } from "../../../src/router/expressions/request-fields.ts";
import { parseExpression } from "../../../src/router/expressions/syntax.ts";
import type { RouteTable } from "../../../src/router/route-table.ts";
import { type RequestRow, request, route } from "../fixtures.ts";
import { tableOf } from "./requests.ts";

const predicate = fc.oneof(
  fc.tuple(
    fc.constantFrom("http.host", "lower(http.host)", "any(http.host)"),
    fc.constantFrom("==", "==", "==", "!=", "^=", "=^", "~", "contains"),
    fc.constantFrom("a.x", "b.x", "a.y", "a.", ".x", "x"),
  ),
  fc.tuple(
    fc.constantFrom("http.path", "http.path", "lower(http.path)", "http.path.segments.0"),
    fc.constantFrom("==", "^=", "^=", "!=", "=^", "~", "contains"),
    fc.constantFrom("/", "/a", "/a/b", "a", "b", "/A", "^/a", "^/b|/a", "^/a/?b", "^/+b", "b$"),
  ),
  fc.tuple(
    fc.constant("http.path.segments.0_1"),
    fc.constantFrom("==", "^="),
    fc.constantFrom("a/b", "b/a", "a"),
  ),
  fc.tuple(fc.constant("http.method"), fc.constantFrom("==", "!="), fc.constantFrom("GET", "PUT")),
  fc.tuple(
    fc.constantFrom("any(http.headers.h)", "http.headers.h"),
    fc.constantFrom("==", "!="),
    fc.constantFrom("1", "2"),
  ),
);

const expression = fc.letrec<{ node: string; leaf: string }>((tie) => ({
  leaf: predicate.map(([field, operator, value]) => `${field} ${operator} ${JSON.stringify(value)}`),
  node: fc.oneof(
    { depthSize: "small" },
    tie("leaf"),
    fc.array(tie("node"), { minLength: 2, maxLength: 4 }).map((parts) => parts.join(" && ")),
    fc.array(tie("node"), { minLength: 2, maxLength: 4 }).map((parts) => `(${parts.join(" || ")})`),
    tie("node").map((inner) => `!(${inner})`),
  ),
})).node;

const someRoute = fc.record({
  id: fc.constantFrom(..."abcdefgh"),
  expression,
  priority: fc.nat(2),
  protocols: fc.constantFrom(["http"], ["https"], ["http", "https"]),
});

const someRequest = fc
  .record({
    host: fc.constantFrom("a.x", "b.x", "a.y", "c.x", ""),
    path: fc.constantFrom("/", "/a", "/a/", "/a/b", "/b/a", "/ab", "/A", "/A/b", "//b"),
    method: fc.constantFrom("GET", "PUT"),
    scheme: fc.constantFrom("http" as const, "https" as const),
    headers: fc.constantFrom({}, { h: ["1"] }, { h: ["1", "2"] }),
  })
  .map((row) => request(row as RequestRow));

test("the index finds what trying every expression in order finds, also after changes", () => {
  const runs = { numRuns: 1_000 };
  const changes = fc.array(fc.array(someRoute, { maxLength: 6 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(changes, fc.array(someRequest, { minLength: 1, maxLength: 8 }), (batches, requests) => {
      let table: RouteTable<string> = tableOf();
      const inForce = new Map<string, (typeof batches)[number][number]>();
      for (const batch of batches) {
        const edit = table.edit();
        for (const [i, it] of batch.entries()) {
          if (i % 3 === 2) {
            edit.remove(it.id);
            inForce.delete(it.id);
          } else {
            edit.add(route(it), it.id);
            inForce.set(it.id, it);
          }
        }
        table = edit.done() as RouteTable<string>;
        const inOrder = [...inForce.values()].sort((a, b) => (isTriedBefore(a, b) ? -1 : 1));
        for (const input of requests) {
          const fields = new RequestFields();
          const wins = inOrder.find(({ expression: text, protocols }) => {
            fields.begin(input);
            const isServed =
              protocols[0] === "https" || (protocols as readonly string[]).includes(input.scheme);
            return isServed && compile(parseExpression(text), text)(fields);
          });
          assert.equal(table.match(input)?.data ?? null, wins?.id ?? null);
        }
      }
    }),
    runs,
  );
});

test("whatever an expression is true for has the host and the beginning of the path that it is said to need", () => {
  fc.assert(
    fc.property(expression, fc.array(someRequest, { minLength: 4, maxLength: 8 }), (text, requests) => {
      const tree = parseExpression(text);
      const { hosts, paths } = necessary(tree);
      const isTrue = compile(tree, text);
      for (const input of requests) {
        const fields = new RequestFields();
        fields.begin(input);
        if (!isTrue(fields)) continue;
        if (paths !== null) assert.ok(paths.some((path) => input.path.startsWith(path)));
        if (hosts === null) continue;
        const { host } = input;
        assert.notEqual(host, "");
        assert.ok(
          hosts.some(({ kind, text: name }) =>
            kind === "exact"
              ? host === name
              : kind === "prefix"
                ? host.startsWith(name)
                : host.endsWith(name),
          ),
        );
      }
    }),
    { numRuns: 3_000 },
  );
});

for (const [text, hosts, paths] of [
  ['http.host == "a" && http.path ^= "/x"', ["exact a"], ["/x"]],
  ['(http.host == "a" || http.host == "b") && http.path == "/x"', ["exact a", "exact b"], ["/x"]],
  ['http.host =^ ".a"', ["suffix .a"], null],
  ['http.host == "a" || http.path == "/x"', null, null],
  ['!(http.host == "a")', null, null],
  ['http.path ^= "/" && http.path ^= "/abc"', null, ["/abc"]],
  ['http.path ~ "^/users/[0-9]+"', null, ["/users/"]],
  ['http.path ~ "/users"', null, null],
  ['http.path.segments.0_1 == "a/b"', null, ["/a/b"]],
  ['lower(http.path) == "/a"', null, null],
] as const) {
  test(`${text} needs ${hosts} and ${paths}`, () => {
    const found = necessary(parseExpression(text));
    assert.deepEqual(found.hosts?.map(({ kind, text: name }) => `${kind} ${name}`) ?? null, hosts);
    assert.deepEqual(found.paths, paths);
  });
}
