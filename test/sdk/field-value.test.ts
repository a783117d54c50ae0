/** Text in header values: nothing in it can end the line, and it comes back as it went in. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decimal, fieldText, fieldValue } from "@gatehouse/sdk";
import fc from "fast-check";

const VALUES: readonly [text: string, value: string][] = [
  ["", ""],
  ["plain text", "plain text"],
  ["  outer \t", "outer"],
  ["a\r\nX-Evil: 1", "a%0D%0AX-Evil: 1"],
  ["a\0b\x7f", "a%00b%7F"],
  ["\u010d\u010a", "\xc4\x8d\xc4\x8a"],
  ["é", "\xc3\xa9"],
  ["à ", "\xc3\xa0"],
  ["\ud800", "\xef\xbf\xbd"],
];

describe("fieldValue", () => {
  for (const [text, value] of VALUES)
    it(`${JSON.stringify(text)} becomes ${JSON.stringify(value)}`, () =>
      assert.equal(fieldValue(text), value));

  it("holds bytes alone, no control characters but tab, and no outer spaces", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        (text) =>
          /^(?![\t ])[\t\x20-\x7e\x80-\xff]*$/.test(fieldValue(text)) && !/[\t ]$/.test(fieldValue(text)),
      ),
    );
  });

  it("is read back by fieldText", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        fc.pre(!/[\x00-\x1f\x7f]|^ | $/.test(text));
        assert.equal(fieldText(fieldValue(text)), text);
      }),
    );
  });

  it("bytes that are not UTF-8 are read one character each", () => {
    assert.equal(fieldText("caf\xe9"), "café");
  });
});

describe("a number of a header", () => {
  it("is written in plain digits, whatever its size", () => {
    fc.assert(fc.property(fc.maxSafeNat(), (n) => assert.equal(decimal(n), String(n))));
    for (const n of [
      0,
      7,
      999,
      1000,
      1001,
      10_000,
      999_999,
      1_000_000,
      1_000_000_007,
      Number.MAX_SAFE_INTEGER,
    ])
      assert.equal(decimal(n), String(n));
  });
});
