/** Why a request goes where it goes, for a person to read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ExplainedRoute, priorityParts } from "../../src/router/explain.ts";
import { tableOf } from "./expressions/requests.ts";
import { request, routerOf } from "./fixtures.ts";

/** `✓ host b.com` for what holds, `✗ …` for what does not. */
const shown = ({ routeId, conditions }: ExplainedRoute): string[] => [
  routeId,
  ...conditions.map(({ kind, asks, holds, by }) => `${holds ? "✓" : "✗"} ${kind} ${by ?? asks.join(" | ")}`),
];

const RULES = [
  {
    id: "w",
    hosts: ["*.a.com", "b.com:8000"],
    methods: ["GET"],
    paths: ["/a", "~/a/(\\d+)"],
    headers: { "X-A": ["1", "~*^2"] },
  },
  { id: "o", paths: ["/a"] },
  { id: "no", paths: ["/b"] },
];

test("an explanation names the winner, the others, and what each matched by", () => {
  const input = request({ host: "b.com", path: "/a/1", headers: { "x-a": ["1"] } });
  const { winner, others, misses } = routerOf(...RULES).explain(input);
  const by = ["✓ host b.com:8000", "✓ method GET", "✓ header X-A: 1 | X-A: ~*^2"];
  assert.deepEqual(winner && shown(winner), ["w", by[0], "✓ path ~/a/(\\d+)", by[1], by[2]]);
  assert.equal(winner?.priority, "8018000000000000");
  assert.deepEqual(others.map(shown), [
    ["w", by[0], "✓ path /a", by[1], by[2]],
    ["o", "✓ path /a"],
  ]);
  assert.deepEqual(misses, []);
});

test("without a match it names the routes that missed by least, and by what", () => {
  const input = request({ host: "x.a.com", path: "/bb", method: "PUT" });
  const router = routerOf({ id: "put", paths: ["/bb"], methods: ["POST"] }, RULES[0]!, {
    id: "far",
    paths: ["/zzz"],
  });
  const { winner, misses } = router.explain(input);
  assert.equal(winner, null);
  assert.deepEqual(misses.map(shown), [
    ["put", "✓ path /bb", "✗ method POST"],
    ["w", "✓ host *.a.com", "✗ path ~/a/(\\d+)", "✗ method GET", "✗ header X-A: 1 | X-A: ~*^2"],
  ]);
  assert.deepEqual(router.explain(request({ path: "/y" })), { winner: null, others: [], misses: [] });
});

test("expressions are explained part by part, with the protocol that the route asks for", () => {
  const table = tableOf(
    {
      id: "e",
      expression: 'http.path ^= "/a" && (http.method == "GET" || http.method == "PUT")',
      priority: 7,
      protocols: ["http"],
    },
    { id: "c", paths: ["/a"] },
  );
  const { winner, others } = table.explain(request({ path: "/a/b" }));
  assert.deepEqual(winner && shown(winner), [
    "e",
    '✓ expression net.protocol == "http"',
    '✓ expression http.path ^= "/a"',
    '✓ expression http.method == "GET" || http.method == "PUT"',
  ]);
  assert.equal(winner?.priority, "ff00000000000007");
  assert.deepEqual(others.map(shown), [["c", "✓ path /a"]]);
  const missed = table.explain(request({ path: "/a", method: "POST", scheme: "https" }));
  assert.equal(missed.winner?.routeId, "c");
});

test("a priority is told in words", () => {
  const { winner, others } = routerOf(...RULES).explain(
    request({ host: "b.com", path: "/a/1", headers: { "x-a": ["1"] } }),
  );
  const parts = (it: ExplainedRoute | undefined | null) =>
    it && priorityParts(it).flatMap(({ name, value }) => (value > 0 ? [`${name} ${value}`] : []));
  assert.deepEqual(parts(winner), ["kinds of condition 4", "header names 1", "regex path 1"]);
  assert.deepEqual(parts(others[1]), ["kinds of condition 1", "bytes of path 2"]);
});
