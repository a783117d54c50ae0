/** What may be written as an expression, and how mistakes are explained. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compileExpression } from "../../../src/router/expressions/route-expression.ts";
import {
  type Expression,
  type ExpressionLimits,
  parseExpression,
} from "../../../src/router/expressions/syntax.ts";

/** The tree with every pair of parentheses that it has in mind. */
function shape(node: Expression): string {
  if (node.kind === "predicate") return node.text;
  if (node.kind === "not") return `!(${shape(node.inner)})`;
  return `(${node.parts.map(shape).join(node.kind === "and" ? " && " : " || ")})`;
}

const simplified = (text: string) =>
  shape(parseExpression(text.replace(/\b[a-d]\b/g, 'http.$& == "1"'))).replace(/http\.([a-d]) == "1"/g, "$1");

for (const [text, meant] of [
  ["a && b || c", "(a && (b || c))"],
  ["a || b && c || d", "((a || b) && (c || d))"],
  ["a || b && c", "((a || b) && c)"],
  ["(a && b) || c", "((a && b) || c)"],
  ["a && b && c", "(a && b && c)"],
  ["!(a || b) && c", "(!((a || b)) && c)"],
  ["! ( a )", "!(a)"],
  ["((a))", "a"],
] as const) {
  test(`${text} means ${meant}`, () => assert.equal(simplified(text), meant));
}

for (const [written, value] of [
  ["80", 80],
  ["0", 0],
  ["-1", -1],
  ["0x1F90", 8080],
  ["-0x10", -16],
  ["0777", 511],
  ["08", 8],
  ["9223372036854775807", Number(2n ** 63n - 1n)],
  ['"a\\"b\\\\c\\n\\r\\t"', 'a"b\\c\n\r\t'],
  ['r#"^/a\\d+"$"#', '^/a\\d+"$'],
  ['"über"', "über"],
  ["192.168.0.1", "\xc0\xa8\0\x01"],
  ["::1", `${"\0".repeat(15)}\x01`],
  ["fd00::1:2", `\xfd${"\0".repeat(12)}\x01\0\x02`],
  ["10.0.0.0/8", { address: "\x0a\0\0\0", bits: 8 }],
  ["fd00::/8", { address: `\xfd${"\0".repeat(15)}`, bits: 8 }],
] as const) {
  test(`the value ${written} is read`, () => {
    const tree = parseExpression(`net.dst.port == ${written}`);
    assert.equal(tree.kind, "predicate");
    assert.deepEqual(tree.kind === "predicate" && tree.literal.value, value);
  });
}

for (const text of [
  'http.path^="/a"&&http.method=="GET"',
  'http.path\n  ^= "/a"\t',
  'lower( any( http.headers.x_a ) ) == "b"',
  "net.src.ip notin 10.0.0.0/8",
  "net.src.ip not   in 10.0.0.0/8",
  'http.headers.x contains "y"',
  'http.path.segments.20_30 ~ r#"x/y"#',
  "http.path.segments.len == 10",
  "net.port == 80",
]) {
  test(`${JSON.stringify(text)} is sound`, () => {
    compileExpression(text, ["http", "https"]);
  });
}

for (const [text, message] of [
  ["", 'column 1: the expression is empty; expected a comparison, such as http.path ^= "/"'],
  ['http.path ^= "/" &&', 'column 20: expected a comparison, such as http.path ^= "/"'],
  ['! http.path == "/"', "column 1: '!' stands before a parenthesis only: write !( … )"],
  ['(http.path == "/"', "column 1: this '(' is not closed"],
  ['http.path == "/")', "column 17: there is no '(' that this ')' would close"],
  ['http.path == "/" and http.host == "a"', "column 18: 'and' is no operator; write &&"],
  ['http.path == "/" & http.host == "a"', "column 18: expected && or || or the end of the expression"],
  [
    'http.path = "/"',
    "column 11: '=' is no operator; did you mean '=='? Allowed: == != ^= =^ >= <= > < ~ in not in contains",
  ],
  ["http.path == '/'", "column 14: strings stand in double quotes"],
  ['http.path == "/', "column 14: this string is not closed"],
  ['http.path ~ r#"/', 'column 13: this string is not closed; r#" ends with "#'],
  [
    'http.path ~ "\\d"',
    `column 14: in a string '\\' begins one of \\" \\\\ \\n \\r \\t; write \\\\ for '\\', or r#"…"# around a regex`,
  ],
  ['http.paht == "/"', "column 1: unknown field 'http.paht'; did you mean 'http.path'?"],
  ['upper(http.path) == "/"', "column 1: unknown function 'upper'; allowed: lower, any"],
  [
    'http.path.segments.2_1 == "a"',
    "column 1: illformed http.path.segments.* field; write http.path.segments.0 for the first segment, " +
      "http.path.segments.0_2 for the first three, or http.path.segments.len",
  ],
  ["net.dst.port == 078", "column 17: '078' begins like an octal number and is none"],
  [
    "net.dst.port == 9223372036854775808",
    "column 17: '9223372036854775808' is out of the range of 64-bit integers",
  ],
  [
    'net.dst.port == "80"',
    "column 17: net.dst.port is an integer; '==' compares it with an integer, not with a string",
  ],
  ['net.dst.port ^= "8"', "column 14: net.dst.port is an integer; allowed for it: == != > >= < <="],
  [
    "http.path == 80",
    "column 14: http.path is a string; '==' compares it with a string, not with an integer",
  ],
  [
    "net.src.ip == 10.0.0.0/8",
    "column 15: net.src.ip is an IP address; a network is asked for by 'in' or 'not in'",
  ],
  [
    "net.src.ip in 10.0.0.1",
    "column 15: net.src.ip is an IP address; 'in' asks for a network, such as 10.0.0.0/8",
  ],
  [
    "net.src.ip in 10.0.0.1/8",
    "column 15: '10.0.0.1/8' has bits behind its prefix; the network is 10.0.0.0/8",
  ],
  [
    "net.src.ip in fd00::1/64",
    "column 15: 'fd00::1/64' has bits behind its prefix; the network is fd00::/64",
  ],
  ["net.src.ip in 10.0.0.0/33", "column 15: '10.0.0.0/33': the prefix has at most 32 bits"],
  ["net.src.ip == 10.0.0.256", "column 15: '10.0.0.256' is no IP address"],
  ["lower(net.src.ip) == 10.0.0.1", "column 7: lower() is for strings; net.src.ip is an IP address"],
  [
    'http.path\n  ~ "("',
    "line 2, column 5: not a valid regular expression: error parsing regexp: missing closing ): `(`",
  ],
  [
    "http.path == http.host",
    "column 14: 'http.host' is no value; expected a string in double quotes, an integer, an IP address or a network",
  ],
] as const) {
  test(`${JSON.stringify(text)} is refused with its place`, () => {
    assert.throws(() => compileExpression(text, ["http"]), { name: "ExpressionError", message });
  });
}

test("a pattern that could take more than linear time is refused", () => {
  assert.throws(() => compileExpression('http.path ~ r#"^/(?!admin)"#', ["http"]), {
    message: /^column 13: the look-ahead "\(\?!" cannot be used: patterns run in linear time/,
  });
});

for (const [limit, text, message] of [
  ["length", 'http.path == "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"', /at most 40 are allowed/],
  ["depth", '(((http.path == "/")))', /nested deeper than 2/],
  ["depth", 'any(any(any(http.path))) == "/"', /too many functions/],
  ["predicates", 'http.path == "/" || http.path == "/"', /more than 1 comparisons/],
] as const) {
  const limits: ExpressionLimits = { length: limit === "length" ? 40 : 100, depth: 2, predicates: 1 };
  test(`an expression beyond its bound on ${limit} is refused: ${text}`, () => {
    assert.throws(() => parseExpression(text, limits), { message });
  });
}

test("the bounds are 8,192 characters, 32 parentheses deep, 256 comparisons", () => {
  const one = 'http.path == "/"';
  parseExpression(`${"(".repeat(32)}${one}${")".repeat(32)}`);
  assert.throws(() => parseExpression(`${"(".repeat(33)}${one}${")".repeat(33)}`), /nested deeper than 32/);
  parseExpression(Array(256).fill(one).join("||"));
  assert.throws(() => parseExpression(Array(257).fill(one).join("||")), /more than 256/);
  parseExpression(one.padEnd(8_192));
  assert.throws(() => parseExpression(one.padEnd(8_193)), /has 8193 characters; at most 8192/);
});

test("whatever is written is read or refused with its place, in time that its length bounds", () => {
  const piece = fc.constantFrom(
    ..."()!~<>=^&|\"'\\ \n.:/-#é",
    "&&",
    "||",
    "==",
    "any(",
    "lower(",
    "not in ",
    "contains",
    'r#"',
    '"#',
    "http.path",
    "net.src.ip",
    "net.dst.port",
    "http.queries.a",
    "10.0.0.0/8",
    "::1",
    "0x1f",
    "-007",
    '"a+"',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      try {
        compileExpression(pieces.join(""), ["http"]);
      } catch (error) {
        assert.equal((error as Error).name, "ExpressionError", String((error as Error).stack));
        assert.match((error as Error).message, /^(?:line \d+, )?column \d+: /);
      }
    }),
    { numRuns: 5_000 },
  );
  for (const text of ["(", "!(", "any(", ":", "1", "a.", '"', "\\", "0", "&&"]) {
    assert.throws(() => compileExpression(text.repeat(8_192 / text.length), ["http"]), {
      name: "ExpressionError",
    });
  }
});
