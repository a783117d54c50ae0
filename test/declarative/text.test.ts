/** Bytes of a configuration: what is UTF-8, and where it ends to be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { textOf } from "../../src/declarative/text.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

for (const [what, bytes, line, column, message] of [
  ["a byte of Latin-1", latin1("a: 1\nb: caf\xe9\n"), 2, 7, /^byte 11 \(0xe9\)/],
  ["the first byte", latin1("\xff"), 1, 1, /^byte 0 \(0xff\)/],
  ["the last byte, half a character", latin1("a: \xc3"), 1, 4, /^byte 3 \(0xc3\)/],
  ["a surrogate", Buffer.from([0x61, 0xed, 0xa0, 0x80]), 1, 2, /^byte 1 \(0xed\)/],
  ["after characters of three bytes", Buffer.concat([Buffer.from("€€€"), latin1("\x80")]), 1, 4, /^byte 9 /],
  ["UTF-16", Buffer.from("\ufeffa: 1", "utf16le"), 1, 1, /UTF-16/],
] as const)
  test(`what is not UTF-8 is told with its place: ${what}`, () => {
    const read = textOf(bytes);
    assert.ok(!read.ok);
    assert.deepEqual([read.fault.line, read.fault.column], [line, column]);
    assert.match(read.fault.message, message);
  });

test("every single wrong byte of a text is found where it is", () => {
  const text = Buffer.from("añ€😀 ".repeat(20));
  for (let at = 0; at < text.length; at++) {
    const broken = Buffer.from(text);
    broken[at] = 0xff;
    const read = textOf(broken);
    assert.ok(!read.ok);
    const [, offset] = /^byte (\d+) /.exec(read.fault.message) ?? [];
    // The character that the byte is in begins up to three bytes before.
    assert.ok(at - Number(offset) >= 0 && at - Number(offset) <= 3, `${at}: ${read.fault.message}`);
  }
});

test("a byte order mark is no part of the text", () => {
  assert.deepEqual(textOf(Buffer.from("\ufeffa: 1")), { ok: true, text: "a: 1" });
});
