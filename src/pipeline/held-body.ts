/**
 * A body, or a part of one, that is held in memory. Pieces are copied into blocks: a piece of one byte costs one byte,
 * the read that it came in is not kept alive by it, and what grows leaves no garbage behind.
 */

const FIRST_BYTES = 16 * 1024;
const BLOCK_BYTES = 64 * 1024;

export class HeldBody {
  length = 0;
  #blocks: Buffer[] = [];
  /** Room in the last block. */
  #room = 0;

  add(piece: Buffer): void {
    this.length += piece.length;
    for (let at = 0; at < piece.length; ) {
      if (this.#room === 0) {
        this.#room = this.#blocks.length === 0 ? FIRST_BYTES : BLOCK_BYTES;
        this.#blocks.push(Buffer.allocUnsafeSlow(this.#room));
      }
      const block = this.#blocks[this.#blocks.length - 1] as Buffer;
      const copied = piece.copy(block, block.length - this.#room, at);
      this.#room -= copied;
      at += copied;
    }
  }

  /** Everything held, which is held no more, block by block. */
  takeBlocks(): Buffer[] {
    const blocks = this.#blocks;
    const last = blocks.pop();
    if (last !== undefined) blocks.push(last.subarray(0, last.length - this.#room));
    this.length = 0;
    this.#blocks = [];
    this.#room = 0;
    return blocks;
  }

  /** The same in one piece. */
  take(): Buffer {
    const blocks = this.takeBlocks();
    return blocks.length === 1 ? (blocks[0] as Buffer) : Buffer.concat(blocks);
  }
}
