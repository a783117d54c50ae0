/**
 * The reading hand of the cordon's wire format (text.ts is the other), and its frames. The reader trusts
 * nothing: every length is held against what is left of the frame, so a hostile peer gets a `FrameError` and
 * nothing else.
 */
import { latin1, u8, u32 } from "./text.ts";

/** What a peer wrote breaks the format. The connection and the process behind it are not to be used again. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

const double = Buffer.alloc(8);
export function f64(value: number): string {
  double.writeDoubleBE(value);
  return double.toString("latin1");
}

export function bytes(value: Uint8Array): string {
  return latin1(bodyText(value));
}

/** Bytes, one character each. */
export function bodyText(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
}

/** Reads one frame's payload from front to back. Every method throws a FrameError past the payload's end. */
export class Reader {
  #buffer: Buffer;
  #at: number;
  readonly #end: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  /** Bytes that have not been read. */
  get left(): number {
    return this.#end - this.#at;
  }

  #take(length: number): number {
    const from = this.#at;
    if (length > this.#end - from) throw new FrameError("a length points past the end of its frame");
    this.#at = from + length;
    return from;
  }

  u8(): number {
    return this.#buffer[this.#take(1)] as number;
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#take(4));
  }

  f64(): number {
    return this.#buffer.readDoubleBE(this.#take(8));
  }

  /** The next f64, which stays to be read. */
  peekF64(): number {
    if (this.#end - this.#at < 8) throw new FrameError("a length points past the end of its frame");
    return this.#buffer.readDoubleBE(this.#at);
  }

  /** A number that counts something: finite and not negative. */
  quantity(): number {
    const value = this.f64();
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw new FrameError("a quantity is no number");
    return value;
  }

  #length(max: number): number {
    const length = this.u32();
    if (length > max) throw new FrameError(`a field of ${length} bytes, at most ${max} are allowed`);
    return length;
  }

  latin1(max: number): string {
    const length = this.#length(max);
    const from = this.#take(length);
    return this.#buffer.toString("latin1", from, from + length);
  }

  utf8(max: number): string {
    const length = this.#length(max);
    const from = this.#take(length);
    return this.#buffer.toString("utf8", from, from + length);
  }

  /** How many bytes of the next field, which stays to be read, may begin a part of JSON: brackets, braces, commas. */
  peekParts(): number {
    const at = this.#at;
    const length = this.u32();
    const from = this.#take(length);
    this.#at = at;
    let parts = 0;
    for (let i = from; i < from + length; i++) {
      const byte = this.#buffer[i];
      if (byte === 0x2c || byte === 0x5b || byte === 0x7b) parts++;
    }
    return parts;
  }

  json(max: number): unknown {
    const text = this.utf8(max);
    try {
      return JSON.parse(text);
    } catch {
      throw new FrameError("a field that should be JSON is not");
    }
  }

  /** A copy: the buffer under it is used again for the next read. */
  bytes(max: number): Uint8Array {
    const length = this.#length(max);
    const from = this.#take(length);
    return new Uint8Array(this.#buffer.subarray(from, from + length));
  }

  headerPairs(maxCount: number, maxBytes: number): [string, string][] {
    const count = this.u16();
    if (count > maxCount) throw new FrameError(`${count} header fields, at most ${maxCount} are allowed`);
    const pairs: [string, string][] = [];
    let left = maxBytes;
    for (let i = 0; i < count; i++) {
      const name = this.latin1(left);
      left -= name.length;
      const value = this.latin1(left);
      left -= value.length;
      pairs.push([name, value]);
    }
    return pairs;
  }

  rest(): Uint8Array {
    const from = this.#take(this.#end - this.#at);
    return new Uint8Array(this.#buffer.subarray(from, this.#end));
  }

  /** What is left, one character a byte. */
  restText(): string {
    const from = this.#take(this.#end - this.#at);
    return this.#buffer.toString("latin1", from, this.#end);
  }

  /** The payload must end here. */
  end(): void {
    if (this.#at !== this.#end) throw new FrameError("bytes are left over at the end of a frame");
  }
}

/** `u32 length, u32 id, u8 type`; the length counts everything after itself. */
const HEADER_BYTES = 9;

/** One frame. `id` is a call's or an instance's number, 0 where there is none. */
export function frame(id: number, type: number, payload: string): string {
  return u32(payload.length + 5) + u32(id) + u8(type) + payload;
}

export type FrameHandler = (id: number, type: number, payload: Reader) => void;

/** Cuts a byte stream into frames. Keeps at most one unfinished frame of `maxFrameBytes`. */
export class FrameSplitter {
  readonly #maxFrameBytes: number;
  readonly #onFrame: FrameHandler;
  #kept: Buffer | null = null;
  #keptLength = 0;

  constructor(maxFrameBytes: number, onFrame: FrameHandler) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#onFrame = onFrame;
  }

  /** Hands on every frame that is complete; `chunk` may be overwritten afterwards. Throws FrameError. */
  push(chunk: Buffer): void {
    let data = chunk;
    if (this.#kept !== null) {
      this.#append(chunk);
      data = this.#kept.subarray(0, this.#keptLength);
      if (data.length < 4 || data.length < this.#frameLength(data, 0)) return;
      this.#kept = null;
      this.#keptLength = 0;
    }
    let at = 0;
    while (data.length - at >= 4) {
      const length = this.#frameLength(data, at);
      if (data.length - at < length) break;
      const id = data.readUInt32BE(at + 4);
      this.#onFrame(id, data[at + 8] as number, new Reader(data, at + HEADER_BYTES, at + length));
      at += length;
    }
    if (at < data.length) this.#append(data.subarray(at));
  }

  #frameLength(data: Buffer, at: number): number {
    const length = data.readUInt32BE(at);
    if (length < 5 || length > this.#maxFrameBytes)
      throw new FrameError(`a frame of ${length} bytes, between 5 and ${this.#maxFrameBytes} are allowed`);
    return length + 4;
  }

  #append(part: Buffer): void {
    const needed = this.#keptLength + part.length;
    if (this.#kept === null || needed > this.#kept.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, (this.#kept?.length ?? 0) * 2, 4096));
      this.#kept?.copy(grown, 0, 0, this.#keptLength);
      this.#kept = grown;
    }
    part.copy(this.#kept, this.#keptLength);
    this.#keptLength = needed;
  }
}
