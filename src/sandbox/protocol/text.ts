/**
 * The writing hand of the cordon's wire format: strings and numbers into one latin1 string. It makes text
 * because one `socket.write(text, "latin1")` is the cheapest way of handing a small message to the kernel,
 * and because text is what crosses cheapest into an isolate and out of it.
 *
 * Both sides of an isolate's wall use it: nothing here needs Node.
 */

const NOT_ASCII = /[^\x00-\x7f]/;
/** Deprecated names, but V8's own and the only way from UTF-8 to one byte a character without a buffer. */
const { unescape: unescapeText, escape: escapeText } = globalThis as unknown as {
  unescape(text: string): string;
  escape(text: string): string;
};

export function u8(value: number): string {
  return String.fromCharCode(value & 255);
}

export function u16(value: number): string {
  return String.fromCharCode((value >>> 8) & 255, value & 255);
}

export function u32(value: number): string {
  return String.fromCharCode((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

/** Lengths as they are written, made when they first come up: most fields are short, and a call has dozens. */
const LENGTHS: (string | undefined)[] = new Array(256).fill(undefined);

function lengthOf(value: string): string {
  const { length } = value;
  if (length >= LENGTHS.length) return u32(length);
  const known = LENGTHS[length];
  if (known !== undefined) return known;
  const made = u32(length);
  LENGTHS[length] = made;
  return made;
}

/** Text whose every character fits into a byte: header fields, paths, addresses, bodies. At most 4 GiB. */
export function latin1(value: string): string {
  return lengthOf(value) + value;
}

/** Any text, as UTF-8 bytes. */
export function utf8(value: string): string {
  return latin1(utf8Latin1(value));
}

export function json(value: unknown): string {
  return utf8(JSON.stringify(value ?? null));
}

const constants = new WeakMap<object, string>();

/** JSON of an object that never changes and comes up again and again. */
export function constantJson(value: object): string {
  let text = constants.get(value);
  if (text === undefined) {
    text = json(value);
    constants.set(value, text);
  }
  return text;
}

/** Header fields: their count, then each name and value as latin1 text. */
export function headerPairs(pairs: readonly (readonly string[])[]): string {
  let out = u16(pairs.length);
  for (const pair of pairs) {
    const name = pair[0] as string;
    const value = pair[1] as string;
    out += lengthOf(name) + name + lengthOf(value) + value;
  }
  return out;
}

/** UTF-8 bytes of a text, one character each. A lone surrogate becomes U+FFFD. */
export function utf8Latin1(text: string): string {
  if (!NOT_ASCII.test(text)) return text;
  return unescapeText(encodeURIComponent((text as string & { toWellFormed(): string }).toWellFormed()));
}

/** The way back. @throws {URIError} if the bytes are no UTF-8. */
export function latin1Utf8(text: string): string {
  return NOT_ASCII.test(text) ? decodeURIComponent(escapeText(text)) : text;
}
