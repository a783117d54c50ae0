/**
 * The character classes of RFC 9110 section 5.6 and RFC 9112 section 3, as tables over one byte. A message
 * head is held as a latin1 string, so a character code is the byte that was on the wire.
 */

const TOKEN_CHARS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function table(accepts: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (accepts(code) ? 1 : 0));
}

/** tchar, RFC 9110 section 5.6.2. */
export const TOKEN = table((code) => TOKEN_CHARS.includes(String.fromCharCode(code)));

/** A byte of a field value: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5). No other control, no NUL. */
export const VALUE = table((code) => code === 9 || (code >= 32 && code !== 127));

/** A byte of a request target: visible ASCII, and no `#`, because a fragment never travels (RFC 9112 3.2). */
export const TARGET = table((code) => code > 32 && code < 127 && code !== 35);

/** Characters of a host: reg-name, IPv4 and what is inside the brackets of an IPv6 literal (RFC 3986 3.2.2). */
export const HOST = table((code) =>
  "!$&'()*+,;=-._~%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".includes(
    String.fromCharCode(code),
  ),
);

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const TAB = 9;
export const COLON = 58;

/** Whether every character of `text` is in the class; an empty text is not. */
export function isAll(text: string, chars: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || chars[code] === 0) return false;
  }
  return text.length > 0;
}

export function isToken(text: string): boolean {
  return isAll(text, TOKEN);
}

/** The index of the first character from `at` on that is not in the class. */
export function skip(text: string, at: number, chars: Uint8Array): number {
  const { length } = text;
  let end = at;
  while (end < length && chars[text.charCodeAt(end)] === 1) end++;
  return end;
}
