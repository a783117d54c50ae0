/**
 * Where bodies are that plugins want whole: a small one in memory, a larger one in a file that has no name any more,
 * so that ten thousand slow uploads cost disk and not memory. One store for each data thread; the budget of bytes on
 * disk is the whole gateway's.
 *
 * In memory are then: what waits to be written, some 64 KiB for each body; bodies that are small, and bodies of any
 * size that plugins have made and a peer has not taken yet, up to `memoryBytes` together, beyond which either go to
 * disk too; and bodies that hooks look at just now, up to `memoryBytes` together (one may be larger), while others
 * wait for their turn.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rm, unlink } from "node:fs/promises";
import { join } from "node:path";
import { GatewayError } from "../errors.ts";

/** Bytes of a body on disk that are gathered for one write, and of any body where memory is short. */
const WRITE_BYTES = 65_536;
export const KIB = 1024;

/** Makes the directory of a gateway's held bodies, without what a gateway that was killed has left there. */
export async function openSpillDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
}

/**
 * Bytes and bodies on disk over all data threads. Each has a column of either that nobody else writes: what a thread held that died is
 * given back with its column. Threads that reserve the last bytes at the same time may both be refused; together
 * they never have more than there is.
 */
export class SpillBudget {
  /** KiB of each thread, then bodies of each. */
  readonly #columns: Int32Array;
  readonly #threads: number;
  readonly #column: number;
  readonly #maxKib: number;

  constructor(memory: SharedArrayBuffer, column: number, maxBytes: number) {
    this.#columns = new Int32Array(memory);
    this.#threads = this.#columns.length / 2;
    this.#column = column;
    this.#maxKib = Math.floor(maxBytes / KIB);
  }

  static memory(columns: number): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * columns * Int32Array.BYTES_PER_ELEMENT);
  }

  /** A thread has ended, and its files with it. */
  static clear(memory: SharedArrayBuffer, column: number): void {
    const columns = new Int32Array(memory);
    Atomics.store(columns, column, 0);
    Atomics.store(columns, columns.length / 2 + column, 0);
  }

  /** What is on disk now, over all threads. */
  static spilled(memory: SharedArrayBuffer): { bodies: number; bytes: number } {
    const columns = new Int32Array(memory);
    const threads = columns.length / 2;
    const sum = { bodies: 0, bytes: 0 };
    for (let i = 0; i < threads; i++) {
      sum.bytes += Atomics.load(columns, i) * KIB;
      sum.bodies += Atomics.load(columns, threads + i);
    }
    return sum;
  }

  /** A body is on disk from now on, or (-1) is there no more. */
  count(bodies: 1 | -1): void {
    Atomics.add(this.#columns, this.#threads + this.#column, bodies);
  }

  /** Takes that many KiB unless they would be too many. */
  reserve(kib: number): boolean {
    Atomics.add(this.#columns, this.#column, kib);
    let all = 0;
    for (let i = 0; i < this.#threads; i++) all += Atomics.load(this.#columns, i);
    if (all <= this.#maxKib) return true;
    this.release(kib);
    return false;
  }

  release(kib: number): void {
    Atomics.sub(this.#columns, this.#column, kib);
  }
}

export interface BodyStoreOptions {
  readonly directory: string;
  /** Bytes from which on a body goes to disk. */
  readonly bufferBytes: number;
  /** Bytes in memory of small bodies and of those that plugins made; and of bodies that hooks look at. */
  readonly memoryBytes: number;
  readonly budget: SpillBudget;
  /** Hears of each write to disk, and whether it was the first of a body (1) or not (0). */
  onSpilled?(bodies: 0 | 1, bytes: number): void;
}

interface Turn {
  readonly bytes: number;
  readonly take: () => void;
}

export class BodyStore {
  readonly budget: SpillBudget;
  /** Bytes in memory of bodies that are small, that plugins made, or that wait to be written. */
  held = 0;
  /** Bytes in memory that were read back. */
  #loaded = 0;
  readonly #turns: Turn[] = [];
  readonly #options: BodyStoreOptions;

  constructor(options: BodyStoreOptions) {
    this.#options = options;
    this.budget = options.budget;
  }

  /** Bytes that a body may have in memory now. `spilled`: it has others on disk. */
  bufferBytes(spilled: boolean): number {
    const { bufferBytes, memoryBytes } = this.#options;
    return spilled || this.held > memoryBytes ? Math.min(bufferBytes, WRITE_BYTES) : bufferBytes;
  }

  /** Whether a body that is in memory may wait there for whoever takes it. */
  hasRoom(bytes: number): boolean {
    return this.held + bytes <= this.#options.memoryBytes;
  }

  /** Counts a write to disk. */
  wrote(first: boolean, bytes: number): void {
    this.#options.onSpilled?.(first ? 1 : 0, bytes);
  }

  /** A file that is gone when it is closed, or when the process ends. */
  async create(): Promise<FileHandle> {
    const path = join(this.#options.directory, randomBytes(12).toString("hex"));
    const file = await open(path, "wx+", 0o600);
    try {
      await unlink(path);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Waits until there is memory for a body of that size; whoever got it calls `leave`. First come, first served. */
  async enter(bytes: number): Promise<void> {
    if (this.#turns.length > 0 || !this.#fits(bytes))
      await new Promise<void>((take) => this.#turns.push({ bytes, take }));
    else this.#loaded += bytes;
  }

  leave(bytes: number): void {
    this.#loaded -= bytes;
    for (let next = this.#turns[0]; next !== undefined && this.#fits(next.bytes); next = this.#turns[0]) {
      this.#turns.shift();
      this.#loaded += next.bytes;
      next.take();
    }
  }

  #fits(bytes: number): boolean {
    return this.#loaded === 0 || this.#loaded + bytes <= this.#options.memoryBytes;
  }
}

/** What cannot be kept for lack of disk, or because the disk fails. */
export function storageError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const { message } = error as Error;
  return new GatewayError("body_storage", `a body that is held whole for plugins: ${message}`, {
    cause: error,
  });
}
