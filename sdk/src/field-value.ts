/**
 * Text and header values. A header value is bytes, held as one character a byte; text is Unicode. A character
 * above U+00FF that is written as a header loses its upper byte, and U+010A becomes a line feed: whoever puts
 * text of others into a header goes through `fieldValue`.
 */

const PLAIN = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/;
/** Not trim(): 0xA0 may be the last byte of a character. */
const OUTER_SPACES = /^[\t ]+|(?<![\t ])[\t ]+$/g;
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f]/g;

/** Text as a header value: UTF-8, without outer spaces; control characters become %XX. */
export function fieldValue(text: string): string {
  if (PLAIN.test(text)) return text;
  const bytes = new TextEncoder().encode(text.toWellFormed());
  let value = "";
  for (let i = 0; i < bytes.length; i++) value += String.fromCharCode(bytes[i] as number);
  return value.replace(CONTROLS, percentEncoded).replace(OUTER_SPACES, "");
}

function percentEncoded(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** A header value as text: UTF-8 where it is that, else each byte as a character. */
export function fieldText(value: string): string {
  if (PLAIN.test(value)) return value;
  const bytes = new Uint8Array(value.length);
  for (let i = 0; i < value.length; i++) bytes[i] = value.charCodeAt(i);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return value;
  }
}

/** "000" to "999". */
const THREE_DIGITS = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, "0"));

/**
 * A whole number from 0 up to 2^53 - 1 in decimal, for numbers that are others in each request: a length, what remains
 * of a limit. V8 caches the text of every number that it writes. Texts of numbers that do not come again grow old in
 * that cache, and only a full collection frees them, every ten seconds under load (p99, bench/bench.ts `half-load`).
 * Put together from parts, they die young.
 */
export function decimal(n: number): string {
  return n < 1000 ? String(n) : decimal(Math.floor(n / 1000)) + THREE_DIGITS[n % 1000];
}
