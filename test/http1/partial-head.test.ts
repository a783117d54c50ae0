/** Heads that come in drops: what they cost, and that nothing of them is lost. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PartialHead } from "../../src/http1/partial-head.ts";

const MAX = 1 << 20;

/** Adds a text byte by byte; the characters that were read anew in all. */
function readByDrops(text: string, max = MAX): number {
  const partial = new PartialHead();
  let read = 0;
  for (const byte of Buffer.from(text, "latin1"))
    if (partial.add(Buffer.of(byte), max)) read += partial.length;
  assert.equal(partial.text(), text.slice(0, max));
  return read;
}

const line = "a:\r\n";

describe("a head that comes byte by byte", () => {
  for (const [name, text] of [
    ["one long line", `GET / HTTP/1.1\r\nX: ${"y".repeat(300_000)}\r\n\r\n`],
    ["short lines", `GET / HTTP/1.1\r\n${line.repeat(75_000)}\r\n`],
    [
      "a long line and short lines after it",
      `GET / HTTP/1.1\r\nX: ${"y".repeat(150_000)}\r\n${line.repeat(40_000)}\r\n`,
    ],
    ["line ends alone", `GET / HTTP/1.1\r\n${"\n".repeat(300_000)}`],
  ] as const)
    it(`is read anew in proportion to its length: ${name}`, () => {
      const bytes = readByDrops(text);
      assert.ok(bytes < 16 * text.length + 4096 ** 2 / 2, `${bytes} characters for ${text.length}`);
    });

  it("is read anew when its last line has ended, however long it is", () => {
    const partial = new PartialHead();
    assert.equal(partial.add(Buffer.from(`GET / HTTP/1.1\r\nX: ${"y".repeat(100_000)}`), MAX), true);
    assert.equal(partial.add(Buffer.from("\r\n"), MAX), false, "it has not grown much since");
    assert.equal(partial.add(Buffer.from("Y: z\r\n"), MAX), false);
    assert.equal(partial.add(Buffer.from("\r"), MAX), false);
    assert.equal(partial.add(Buffer.from("\n"), MAX), true);
  });

  it("keeps no more than it may, and is read when it is full", () => {
    const partial = new PartialHead();
    assert.equal(partial.add(Buffer.alloc(1000, "x"), 1500), false);
    assert.equal(partial.add(Buffer.alloc(1000, "y"), 1500), true);
    assert.equal(partial.length, 1500);
    assert.equal(partial.text(), "x".repeat(1000) + "y".repeat(500));
    partial.clear();
    assert.equal(partial.length + partial.text().length, 0);
  });
});
