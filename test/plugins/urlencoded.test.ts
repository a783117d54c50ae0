/** Queries and urlencoded bodies: what is found in them, and that an edit changes nothing beside it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { bytesToLatin1, encodeField, Fields, fieldValues, latin1ToBytes } from "../../plugins/urlencoded.ts";

const FOUND: readonly [text: string, name: string, values: string[]][] = [
  ["", "a", []],
  ["a=1", "a", ["1"]],
  ["a", "a", [""]],
  ["a=", "a", [""]],
  ["ab=1&a=2", "a", ["2"]],
  ["b=a=1", "a", []],
  ["a=1&b=2&a=3", "a", ["1", "3"]],
  ["%61=1", "a", ["1"]],
  ["a+b=1&a%20b=2", "a b", ["1", "2"]],
  ["a=x+y%2Bz", "a", ["x y+z"]],
  ["a=%C3%A9", "a", ["é"]],
  ["a=%zz", "a", ["%zz"]],
  ["a=%ff", "a", ["%ff"]],
  ["&&a=1&", "a", ["1"]],
  ["=1", "", ["1"]],
];

describe("urlencoded fields", () => {
  for (const [text, name, values] of FOUND) {
    it(`'${name}' in '${text}' is ${JSON.stringify(values)}`, () =>
      assert.deepEqual(fieldValues(text, name), values));
  }

  it("text that nobody edits comes out as it went in", () => {
    fc.assert(fc.property(fc.string(), (text) => new Fields(text).toString() === text));
  });

  it("a value that was added is found again, whatever it holds", () => {
    const words = fc.string({ unit: "grapheme" });
    fc.assert(
      fc.property(fc.string(), words, words, (text, name, value) => {
        const fields = new Fields(text);
        fields.append(name, value);
        assert.equal(fieldValues(fields.toString(), name).at(-1), value.toWellFormed());
      }),
    );
  });

  it("a name that was removed is not found again, and the others keep their bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a=1", "%61=2", "b=%7e", "c", "a", "d=a=1")), (parts) => {
        const fields = new Fields(parts.join("&"));
        fields.remove("a");
        const kept = parts.filter((part) => !/^(a|%61)(=|$)/.test(part));
        assert.equal(fields.toString(), kept.join("&"));
      }),
    );
  });

  it("renaming gives every value the new name, in place of the values that it had", () => {
    const fields = new Fields("new=0&old=1&x=2&%6fld=%7e&old&new");
    fields.rename("old", "new");
    assert.equal(fields.toString(), "new=1&x=2&new=%7e&new");
  });

  it("setting leaves one value, where the first one was", () => {
    const fields = new Fields("x&a=1&y&%61=2&a&z");
    fields.set("a", "b c");
    assert.equal(fields.toString(), "x&a=b%20c&y&z");
    assert.ok(fields.has("a"));
    fields.remove("a");
    assert.equal(fields.toString(), "x&y&z");
  });

  // A million fields: work that grows with the square of their number would not end within a test run.
  const MANY = 500_000;
  const crowd = "a&b&".repeat(MANY);

  it("a body of a million fields is edited as a short one is", () => {
    const removed = new Fields(crowd);
    removed.remove("a");
    assert.equal(removed.toString(), "b&".repeat(MANY));
    const set = new Fields(crowd);
    set.set("a", "1");
    assert.equal(set.toString(), `a=1&${"b&".repeat(MANY)}`);
    const renamed = new Fields(crowd);
    renamed.rename("a", "b");
    assert.equal(renamed.toString(), "b&".repeat(MANY));
  });

  it("a million values without '=' are found as a few are", () => {
    assert.equal(fieldValues("a&".repeat(2 * MANY), "a").length, 2 * MANY);
  });

  it("an encoded name or value cannot end its field", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => !/[&=+#\s]/.test(encodeField(text))));
  });

  it("bytes survive the way to text and back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
        assert.deepEqual(latin1ToBytes(bytesToLatin1(bytes)), bytes);
      }),
    );
  });
});
