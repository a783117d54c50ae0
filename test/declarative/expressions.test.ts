/** Routes with expressions in a configuration: under which flavour, beside what, and for whose hosts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { stringify } from "yaml";
import { formatConfigErrors, loadDeclarative } from "../../src/declarative/declarative.ts";
import type { RouterFlavor } from "../../src/entities/entities.ts";

function load(document: object, routerFlavor: RouterFlavor = "expressions") {
  const text = stringify({ _format_version: "3.0", ...document });
  return loadDeclarative(text, {
    file: "kong.yml",
    plugins: { find: () => ({ missing: "" }) },
    routerFlavor,
  });
}

function refusals(document: object, flavor?: RouterFlavor): string[] {
  const loaded = load(document, flavor);
  assert.equal(loaded.ok, false, "the configuration was loaded");
  return loaded.ok ? [] : formatConfigErrors(loaded.errors).split("\n");
}

const PREFIX = "Router Expression failed validation: ";
const CLASSIC = "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";

test("a route may have an expression and a priority, or classic conditions", () => {
  const loaded = load({
    routes: [
      { name: "a", expression: 'http.path ^= "/a"', priority: 2 ** 46 - 1 },
      { name: "b", paths: ["/b"] },
    ],
  });
  assert.ok(loaded.ok);
  assert.deepEqual(
    loaded.config.routes.map(({ name, expression, priority }) => ({ name, expression, priority })),
    [
      { name: "a", expression: 'http.path ^= "/a"', priority: 2 ** 46 - 1 },
      { name: "b", expression: null, priority: 0 },
    ],
  );
});

test("under the flavour traditional_compatible both are unknown, and routes do not show them", () => {
  const route = { name: "a", expression: 'http.path ^= "/a"', priority: 1, paths: ["/"] };
  assert.deepEqual(refusals({ routes: [route] }, "traditional_compatible"), [
    "kong.yml:4:5 route 'a' expression: unknown field; routes have it under router_flavor: expressions",
    "kong.yml:5:5 route 'a' priority: unknown field; routes have it under router_flavor: expressions",
  ]);
  const loaded = load({ routes: [{ name: "a", paths: ["/"] }] }, "traditional_compatible");
  assert.ok(loaded.ok && !("expression" in loaded.config.routes[0]!));
});

for (const [fields, message] of [
  [
    { expression: "http.path" },
    `4:17 route 'r' expression: ${PREFIX}column 10: expected an operator: == != ^= =^ >= <= > < ~ in not in contains`,
  ],
  [
    { expression: 'http.path == "/"', hosts: ["a.com"] },
    `4:17 route 'r' expression: ${PREFIX}cannot set 'expression' with ${CLASSIC} simultaneously`,
  ],
  [
    { expression: 'http.path == "/"', regex_priority: 1 },
    `5:21 route 'r' regex_priority: ${PREFIX}cannot set 'regex_priority' with 'expression' simultaneously`,
  ],
  [
    { priority: 1, paths: ["/"] },
    `4:15 route 'r' priority: ${PREFIX}cannot set 'priority' with ${CLASSIC} simultaneously`,
  ],
  [
    { expression: 'http.path == "/"', priority: 2 ** 46 },
    "5:15 route 'r' priority: value should be between 0 and 70368744177663, found 70368744177664",
  ],
  [
    { priority: 1 },
    "3:5 route 'r': must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
  ],
] as const) {
  test(`a route with ${Object.keys(fields).join(" and ")} is refused: ${message.split(" ").at(-1)}`, () => {
    assert.deepEqual(refusals({ routes: [{ name: "r", ...fields }] }), [`kong.yml:${message}`]);
  });
}

for (const [expression, owned] of [
  ['http.host == "a.com"', true],
  ['http.host == "a.com" && (http.path ^= "/x" || http.method == "PUT")', true],
  ['http.host == "a.com" || http.host =^ ".b.com"', true],
  ['http.host == "x.b.com" && http.host ~ "."', true],
  ['http.host == "b.com"', false],
  ['http.host =^ "b.com"', false],
  ['http.host =^ ".a.com"', false],
  ['http.host ^= "a.com"', false],
  ['http.host == "a.com" || http.host == "c.com"', false],
  ['http.host == "a.com" || http.path == "/"', false],
  ['http.host != "c.com"', false],
  ['!(http.host == "a.com")', false],
  ['!(http.host != "a.com")', false],
  ['http.host ~ "^a\\\\.com$"', false],
  ['http.path == "/"', false],
] as const) {
  test(`a tenant of a.com and *.b.com ${owned ? "may" : "may not"} route by ${expression}`, () => {
    const workspace = { name: "acme", hosts: ["a.com", "*.b.com"], routes: [{ name: "r", expression }] };
    const loaded = load({ workspaces: [workspace] });
    assert.equal(loaded.ok, owned);
    if (!loaded.ok) assert.match(formatConfigErrors(loaded.errors), /owns|is not owned by workspace 'acme'/);
  });
}
