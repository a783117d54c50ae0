/** What chunked coding may carry beside data: each bound exactly, and one beyond it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BodyReader } from "../../src/http1/body.ts";

/** Why a body is refused; null if it ends properly. Read at once and byte by byte, which must be the same. */
function problem(text: string): string | null {
  const bytes = Buffer.from(text, "latin1");
  const results = [bytes.length, 1].map((step) => {
    const reader = new BodyReader();
    let ended = false;
    const sink = {
      onBody() {},
      onBodyEnd() {
        ended = true;
      },
    };
    reader.start(-1, true, false);
    for (let at = 0; at < bytes.length && !reader.ended; at += step)
      reader.read(bytes.subarray(at, at + step), 0, sink);
    assert.equal(ended, reader.error === null);
    return reader.error;
  });
  assert.equal(results[0], results[1]);
  return results[0] as string | null;
}

const END = "0\r\n\r\n";
const extension = (bytes: number) => `;${"e".repeat(bytes - 1)}`;
const trailer = (bytes: number) => `T: ${"t".repeat(bytes - 5)}\r\n`;

describe("bounds of chunked coding", () => {
  const cases: readonly (readonly [what: string, within: string, beyond: string, reason: RegExp])[] = [
    [
      "4096 bytes of extensions, their line ends included, in one chunk",
      `1${extension(4096)}\r\nx\r\n${END}`,
      `1${extension(4097)}\r\nx\r\n${END}`,
      /extensions too long/,
    ],
    [
      "4096 bytes of extensions in all chunks together",
      `${`1${extension(40)}\r\nx\r\n`.repeat(99)}${END}`,
      `${`1${extension(40)}\r\nx\r\n`.repeat(105)}${END}`,
      /extensions too long/,
    ],
    [
      "extensions in quotes",
      `1;a="${"q".repeat(4000)}"\r\nx\r\n${END}`,
      `1;a="${"q".repeat(4096)}"\r\nx\r\n${END}`,
      /extensions too long/,
    ],
    [
      "13 digits of a size",
      `0000000000001\r\nx\r\n${END}`,
      `00000000000001\r\nx\r\n${END}`,
      /size too large/,
    ],
    ["8192 bytes of trailers", `0\r\n${trailer(8190)}\r\n`, `0\r\n${trailer(8191)}\r\n`, /trailers too long/],
    ["50 trailers", `0\r\n${"t: v\r\n".repeat(50)}\r\n`, `0\r\n${"t: v\r\n".repeat(51)}\r\n`, /more than 50/],
  ];
  for (const [what, within, beyond, reason] of cases) {
    it(`${what} pass`, () => assert.equal(problem(within), null));
    it(`${what}, and more: refused`, () => assert.match(problem(beyond) ?? "", reason));
  }
});
