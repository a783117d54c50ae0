/**
 * A body, or a part of one, that is held in memory. Pieces are copied into one growing buffer: a piece of one
 * byte costs one byte, and the read that it came in is not kept alive by it.
 */

const EMPTY = Buffer.alloc(0);
const FIRST_BYTES = 16 * 1024;

export class HeldBody {
  length = 0;
  #bytes: Buffer = EMPTY;

  add(piece: Buffer): void {
    const length = this.length + piece.length;
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(FIRST_BYTES, this.#bytes.length * 2, length));
      this.#bytes.copy(grown, 0, 0, this.length);
      this.#bytes = grown;
    }
    piece.copy(this.#bytes, this.length);
    this.length = length;
  }

  /** Everything held, which is held no more. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.length);
    this.length = 0;
    this.#bytes = EMPTY;
    return bytes;
  }
}
