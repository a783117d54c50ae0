/**
 * Finds heads in what is read. The start of one whose end has not come is kept as bytes in one buffer, so that it costs
 * about what it is long, whatever the drops in which it comes; and it is read anew only when that can tell something
 * new, so that the work stays in proportion to the bytes.
 */
import { INCOMPLETE } from "./head.ts";

/** Bytes of a read in which a head is looked for first; most end there, and what follows may be a body. */
const WINDOW = 4096;
/** Heads up to this length are read anew with each line; longer ones when they have ended or grown by an eighth. */
const EAGER_BYTES = 4096;
const FIRST_BYTES = 512;
const EMPTY = Buffer.alloc(0);

export class PartialHead {
  length = 0;
  #bytes = EMPTY;
  /** Length at which it was last worth reading. */
  #readAt = 0;

  /** Whether a head has begun: the empty line that old clients send behind a body is not one (RFC 9112 section 2.2). */
  get begun(): boolean {
    return this.length > 2 || (this.length > 0 && this.#bytes[0] !== 13);
  }

  /**
   * Looks for the end of a head in what was read, behind what is kept. Hot; guarded by bench/bench.ts `plain`.
   * @param parse gets the head so far; returns as `parseRequestHead` does.
   * @returns the index in `chunk` after the head; INCOMPLETE (0) if its end has not come; -1 if it is refused.
   */
  find(chunk: Buffer, maxBytes: number, parse: (text: string) => number): number {
    const before = this.length;
    if (before > 0) {
      if (!this.add(chunk, maxBytes)) return INCOMPLETE;
      const end = parse(this.text());
      if (end === INCOMPLETE) return INCOMPLETE;
      this.clear();
      return end < 0 ? end : end - before;
    }
    const whole = Math.min(chunk.length, maxBytes);
    const window = Math.min(whole, WINDOW);
    let end = parse(chunk.toString("latin1", 0, window));
    if (end === INCOMPLETE && window < whole) end = parse(chunk.toString("latin1", 0, whole));
    if (end === INCOMPLETE) this.add(chunk, maxBytes);
    return end;
  }

  /**
   * Keeps what came, up to `maxBytes` in all.
   * @returns whether the head may have ended, or its fault may show.
   */
  add(chunk: Buffer, maxBytes: number): boolean {
    const from = this.length;
    const length = Math.min(from + chunk.length, maxBytes);
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(FIRST_BYTES, 2 * length), maxBytes));
      this.#bytes.copy(larger, 0, 0, from);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, from, 0, length - from);
    this.length = length;
    const worth =
      length === maxBytes ||
      (chunk.includes(10) && (length <= EAGER_BYTES || length >= this.#readAt * 1.125 || this.#ends(from)));
    if (worth) this.#readAt = length;
    return worth;
  }

  text(): string {
    return this.#bytes.toString("latin1", 0, this.length);
  }

  clear(): void {
    this.#bytes = EMPTY;
    this.length = 0;
    this.#readAt = 0;
  }

  /** Whether an empty line ends behind `from`. */
  #ends(from: number): boolean {
    return this.#bytes.subarray(Math.max(from - 2, 0), this.length).includes("\n\r\n");
  }
}
