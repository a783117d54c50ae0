/**
 * As much JSON as most guests need: find a member of an object, read a string or a list of strings,
 * write a string. The input comes from the gateway and is well-formed, so nothing here reports errors; text that
 * is not what was expected reads as empty.
 */
// @ts-nocheck AssemblyScript, not TypeScript

const QUOTE: i32 = 0x22;
const BACKSLASH: i32 = 0x5c;

/** `text.charCodeAt(i)` where `i` is known to be inside: reading is most of what a guest does. */
@inline export function unit(text: string, i: i32): i32 {
  return load<u16>(changetype<usize>(text) + (<usize>i << 1));
}

/** Where the value of `name` starts in the object that starts at `at`; -1 if there is none. */
export function member(text: string, at: i32, name: string): i32 {
  if (at < 0 || at >= text.length || unit(text, at) != 0x7b) return -1;
  let i = at + 1;
  while (i < text.length && unit(text, i) != 0x7d) {
    const value = skip(text, i) + 1; // behind the colon
    if (isString(text, i, name)) return value;
    i = skip(text, value);
    if (i < text.length && unit(text, i) == 0x2c) i++;
  }
  return -1;
}

/**
 * Whether the string that starts at `at` is `value`, which needs no escapes. Nothing is made of it, so this is how to
 * look for one among many. With `fold`, `value` is in lower case, and ASCII letters of the text may be in either.
 */
export function isString(text: string, at: i32, value: string, fold: bool = false): bool {
  const from = at + 1;
  const end = from + value.length;
  if (at < 0 || end >= text.length || unit(text, at) != QUOTE || unit(text, end) != QUOTE) return false;
  for (let i = 0; i < value.length; i++) {
    let c = unit(text, from + i);
    if (fold && c >= 0x41 && c <= 0x5a) c |= 0x20;
    if (c != unit(value, i)) return false;
  }
  return true;
}

/** The string that starts at `at`; empty if none does. */
export function stringAt(text: string, at: i32): string {
  if (at < 0 || at >= text.length || unit(text, at) != QUOTE) return "";
  let out = "";
  let from = at + 1;
  let i = from;
  for (; i < text.length && unit(text, i) != QUOTE; i++) {
    if (unit(text, i) != BACKSLASH) continue;
    out += text.substring(from, i);
    const escape = text.charCodeAt(++i);
    if (escape == 0x75) {
      out += String.fromCharCode(<i32>parseInt(text.substring(i + 1, i + 5), 16));
      i += 4;
    } else if (escape == 0x6e) out += "\n";
    else if (escape == 0x74) out += "\t";
    else if (escape == 0x72) out += "\r";
    else if (escape == 0x62) out += "\b";
    else if (escape == 0x66) out += "\f";
    else out += String.fromCharCode(escape);
    from = i + 1;
  }
  return out + text.substring(from, i);
}

/** The strings of the list that starts at `at`. */
export function stringsAt(text: string, at: i32): string[] {
  const out: string[] = [];
  if (at < 0 || at >= text.length || unit(text, at) != 0x5b) return out;
  let i = at + 1;
  while (i < text.length && unit(text, i) != 0x5d) {
    out.push(stringAt(text, i));
    i = skip(text, i);
    if (i < text.length && unit(text, i) == 0x2c) i++;
  }
  return out;
}

/** Where the value that starts at `at` ends. JSON from the gateway has no space between tokens. */
export function skip(text: string, at: i32): i32 {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const c = unit(text, i);
    if (c == QUOTE) {
      for (i++; i < text.length && unit(text, i) != QUOTE; i++) if (unit(text, i) == BACKSLASH) i++;
      if (depth == 0) return i + 1;
    } else if (c == 0x7b || c == 0x5b) depth++;
    else if (c == 0x7d || c == 0x5d) {
      if (depth == 0) return i; // the end of what holds a number or a word
      if (--depth == 0) return i + 1;
    } else if ((c == 0x2c || c == 0x3a) && depth == 0) return i;
  }
  return text.length;
}

/** A string as JSON. */
export function quote(text: string): string {
  let out = '"';
  for (let i = 0; i < text.length; i++) {
    const c = unit(text, i);
    if (c == QUOTE || c == BACKSLASH) out += "\\" + String.fromCharCode(c);
    else if (c < 0x20) out += "\\u00" + (c < 0x10 ? "0" : "1") + (c & 15).toString(16);
    else out += String.fromCharCode(c);
  }
  return out + '"';
}
