/** Base64, as bodies cross in JSON. Four characters are three bytes: whole groups first, in memory, then what is left. */
// @ts-nocheck AssemblyScript, not TypeScript

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The value of each digit by its code; 0 for what is none. */
const VALUES: usize = memory.data(128);
for (let i = 0; i < 64; i++) store<u8>(VALUES + <usize>DIGITS.charCodeAt(i), <u8>i);

@inline function digit(group: u32): u16 {
  return load<u16>(changetype<usize>(DIGITS) + ((<usize>group & 63) << 1));
}

export function base64(bytes: Uint8Array): string {
  const total = bytes.length;
  const whole = total - (total % 3);
  const text = changetype<string>(__new(<usize>((total + 2) / 3) << 3, idof<string>()));
  const from = bytes.dataStart;
  let to = changetype<usize>(text);
  let i = 0;
  for (; i < whole; i += 3, to += 8) {
    const at = from + i;
    const group = (<u32>load<u8>(at) << 16) | (<u32>load<u8>(at, 1) << 8) | <u32>load<u8>(at, 2);
    store<u16>(to, digit(group >> 18));
    store<u16>(to, digit(group >> 12), 2);
    store<u16>(to, digit(group >> 6), 4);
    store<u16>(to, digit(group), 6);
  }
  if (i == total) return text;
  const isTwo = i + 1 < total;
  const rest = (<u32>load<u8>(from + i) << 16) | (isTwo ? <u32>load<u8>(from + i, 1) << 8 : 0);
  store<u16>(to, digit(rest >> 18));
  store<u16>(to, digit(rest >> 12), 2);
  store<u16>(to, isTwo ? digit(rest >> 6) : 0x3d, 4);
  store<u16>(to, 0x3d, 6);
  return text;
}

/** The bytes of what the gateway wrote. */
export function fromBase64(text: string): Uint8Array {
  let length = text.length;
  while (length > 0 && text.charCodeAt(length - 1) == 0x3d) length--;
  const bytes = new Uint8Array((length * 3) >> 2);
  let from = changetype<usize>(text);
  let to = bytes.dataStart;
  let i = 0;
  for (; i + 4 <= length; i += 4, from += 8, to += 3) {
    const group = (value(from) << 18) | (value(from, 2) << 12) | (value(from, 4) << 6) | value(from, 6);
    store<u8>(to, <u8>(group >> 16));
    store<u8>(to, <u8>(group >> 8), 1);
    store<u8>(to, <u8>group, 2);
  }
  if (i + 2 > length) return bytes;
  const rest = (value(from) << 18) | (value(from, 2) << 12) | (i + 2 < length ? value(from, 4) << 6 : 0);
  store<u8>(to, <u8>(rest >> 16));
  if (i + 2 < length) store<u8>(to, <u8>(rest >> 8), 1);
  return bytes;
}

@inline function value(at: usize, offset: usize = 0): u32 {
  return load<u8>(VALUES + (<usize>load<u16>(at + offset) & 127));
}
