/** The fast reader against the careful one: what it takes for plain means the same to both. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDocument, stringify } from "yaml";
import { readDocument } from "../../src/declarative/document.ts";
import { readPlain } from "../../src/declarative/plain-text.ts";

const REFUSED = Symbol("refused");
const LIMITS = { depth: 64, values: 10_000, tokens: 10_000 };

/** The careful reader's answer: an anchor that nobody uses makes no difference but to which reader is taken. */
function careful(text: string): unknown {
  const document = parseDocument(text, { logLevel: "error", uniqueKeys: true });
  if (document.errors.length + document.warnings.length > 0) return REFUSED;
  return document.toJS({ mapAsMap: false });
}

const SCALARS = [
  ...["017", "0o17", "0x1F", "0X1F", "1_000", "0b11", "1e3", "1E+3", ".5", "5.", "+1", "-0", "08", "1.2.3"],
  ...["1e400", "-1e999", "12345678901234567890", "0.10", "-.inf", ".NaN", ".Inf", "+.INF", ".nAn", "1e", "."],
  ...[
    "~",
    "null",
    "Null",
    "NULL",
    "nUll",
    "true",
    "True",
    "TRUE",
    "tRue",
    "yes",
    "on",
    "2001-12-14",
    "12:30:45",
  ],
  ...[
    "a b",
    "a: b",
    "a #b",
    "a#b",
    "#a",
    "-",
    "- a",
    "-a",
    "?",
    "? a",
    "?a",
    "@a",
    "`a",
    "%a",
    "&a",
    "*a",
    "!a",
  ],
  ...[
    "'a'",
    "'it''s'",
    '"a"',
    '"\\u00e9\\x41\\/\\n"',
    '"\\ud83d\\ude00"',
    '"a',
    "'a",
    "[a, b]",
    "{a: b}",
    "[a: b]",
  ],
  ...[
    "|",
    ">",
    "|-\n   x\n    y\n",
    ">+\n   x\n   y\n\n",
    "a\n  b\n\n  c",
    '"a\n  b\\\n  c"',
    "",
    "<<",
    "__proto__",
  ],
  ...[
    "é",
    "\u2028",
    "\u0085",
    "\u0007",
    "\ufeff",
    "\t",
    "a\tb",
    "!!str 1",
    "!!int '1'",
    "!!float 1",
    "!!set {a}",
  ],
];

const HEADS = ["", "---\n", "%YAML 1.1\n---\n", "\ufeff", "# text\n", "\n\n", "--- # text\n"];
const TAILS = ["", "\n", "\n...\n", "\n---\nb: 2\n", "\n# text", "\r\n", "\n\t\n"];

const scalar = fc.constantFrom(...SCALARS);
const line = fc.oneof(
  fc
    .tuple(fc.constantFrom("a", "b", "'a'", '"a"', "1", "0x1", "1.0", "true", "null", "~", "<<"), scalar)
    .map(([key, value]) => `${key}: ${value}`),
  scalar.map((value) => `- ${value}`),
  scalar,
  fc.constantFrom("a:", "  b: 1", "  - 1", "    c: 2", "- - 1", "- a: 1\n  b: 2", "? a\n: b", "? [a]\n: b"),
);
const text = fc
  .tuple(fc.constantFrom(...HEADS), fc.array(line, { maxLength: 5 }), fc.constantFrom(...TAILS))
  .map(([head, lines, tail]) => `${head}${lines.join("\n")}${tail}`);

test("odd YAML that is taken for plain has the careful reader's value", () => {
  let plain = 0;
  fc.assert(
    fc.property(text, (yaml) => {
      const read = readPlain(yaml, LIMITS);
      if (read === null) return;
      const expected = careful(yaml);
      // A tab in an empty line: allowed by YAML, refused by the careful reader's library in some places.
      if (expected === REFUSED) return assert.match(yaml, /\n\t(\n|$)/);
      plain++;
      assert.deepEqual(read.value, expected, yaml);
    }),
    { numRuns: 5000 },
  );
  assert.ok(plain > 500, `${plain} texts were plain`);
});

test("values written as YAML or as JSON are plain and come back", () => {
  const value = fc
    .jsonValue({ maxDepth: 4 })
    .filter((it) => !/__proto__|"<<"|"null":/.test(JSON.stringify(it)));
  fc.assert(
    fc.property(value, (it) => {
      const json = JSON.stringify({ it });
      const same = JSON.parse(json);
      assert.deepEqual(readPlain(json, LIMITS), { value: same });
      const yaml = stringify({ it }, { aliasDuplicateObjects: false });
      const read = readPlain(yaml, LIMITS);
      // A text with a `!` or `%` where a tag or a directive could stand is the careful reader's.
      if (read !== null) assert.deepEqual(read.value, careful(yaml));
      const document = readDocument(yaml);
      assert.deepEqual(document.ok && document.value, careful(yaml));
    }),
    { numRuns: 1000 },
  );
});

for (const [title, json] of [
  ["a key given twice", '{"a":1,"b":{"c":1,"c":2}}'],
  ["a key given twice, once escaped", '{"a":1,"\\u0061":2}'],
  ["__proto__ as a key", '{"a":{"__proto__":{}}}'],
  ["__proto__ as an escaped key", '{"\\u005f_proto__":{}}'],
  ["lists nested too deep", "[".repeat(65) + "]".repeat(65)],
  ["more values than are allowed", `[${"0,".repeat(10_000)}0]`],
  ["text after its end", "{} {}"],
  ["a comment", "{} # text"],
] as const) {
  test(`JSON with ${title} is left to the careful reader`, () => assert.equal(readPlain(json, LIMITS), null));
}

test("a colon, a bracket and a quote within a string are no structure", () => {
  assert.deepEqual(readPlain('{"a:[{":"\\":\\\\","b":["]"]}', LIMITS), {
    value: { "a:[{": '":\\', b: ["]"] },
  });
});
