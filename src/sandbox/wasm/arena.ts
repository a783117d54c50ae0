/**
 * The memory that a guest and the Extism kernel share during one call: blocks cut from one bounded buffer by
 * moving a mark. Every operation takes constant time, and both the bytes and the number of blocks have a limit,
 * so no pattern of allocations costs the host more than the guest paid for.
 *
 * Addresses are offsets into the buffer as the guest's i64 values. A guest may read and write anywhere between
 * FIRST and the mark; nothing but its own call's data is there, and no length or link of ours is kept in it.
 *
 * The buffer can be a WebAssembly memory (arena-code.ts), in whose first words stands how far the mark is. A call
 * that needs more than that has a buffer of its own, and nothing is allowed there meanwhile.
 */
import { ALLOWED, FIRST } from "./arena-code.ts";
import { GuestFault } from "./fault.ts";

const SMALL = 64 * 1024;
/** A buffer that one large call needed is given back after it. */
const KEEP = 1024 * 1024;
const MAX_BLOCKS = 16_384;

export class Arena {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(SMALL);
  #view = new DataView(this.#bytes.buffer);
  /** The memory that quick access is over, and what is allowed in it. */
  #quick: { bytes: Uint8Array<ArrayBuffer>; allowed: Uint32Array } | null = null;
  /** Length of each block by its address. */
  readonly #blocks = new Map<number, number>();
  #mark = FIRST;
  #highest = FIRST;
  #limit = SMALL;
  /** Bytes of the input, which is the first block; 0 if there is none. */
  #input = 0;

  /** From the next reset on, calls whose data fits use this memory. */
  useMemory({ buffer }: WebAssembly.Memory): void {
    this.#quick = { bytes: new Uint8Array(buffer), allowed: new Uint32Array(buffer, 0, 4) };
  }

  /** Forgets everything, zeroes what was used, and starts anew with room for `limit` bytes. */
  reset(limit: number): void {
    if (this.#bytes.length <= KEEP) this.#bytes.fill(0, FIRST, this.#highest);
    else if (this.#quick === null) this.#use(new Uint8Array(SMALL));
    if (this.#quick !== null && this.#bytes !== this.#quick.bytes) this.#use(this.#quick.bytes);
    this.#blocks.clear();
    this.#mark = FIRST;
    this.#highest = FIRST;
    this.#limit = limit + FIRST;
    this.#input = 0;
    this.#allow();
  }

  /** The most bytes that this call has used. */
  get used(): number {
    return this.#highest;
  }

  /** Cuts a block and returns its address; an empty block is address 0. */
  alloc(length: bigint | number): number {
    return Number(length) === 0 ? 0 : this.#cut(Number(length));
  }

  /** Stores a value; an empty one has an address too, because 0 means that there is none. */
  store(bytes: Uint8Array): number {
    const address = this.#cut(bytes.length);
    this.#bytes.set(bytes, address);
    return address;
  }

  #cut(size: number): number {
    const address = this.#mark;
    // A negative i64 can mean 2^63 and more.
    const end = address + Math.max(Math.ceil(size / 8), 1) * 8;
    if (size < 0 || end > this.#limit)
      throw new GuestFault(
        "memory",
        `alloc(${size}): the call may use ${this.#limit - FIRST} bytes of host memory`,
      );
    if (this.#blocks.size >= MAX_BLOCKS)
      throw new GuestFault("memory", `alloc: a call may hold ${MAX_BLOCKS} blocks of host memory`);
    if (end > this.#bytes.length) this.#grow(end);
    this.#blocks.set(address, size);
    this.#mark = end;
    if (end > this.#highest) this.#highest = end;
    this.#allow();
    return address;
  }

  /** Forgets a block; the last one's room is used again. Unknown addresses are ignored, as in Extism. */
  free(address: bigint): void {
    const at = Number(address);
    const length = this.#blocks.get(at);
    if (length === undefined) return;
    this.#blocks.delete(at);
    if (at + Math.max(Math.ceil(length / 8), 1) * 8 === this.#mark) {
      this.#mark = at;
      this.#allow();
    }
  }

  /** Length of the block that starts at `address`, or 0. */
  length(address: bigint): number {
    return this.#blocks.get(Number(address)) ?? 0;
  }

  /** A block's bytes; null if no block starts there. The view is void after the next alloc. */
  block(address: bigint): Uint8Array | null {
    const at = Number(address);
    const length = this.#blocks.get(at);
    return length === undefined ? null : this.#bytes.subarray(at, at + length);
  }

  /** Bytes of any range below the mark. */
  range(address: bigint, length: bigint): Uint8Array {
    const at = this.#at(address, Number(length), "output_set");
    return this.#bytes.subarray(at, at + Number(length));
  }

  /** Stores the input, as the first block, in UTF-8. `length` is its length in UTF-8 bytes. */
  storeInput(text: string, length: number): number {
    const address = this.alloc(length);
    if (address !== 0) encoder.encodeInto(text, this.#bytes.subarray(address, address + length));
    this.#input = length;
    this.#allow();
    return address;
  }

  loadByte(address: bigint): number {
    return this.#view.getUint8(this.#at(address, 1, "load_u8"));
  }

  loadWord(address: bigint): bigint {
    return this.#view.getBigUint64(this.#at(address, 8, "load_u64"), true);
  }

  storeByte(address: bigint, value: number): void {
    this.#view.setUint8(this.#at(address, 1, "store_u8"), value);
  }

  storeWord(address: bigint, value: bigint): void {
    this.#view.setBigUint64(this.#at(address, 8, "store_u64"), value, true);
  }

  /** Checks a range. Numbers are exact here: what is near 2^53 or negative is far outside anyway. */
  #at(address: bigint, length: number, what: string): number {
    const at = Number(address);
    if (at < FIRST || length < 0 || at + length > this.#mark)
      throw new GuestFault(
        "violation",
        `${what}: ${length} bytes at ${address} are outside the call's host memory`,
      );
    return at;
  }

  /** Writes down what needs no further check. */
  #allow(): void {
    if (this.#quick === null) return;
    const { bytes, allowed } = this.#quick;
    const size = this.#bytes === bytes ? this.#mark - FIRST : 0;
    const input = Math.min(this.#input, size);
    allowed[ALLOWED.word] = Math.max(size - 7, 0);
    allowed[ALLOWED.byte] = size;
    allowed[ALLOWED.inputWord] = Math.max(input - 7, 0);
    allowed[ALLOWED.inputByte] = input;
  }

  #grow(needed: number): void {
    const bytes = new Uint8Array(
      Math.min(Math.max(needed, this.#bytes.length * 2), Math.max(this.#limit, needed)),
    );
    bytes.set(this.#bytes.subarray(FIRST, this.#highest), FIRST);
    // What a call leaves behind is not to be found by the next one.
    if (this.#bytes === this.#quick?.bytes) this.#bytes.fill(0, FIRST, this.#highest);
    this.#use(bytes);
  }

  #use(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

const encoder = new TextEncoder();
