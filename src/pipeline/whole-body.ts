/**
 * A body that a plugin wants whole or has made, of a request or of a response: gathered in memory, and on disk from a
 * certain size on. Writing never holds up the event loop; who delivers the body waits while the disk is slower. Hooks get the
 * bytes in memory; what they leave as it is goes on from the file, as fast as its receiver takes it.
 */
import type { FileHandle } from "node:fs/promises";
import { GatewayError } from "../errors.ts";
import { type BodyStore, KIB, storageError } from "./body-store.ts";
import { HeldBody } from "./held-body.ts";

/** Hears how a body is being stored, never during `add`. */
export interface BodySource {
  /** There is room for more again, after an `add` that returned false. */
  onRoom(): void;
  /** It cannot be kept. Nothing else follows. */
  onStorageFailed(error: GatewayError): void;
}

const NOBODY: BodySource = { onRoom() {}, onStorageFailed() {} };

export class WholeBody {
  length = 0;
  readonly #store: BodyStore;
  readonly #source: BodySource;
  /** What is not written yet. */
  readonly #memory = new HeldBody();
  /** All of it, once it is there and was asked for. */
  #bytes: Buffer | null = null;
  #file: FileHandle | null = null;
  /** Bytes in the file, and what was reserved for them. */
  #written = 0;
  #reservedKib = 0;
  /** The write that goes on. It never fails: `#error` tells. */
  #writing: Promise<void> | null = null;
  #error: GatewayError | null = null;
  /** Bytes counted by the store: waiting here, and read back. */
  #held = 0;
  #loaded = 0;
  #full = false;
  #released = false;

  constructor(store: BodyStore, source: BodySource) {
    this.#store = store;
    this.#source = source;
  }

  /** A body that a plugin has made goes to disk; `stored` tells when it is there. */
  static toDisk(store: BodyStore, bytes: Buffer): WholeBody {
    const body = new WholeBody(store, NOBODY);
    body.length = bytes.length;
    body.#hold(bytes.length);
    body.#spillBlocks(bytes.length, [bytes]);
    return body;
  }

  /** Whether a part of it is on disk, or on its way there. */
  get spilled(): boolean {
    return this.#writing !== null || this.#written > 0;
  }

  /** Copies a piece. Returns false if whoever delivers should wait for `onRoom`. */
  add(piece: Buffer): boolean {
    if (this.#error !== null) return false;
    this.length += piece.length;
    this.#memory.add(piece);
    this.#hold(piece.length);
    if (this.#memory.length <= this.#store.bufferBytes(this.spilled)) return true;
    this.#full = this.#writing !== null;
    if (!this.#full) this.#spill();
    return !this.#full;
  }

  /** The bytes of a body that fits in memory, once all of it was added. */
  get bytes(): Buffer {
    this.#bytes ??= this.#memory.take();
    return this.#bytes;
  }

  /** Resolves when all of it is on disk, once all of it was added. @throws {GatewayError} */
  async stored(): Promise<void> {
    while (this.#writing !== null || (this.#memory.length > 0 && this.#error === null)) {
      if (this.#writing === null) this.#spill();
      await this.#writing;
    }
    if (this.#error !== null) throw this.#error;
  }

  /** Reads the whole body back, once all of it was added. @throws {GatewayError} */
  async load(): Promise<Buffer> {
    await this.stored();
    await this.#store.enter(this.length);
    this.#loaded = this.length;
    if (this.#released) {
      this.unload();
      throw gone();
    }
    const bytes = Buffer.allocUnsafeSlow(this.length);
    for (let at = 0; at < this.length; ) at += await this.read(bytes.subarray(at), at);
    return bytes;
  }

  /** Reads a part from the file. Returns how many bytes there were: at least one. @throws {GatewayError} */
  async read(into: Buffer, at: number): Promise<number> {
    if (this.#file === null) throw gone();
    try {
      const { bytesRead } = await this.#file.read(into, 0, into.length, at);
      if (bytesRead === 0) throw new Error("the file is shorter than it was");
      return bytesRead;
    } catch (error) {
      throw this.#released ? gone() : storageError(error);
    }
  }

  /** Nobody looks at the bytes in memory any more; `read` goes on. */
  unload(): void {
    if (this.#loaded === 0) return;
    this.#store.leave(this.#loaded);
    this.#loaded = 0;
  }

  /** Nobody wants it any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#error ??= gone();
    this.unload();
    this.#hold(-this.#held);
    this.#memory.take();
    this.#bytes = null;
    this.#close();
  }

  #hold(bytes: number): void {
    this.#held += bytes;
    this.#store.held += bytes;
  }

  /** Writes what waits. */
  #spill(): void {
    this.#spillBlocks(this.#memory.length, this.#memory.takeBlocks());
  }

  #spillBlocks(length: number, blocks: readonly Buffer[]): void {
    this.#writing = this.#write(length, blocks).then(
      () => this.#wrote(length),
      (error) => this.#failed(storageError(error)),
    );
  }

  async #write(length: number, blocks: readonly Buffer[]): Promise<void> {
    const kib = Math.ceil(length / KIB);
    if (!this.#store.budget.reserve(kib))
      throw new GatewayError(
        "body_storage",
        "a body that is held whole for plugins: all of body_buffer_disk_bytes is taken",
      );
    this.#reservedKib += kib;
    if (this.#file === null) {
      this.#file = await this.#store.create();
      this.#store.budget.count(1);
    }
    let to = this.#written;
    for (const block of blocks) {
      for (let at = 0; at < block.length && !this.#released; ) {
        const { bytesWritten } = await this.#file.write(block, at, block.length - at, to);
        at += bytesWritten;
        to += bytesWritten;
      }
    }
  }

  #wrote(bytes: number): void {
    this.#writing = null;
    this.#store.wrote(this.#written === 0, bytes);
    this.#written += bytes;
    if (this.#released) return this.#close();
    this.#hold(-bytes);
    if (!this.#full) return;
    this.#full = false;
    this.#spill();
    this.#source.onRoom();
  }

  #failed(error: GatewayError): void {
    this.#writing = null;
    if (this.#released) return this.#close();
    this.#error = error;
    this.#source.onStorageFailed(error);
  }

  /** Closes the file, after what is being done with it. */
  #close(): void {
    const file = this.#file;
    if (this.#writing !== null) return;
    this.#file = null;
    const kib = this.#reservedKib;
    this.#reservedKib = 0;
    const { budget } = this.#store;
    if (file === null) return budget.release(kib);
    const free = () => {
      budget.release(kib);
      budget.count(-1);
    };
    // It has no name, and nobody reads it: what could not be written is no loss.
    file.close().then(free, free);
  }
}

const gone = (): GatewayError => new GatewayError("internal", "the body is not held any more");

/** Bytes of a file that are read and written in one go. */
const PIECE_BYTES = 65_536;

/** Sends a body from its file, as fast as it is taken. */
export class BodySender {
  readonly #body: WholeBody;
  readonly #write: (piece: Buffer) => boolean;
  readonly #piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #at = 0;
  #running = false;
  #stopped = false;

  /** `write` is done with a piece when it returns, and returns false if it wants no more before `resume`. */
  constructor(body: WholeBody, write: (piece: Buffer) => boolean) {
    this.#body = body;
    this.#write = write;
  }

  /** Goes on until the writer is blocked. Resolves with whether the whole body was handed over. */
  async run(): Promise<boolean> {
    if (this.#running || this.#stopped) return false;
    this.#running = true;
    while (this.#at < this.#body.length) {
      const bytes = await this.#body.read(this.#piece, this.#at);
      if (this.#stopped) return false;
      this.#at += bytes;
      if (!this.#write(this.#piece.subarray(0, bytes)) && this.#at < this.#body.length) {
        this.#running = false;
        return false;
      }
    }
    return true;
  }

  stop(): void {
    this.#stopped = true;
  }
}
