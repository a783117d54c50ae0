import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { stringify } from "yaml";
import { MAX_DEPTH, readDocument, readWithLibrary } from "../../src/declarative/document.ts";
import { readPlainYaml } from "../../src/declarative/plain-yaml.ts";

function faultsOf(text: string): string[] {
  const read = readDocument(text);
  return read.ok ? [] : read.faults.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

const HOSTILE: [title: string, text: string, expected: RegExp][] = [
  ["a key given twice", "a: 1\nb: 2\na: 3\n", /^3:1 key 'a' is given twice$/],
  ["a key given twice in JSON", '{"a": 1,\n "a": 2}', /^2:2 key 'a' is given twice$/],
  ["__proto__ as a key", "a:\n  __proto__: { x: 1 }\n", /^2:3 '__proto__' is not allowed as a key$/],
  ["__proto__ as a quoted key", '{"__proto__": {"x": 1}}', /^1:2 '__proto__' is not allowed as a key$/],
  ["an alias of nothing", "a: *b\n", /^1:4 .*b/],
  ["an anchor that holds itself", "a: &b [*b]\n", /^1:8 no anchor '&b' is complete before this alias$/],
  ["text that is not YAML", "a: [1, 2\nb: }\n", /^\d+:\d+ /],
  ["a second document", "a: 1\n---\nb: 1\n", /^2:1 .*multiple documents/],
  ["a tag of somebody's", "a: !!js/function 'x'\n", /^1:4 Unresolved tag/],
  ["a map as a key", "? [a, b]\n: 1\n", /^1:3 a key must be a string$/],
  ["a merge of text", "a: 1\n<<: b\n", /^2:5 '<<' takes a map or a list of maps$/],
  ["flow lists nested without end", "[".repeat(200_000), /nested deeper than 64 levels$/],
  ["flow lists nested too deep", `${"[".repeat(100)}${"]".repeat(100)}`, /nested deeper than 64 levels$/],
  ["block lists nested too deep", "- ".repeat(5000), /nested deeper than 64 levels$/],
  ["maps nested too deep", `${'{"a":'.repeat(70)}1${"}".repeat(70)}`, /nested deeper than 64 levels$/],
  [
    "aliases that multiply",
    `a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(",")}]\n`).join("")}`,
    /more than 10000000 values, those that aliases repeat included$/,
  ],
  [
    "merges that multiply",
    `b: &b {${Array.from({ length: 2000 }, (_, i) => `k${i}: 1`).join(", ")}}\nc:\n${"- <<: *b\n".repeat(6000)}`,
    /more than 10000000 values/,
  ],
  [
    "more YAML than a syntax tree can hold",
    `a: &a x\nb: [${"a,".repeat(2_600_000)}a]\n`,
    /too large to be read with its YAML features or faults/,
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
  for (let i = 0; i < 200_000; i++) assert.equal(read.locate([`k${i}`], true).line, i + 2);
});

test("nesting up to the bound is read", () => {
  const text = `${"[".repeat(MAX_DEPTH - 1)}${"]".repeat(MAX_DEPTH - 1)}`;
  assert.deepEqual(faultsOf(text), []);
});

/** Every place that both readers know, for each part of a value. */
function paths(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (value === null) return []; // nothing is written there, so there is no place to agree on
  if (typeof value !== "object") return [path];
  const parts: [string | number, unknown][] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value);
  return [path, ...parts.flatMap(([key, part]) => paths(part, [...path, key]))];
}

function assertSame(text: string): boolean {
  const plain = readPlainYaml(text, null);
  if (!plain) return false;
  const full = readWithLibrary(text);
  assert.ok(full.ok, `only the library refuses ${JSON.stringify(text)}`);
  assert.deepEqual(plain.value, full.value, JSON.stringify(text));
  const read = readDocument(text);
  assert.ok(read.ok);
  for (const path of paths(plain.value)) {
    assert.deepEqual(read.locate(path, true), full.locate(path, true), `${JSON.stringify(text)} ${path}`);
  }
  return true;
}

const PLAIN = [
  "a: 1\n",
  "a: 1",
  "---\na: 1\n",
  "# remark\n\na:   b c # remark\n\n# remark\nb: 'it''s'\n",
  "a:\n- 1\n- b: 2\n  c: 3\n-   d: 4\n    e: 5\n",
  "a:\n  - - x\n    - y\n  -\n    z: 1\nb:\n",
  "a: [x, 'y', \"z\", 1, true, ~, null]\nb: { c: d, e: [] }\n",
  'a: "\\u00e9\\n\\"x"\n',
  "a: https://x:80/y#z\nb: ~/v[0-9]+$\nc: /a/b\n",
  "a: 10.0.0.1\nb: 10s\nc: -5\nd: +5\ne: 007\n",
  "a: True\nb: NULL\nc: yes\nd: truely\n",
  '{"a": [1, {"b": null}], "c": "d"}',
  '{\n  "a": [\n    1,\n    2\n  ]\n}\n',
  "- a\n- b\n",
];

for (const text of PLAIN) {
  test(`the plain reader reads ${JSON.stringify(text)} as the YAML library does`, () =>
    assert.ok(assertSame(text)));
}

const NOT_PLAIN = [
  "a: &x 1\n",
  "a: *x\n",
  "a: |\n  b\n",
  "a: b\n  c\n",
  "a: 'b\n  c'\n",
  "a: 1\n b: 2\n",
  "a: b: c\n",
  "a: 1\na: 2\n",
  "<<: { a: 1 }\n",
  "? a\n: b\n",
  "true: 1\n",
  "1: 1\n",
  "a: 1.5\n",
  "a: 0x1F\n",
  "a: 1e3\n",
  "a: .inf\n",
  "a: !!str 1\n",
  "a:\t1\n",
  "a: 1\r\nb: 2\r\n",
  "a: @b\n",
  "a: [b\n, c]\n",
  "a: [b: c]\n",
  "a: [b, ]\n",
  "a: [b] c\n",
  "a: 1\n---\nb: 2\n",
  "%YAML 1.2\n---\na: 1\n",
  "__proto__: 1\n",
  "a: 12345678901234567890\n",
  "",
];

for (const text of NOT_PLAIN) {
  test(`the plain reader leaves ${JSON.stringify(text)} to the YAML library`, () =>
    assert.equal(readPlainYaml(text, null), undefined));
}

const scalar = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.stringMatching(/^[-+.~/*a-z0-9:#[\]{},&!|>'"% ]{0,10}$/),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom("yes", "null", "~", "1.2.3.4", "0o7", "1_000", "- a", "a: b", "a #b", "2001-01-01", "1:20"),
);
const document = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 4 }, scalar, tie("list"), tie("map")),
  list: fc.array(tie("value"), { maxLength: 4 }),
  map: fc.dictionary(
    fc.oneof(fc.stringMatching(/^[a-z_]{1,8}$/), fc.string({ maxLength: 5 })),
    tie("value"),
    {
      maxKeys: 4,
      noNullPrototype: true,
    },
  ),
})).map;
const style = fc.record({
  indent: fc.constantFrom(2, 3, 4),
  indentSeq: fc.boolean(),
  collectionStyle: fc.constantFrom("any" as const, "block" as const, "flow" as const),
  lineWidth: fc.constantFrom(0, 40),
});

test("whatever a writer of YAML produces, the plain reader gives the library's answer or none", () => {
  let plain = 0;
  fc.assert(
    fc.property(document, style, (value, options) => {
      if (assertSame(stringify(value, options))) plain++;
      assertSame(JSON.stringify(value));
      assertSame(JSON.stringify(value, null, 2));
    }),
    { numRuns: 1500 },
  );
  assert.ok(plain > 100, `only ${plain} documents were plain`);
});

test("whatever somebody's slip makes of a document, the plain reader gives the library's answer or none", () => {
  const slip = fc.record({
    at: fc.nat(400),
    remove: fc.nat(3),
    insert: fc.constantFrom(
      "",
      " ",
      "\n",
      "-",
      "- ",
      ":",
      ": ",
      "#",
      " #",
      "'",
      '"',
      "[",
      "]",
      "{",
      "}",
      ",",
      "  ",
      "\n\n",
      "~",
      "?",
      "a",
      "0",
    ),
  });
  fc.assert(
    fc.property(
      fc.constantFrom(...PLAIN),
      document,
      fc.boolean(),
      fc.array(slip, { minLength: 1, maxLength: 3 }),
      (sample, value, made, slips) => {
        let text = made ? stringify(value) : sample;
        for (const { at, remove, insert } of slips) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + insert + text.slice(place + remove);
        }
        assertSame(text);
      },
    ),
    { numRuns: 6000 },
  );
});
