import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_DEPTH, readDocument } from "../../src/declarative/document.ts";

function faultsOf(text: string): string[] {
  const read = readDocument(text);
  return read.ok ? [] : read.faults.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

const HOSTILE: [title: string, text: string, expected: RegExp][] = [
  ["a key given twice", "a: 1\nb: 2\na: 3\n", /^3:1 key 'a' is given twice$/],
  ["a key given twice in JSON", '{"a": 1,\n "a": 2}', /^2:2 key 'a' is given twice$/],
  ["__proto__ as a key", "a:\n  __proto__: { x: 1 }\n", /^2:3 '__proto__' is not allowed as a key$/],
  ["__proto__ as a quoted key", '{"__proto__": {"x": 1}}', /^1:2 '__proto__' is not allowed as a key$/],
  ["a NUL", "a: 1\nb: c\0d\n", /^2:5 control character U\+0000 is not allowed/],
  ["a control character in JSON", '{"a": "b\u0007"}', /^1:9 control character U\+0007 is not allowed/],
  ["a tab as indentation", "a:\n\tb: 1\n", /^2:1 Tabs are not allowed as indentation$/],
  ["an alias of nothing", "a: *b\n", /^1:4 .*b/],
  ["an anchor that holds itself", "a: &b [*b]\n", /^1:8 no anchor '&b' is complete before this alias$/],
  ["text that is not YAML", "a: [1, 2\nb: }\n", /^\d+:\d+ /],
  ["a second document", "a: 1\n---\nb: 1\n", /^2:1 a second document begins here/],
  ["a tag of somebody's", "a: !!js/function 'x'\n", /^1:4 unknown tag '.*js\/function'; values/],
  ["a map as a key", "? [a, b]\n: 1\n", /^1:3 a key must be a string$/],
  ["a merge of text", "a: 1\n<<: b\n", /^2:5 '<<' takes a map or a list of maps$/],
  ["flow lists nested without end", "[".repeat(200_000), /nested deeper than 64 levels$/],
  ["flow lists nested too deep", `${"[".repeat(100)}${"]".repeat(100)}`, /nested deeper than 64 levels$/],
  ["block lists nested too deep", "- ".repeat(5000), /nested deeper than 64 levels$/],
  ["maps nested too deep", `${'{"a":'.repeat(70)}1${"}".repeat(70)}`, /nested deeper than 64 levels$/],
  [
    "aliases that multiply",
    `a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(",")}]\n`).join("")}`,
    /more than 1000000 values that aliases repeat$/,
  ],
  [
    "merges that multiply",
    `b: &b {${Array.from({ length: 2000 }, (_, i) => `k${i}: 1`).join(", ")}}\nc:\n${"- <<: *b\n".repeat(600)}`,
    /more than 1000000 values that aliases repeat$/,
  ],
  [
    "merges of merges",
    `m0: &m0 { a: 1 }\n${Array.from({ length: 3000 }, (_, i) => `m${i + 1}: &m${i + 1} { <<: *m${i}, a${i}: 1 }\n`).join("")}`,
    /^\d+:\d+ more than 1000000 values that aliases repeat$/,
  ],
  [
    "more YAML than a syntax tree can hold",
    `a: &a x\nb: [${"a,".repeat(5_200_000)}a]\n`,
    /too large: more than 5000000 tokens of YAML$/,
  ],
  [
    "a text over the size bound",
    " ".repeat(64 * 1024 * 1024 + 1),
    /^1:1 the document is larger than 64 MiB$/,
  ],
];

for (const [title, text, expected] of HOSTILE) {
  test(`${title} is refused`, () => {
    const found = faultsOf(text);
    assert.match(found[0] ?? "nothing was refused", expected);
    assert.equal(({} as Record<string, unknown>).x, undefined);
  });
}

test("a map with 200,000 keys, each a fault of its own, is located in good time", () => {
  const read = readDocument(`a: &a {}\n${Array.from({ length: 200_000 }, (_, i) => `k${i}: 1\n`).join("")}`);
  assert.ok(read.ok);
  for (let i = 0; i < 200_000; i++) assert.equal(read.locate({ path: [`k${i}`], atKey: true }).line, i + 2);
});

test("places in what is merged from a tree of merges are found without walking it for each", () => {
  const keys = Array.from({ length: 1000 }, (_, i) => `k${i}: 1`);
  const tree = Array.from({ length: 16 }, (_, i) => `t${i + 1}: &t${i + 1} { <<: [*t${i}, *t${i}] }\n`);
  const read = readDocument(
    `t0: &t0 {}\n${tree.join("")}k: &k { ${keys.join(", ")} }\nm: { <<: [*t16, *k], own: 1 }\n`,
  );
  assert.ok(read.ok);
  for (let i = 0; i < 1000; i++) assert.equal(read.locate({ path: ["m", `k${i}`], atKey: true }).line, 18);
  assert.equal(read.locate({ path: ["m", "own"], atKey: true }).line, 19);
  assert.equal(read.locate({ path: ["m", "nothing"], atKey: true }).line, 19);
});

test("nesting up to the bound is read", () => {
  const text = `${"[".repeat(MAX_DEPTH - 1)}${"]".repeat(MAX_DEPTH - 1)}`;
  assert.deepEqual(faultsOf(text), []);
});

const VALUES: [text: string, value: unknown][] = [
  ["a: 10.0.0.1\nb: 10s\nc: -5\nd: 007\n", { a: "10.0.0.1", b: "10s", c: -5, d: 7 }],
  ["a: 2020-01-01\nb: 1:30\nc: 1_000\n", { a: "2020-01-01", b: "1:30", c: "1_000" }],
  ["\ufeffa: 1\n", { a: 1 }],
  ["a: True\nb: NULL\nc: yes\n", { a: true, b: null, c: "yes" }],
  ["a: &x { b: 1 }\nc: *x\nd: { <<: *x, e: 2 }\n", { a: { b: 1 }, c: { b: 1 }, d: { e: 2, b: 1 } }],
  ['{"a": [1, {"b": null}], "c": "\\u00e9"}', { a: [1, { b: null }], c: "é" }],
  ["a: |\n  b\n  c\n", { a: "b\nc\n" }],
];

for (const [text, value] of VALUES) {
  test(`${JSON.stringify(text)} is read by the rules of YAML 1.2`, () => {
    const read = readDocument(text);
    assert.ok(read.ok);
    assert.deepEqual(read.value, value);
  });
}

test("a text that aliases repeat to more than 16 MiB is refused, however short the document is", () => {
  const read = readDocument(`a: &a ${"x".repeat(100_000)}\nb: [${"*a, ".repeat(1000)}]\n`);
  assert.ok(!read.ok);
  assert.deepEqual(
    read.faults.map(({ message }) => message),
    ["more than 16777216 characters that aliases repeat"],
  );
});
