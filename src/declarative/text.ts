/** The text of a configuration from its bytes: UTF-8, with or without a byte order mark, and nothing else. */
import { isUtf8 } from "node:buffer";
import type { DocumentFault } from "./document.ts";

export type ReadText =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly fault: DocumentFault };

export function textOf(bytes: Uint8Array): ReadText {
  if (isUtf8(bytes)) return { ok: true, text: new TextDecoder("utf-8").decode(bytes) };
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    return { ok: false, fault: { line: 1, column: 1, message: "this is UTF-16; save it as UTF-8" } };
  const offset = firstWrong(bytes);
  const before = new TextDecoder("utf-8").decode(bytes.subarray(0, offset));
  const line = before.split("\n");
  const shown = (bytes[offset] as number).toString(16).padStart(2, "0");
  return {
    ok: false,
    fault: {
      line: line.length,
      column: (line.at(-1) as string).length + 1,
      message: `byte ${offset} (0x${shown}) is not UTF-8; save the file as UTF-8`,
    },
  };
}

/** Where the first character begins that is none. Halves what is left, so that it is as quick as the check itself. */
function firstWrong(bytes: Uint8Array): number {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 4) {
    const middle = characterStart(bytes, (good + bad) >>> 1);
    if (middle <= good) break;
    if (isUtf8(bytes.subarray(good, middle))) good = middle;
    else bad = middle;
  }
  for (let end = good + 1; end <= bytes.length; end++) {
    if (isUtf8(bytes.subarray(good, end))) {
      good = end;
      continue;
    }
    if (end - good >= 4) break;
  }
  return good;
}

/** The beginning of the character that a byte is in: up to three bytes before. */
function characterStart(bytes: Uint8Array, at: number): number {
  for (let back = 0; back < 4 && at - back > 0; back++)
    if (((bytes[at - back] as number) & 0xc0) !== 0x80) return at - back;
  return at;
}
