/**
 * Queries and urlencoded bodies as lists of `name=value` fields. Fields that nobody touches keep their bytes:
 * a signature over the query, or an encoding that only the upstream understands, survives an edit next to it.
 * Text is one character a byte (latin1), as it arrives.
 */

/** The values of a field, decoded, in order. Costs no allocation when the field is absent and unescaped. */
export function fieldValues(text: string, name: string): string[] {
  const found: string[] = [];
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf("&", start);
    if (end < 0) end = text.length;
    if (isNamed(text, start, end, name)) {
      const field = text.slice(start, end);
      const equals = field.indexOf("=");
      found.push(equals < 0 ? "" : decodeField(field.slice(equals + 1)));
    }
    start = end + 1;
  }
  return found;
}

function isNamed(text: string, start: number, end: number, name: string): boolean {
  if (text.startsWith(name, start)) {
    const after = start + name.length;
    if (after === end || (after < end && text[after] === "=")) return true;
  }
  // Not equal as it stands, but an escape may spell the same name.
  let escaped = false;
  let at = start;
  for (; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x3d) break;
    if (code === 0x25 || code === 0x2b) escaped = true;
  }
  return escaped && decodeField(text.slice(start, at)) === name;
}

/** Undoes percent-encoding and `+`. Text that is not UTF-8 underneath stays as it is. */
function decodeField(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

export function encodeField(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/**
 * Fields under edit. Names are decoded; `raw` is what will be written. Clients choose how many there are, so
 * every edit goes over them once.
 */
export class Fields {
  readonly #names: string[] = [];
  readonly #raw: string[] = [];

  constructor(text: string) {
    if (text === "") return;
    for (const raw of text.split("&")) {
      const equals = raw.indexOf("=");
      this.#names.push(decodeField(equals < 0 ? raw : raw.slice(0, equals)));
      this.#raw.push(raw);
    }
  }

  has(name: string): boolean {
    return this.#names.includes(name);
  }

  remove(name: string): void {
    this.#removeFrom(0, name);
  }

  /** Gives every value of `from` the name `to`, in place of the values that `to` had. */
  rename(from: string, to: string): void {
    if (from === to || !this.has(from)) return;
    this.remove(to);
    for (let i = 0; i < this.#names.length; i++) {
      if (this.#names[i] !== from) continue;
      const raw = this.#raw[i] as string;
      const equals = raw.indexOf("=");
      this.#names[i] = to;
      this.#raw[i] = encodeField(to) + (equals < 0 ? "" : raw.slice(equals));
    }
  }

  /** One value in place of all, where the first one was. */
  set(name: string, value: string): void {
    const at = this.#names.indexOf(name);
    if (at < 0) {
      this.append(name, value);
      return;
    }
    this.#removeFrom(at + 1, name);
    this.#raw[at] = `${encodeField(name)}=${encodeField(value)}`;
  }

  append(name: string, value: string): void {
    this.#names.push(name);
    this.#raw.push(`${encodeField(name)}=${encodeField(value)}`);
  }

  #removeFrom(start: number, name: string): void {
    let kept = start;
    for (let i = start; i < this.#names.length; i++) {
      if (this.#names[i] === name) continue;
      this.#names[kept] = this.#names[i] as string;
      this.#raw[kept] = this.#raw[i] as string;
      kept++;
    }
    this.#names.length = kept;
    this.#raw.length = kept;
  }

  toString(): string {
    return this.#raw.join("&");
  }
}

/** One character a byte; TextDecoder's "latin1" is windows-1252 and would change 0x80 to 0x9f. */
export function bytesToLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192)
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return text;
}

export function latin1ToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
