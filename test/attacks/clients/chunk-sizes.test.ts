/** Chunk sizes and extensions that recipients read differently (RFC 9112 sections 7.1 and 7.1.1). */
import { describe, it } from "node:test";
import { chunked } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();

describe("chunk sizes that are not 1*HEXDIG of a sensible value (400)", () => {
  for (const size of [
    "0x5", "0X5", "+5", "-5", " 5", "5 ", "\t5", "5\t", "5\0", "\x005", "5.", "5,", "5_0", "5h", "'5'", '"5"', "5%", "\x0b5",
    "5\x0c", "\xa05", "\xef\xbb\xbf5", "ffffffffffffffff", "10000000000000000", "10000000000000005", "fffffffffffffffff5",
    "80000000000000005", "00000000000000005", "0000000000000000000000000000000000000005", "-0", "-1", "+0", "0x0", "",
  ]) // biome-ignore format: one size a line would hide the shape
    it(JSON.stringify(size), () => attack.bounces(chunked(`${size}\r\nabcde\r\n0\r\n\r\n${SMUGGLED}`), 400));
});

describe("chunks whose data is not as long as their size says (400)", () => {
  for (const [what, body] of [
    ["longer by one", "5\r\nabcdef\r\n0\r\n\r\n"],
    ["shorter by one", "5\r\nabcd\r\n0\r\n\r\n"],
    ["no line end after the data", "5\r\nabcde0\r\n\r\n"],
    ["two line ends after the data", "5\r\nabcde\r\n\r\n0\r\n\r\n"],
    ["a size where data should end", "5\r\nabc\r\n5\r\nabcde\r\n0\r\n\r\n"],
  ] as const)
    it(what, () => attack.bounces(chunked(body + SMUGGLED), 400));
});

describe("chunk extensions that hide a line end or never end (400)", () => {
  for (const [what, line] of [
    ["LF in an extension", "5;a\nb"],
    ["CR in an extension", "5;a\rb"],
    ["LF in a quoted value", '5;a="\n"'],
    ["CR LF in a quoted value", '5;a="\r\n"'],
    ["an escaped LF in a quoted value", '5;a="\\\n"'],
    ["a quote that is not closed", '5;a="b'],
    ["no name", "5;"],
    ["white space before the semicolon", "5 ;a"],
    ["white space alone", "5  "],
    ["8 KiB of extension", `5;${"a".repeat(8192)}`],
    ["a comma for a semicolon", "5,a=b"],
  ] as const)
    it(what, () => attack.bounces(chunked(`${line}\r\nabcde\r\n0\r\n\r\n${SMUGGLED}`), 400));

  it("an extension of the last chunk that hides a line end", () =>
    attack.bounces(chunked(`0;a\nb\r\n\r\n${SMUGGLED}`), 400));

  it("extensions of many chunks that sum up", () =>
    attack.bounces(chunked(`${`1;${"a".repeat(100)}\r\nx\r\n`.repeat(100)}0\r\n\r\n${SMUGGLED}`), 400));

  it("sound extensions are dropped, and the body is the body", async () => {
    await attack.passes(chunked(`5;a=b;c="d;\\"e"\r\nabcde\r\n0;f\r\n\r\n`, "/a"), [["/a", "abcde"]]);
  });
});
