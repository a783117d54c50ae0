/** Reading and writing the numbers, names and lists that WebAssembly's binary format is made of. */

/** One for all: a module may hold a million names. */
const decoder = new TextDecoder();

/** Says what is wrong with a module, in words for its author. */
export class ShapeError extends Error {}

/** No list in a module within the size limit can be longer than this; it stops a forged count early. */
const MAX_COUNT = 1_000_000;

export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new ShapeError("the module ends in the middle of a section");
    return this.bytes[this.at++] as number;
  }

  /** An unsigned LEB128 number of at most `bits` bits. */
  unsigned(bits = 32): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < Math.ceil(bits / 7); i++) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (bits === 32 && value > 0xffff_ffff) break;
        return value;
      }
      scale *= 128;
    }
    throw new ShapeError("a number in the module is too long");
  }

  /** Passes over a LEB128 number of at most `bits` bits whose value is of no interest. */
  skipNumber(bits: 32 | 33 | 64): void {
    for (let i = Math.ceil(bits / 7); i > 0; i--) if (this.byte() < 128) return;
    throw new ShapeError("a number in the module is too long");
  }

  count(what: string): number {
    const count = this.unsigned();
    if (count > MAX_COUNT) throw new ShapeError(`the module declares ${count} ${what}`);
    return count;
  }

  skip(length: number): void {
    if (length > this.end - this.at) throw new ShapeError("the module ends in the middle of a section");
    this.at += length;
  }

  name(): string {
    const length = this.unsigned();
    const start = this.at;
    this.skip(length);
    return decoder.decode(this.bytes.subarray(start, this.at));
  }
}

/** A growing row of bytes. */
export class Writer {
  #bytes: Uint8Array;
  length = 0;

  constructor(capacity = 1024) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** What was written so far; valid until the next write. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    this.#room(values.length);
    this.#bytes.set(values, this.length);
    this.length += values.length;
  }

  unsigned(value: number): void {
    this.bytes(unsigned(value));
  }

  name(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.unsigned(bytes.length);
    this.bytes(bytes);
  }

  section(id: number, content: Uint8Array): void {
    this.byte(id);
    this.unsigned(content.length);
    this.bytes(content);
  }

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + more));
    larger.set(this.written);
    this.#bytes = larger;
  }
}

/** An unsigned LEB128 number. */
export function unsigned(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    out.push(rest > 0 ? byte + 128 : byte);
  } while (rest > 0);
  return out;
}

/** A signed LEB128 number that is not negative: one bit more than the unsigned form. */
export function signed(value: number): number[] {
  const out = unsigned(value);
  const last = out.length - 1;
  if ((out[last] as number) >= 64) {
    out[last] = (out[last] as number) | 128;
    out.push(0);
  }
  return out;
}
