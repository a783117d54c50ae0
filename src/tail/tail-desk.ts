/**
 * Who reads along what plugins do, on the main thread: hands each reader what it asked for, and tells the data threads
 * what is watched at all.
 *
 * Nobody is waited for. A reader that is slower than its plugins loses requests, and is told how many.
 */
import { Readable } from "node:stream";
import { filtered, type TailEvent, type TailFilter, type TailWatch } from "./events.ts";

/** Readers of the gateway, and of one workspace. */
export const MAX_READERS = 32;
export const MAX_READERS_PER_WORKSPACE = 8;
/** Bytes that may wait for a reader. */
const BUFFER_BYTES = 256 * 1024;
/** An empty line so often: whoever lies between sees that the connection lives, and the gateway that nobody reads. */
const BEAT_MS = 15_000;
/** After so long a reader has to ask again, and is asked again who it is. */
const LONGEST_MS = 600_000;

export interface TailDeskOptions {
  /** Tells the threads what is watched; resolves once all of them know. */
  watch(watches: readonly TailWatch[]): Promise<void>;
  readonly longestMs?: number;
  readonly beatMs?: number;
}

export class TailDesk {
  readonly #options: TailDeskOptions;
  readonly #readers = new Set<Reader>();

  constructor(options: TailDeskOptions) {
    this.#options = options;
  }

  /**
   * Lines of JSON for what happens from now on; the first one says that everybody watches.
   * @returns why not, if there are too many readers.
   */
  async open(filter: TailFilter): Promise<Readable | { readonly full: string }> {
    const own = [...this.#readers].filter((reader) => reader.wanted.workspace === filter.workspace);
    if (own.length >= MAX_READERS_PER_WORKSPACE || this.#readers.size >= MAX_READERS)
      return { full: "too many read along already; end another tail first" };
    const { longestMs = LONGEST_MS, beatMs = BEAT_MS } = this.#options;
    const reader = new Reader(filter, { longestMs, beatMs, onClose: () => this.#leave(reader) });
    this.#readers.add(reader);
    await this.#watch();
    const { workspace, plugin } = filter;
    reader.begin({ kind: "watching", workspace, plugin });
    return reader;
  }

  /** What a thread has told. */
  publish(events: readonly TailEvent[]): void {
    for (const reader of this.#readers) for (const event of events) reader.tell(event);
  }

  /** A workspace is no more: nobody reads along there. */
  forget(workspace: string): void {
    for (const reader of this.#readers) if (reader.wanted.workspace === workspace) reader.finish();
  }

  /** Ends all streams. */
  close(): void {
    for (const reader of this.#readers) reader.finish();
  }

  #leave(reader: Reader): void {
    if (this.#readers.delete(reader)) void this.#watch();
  }

  #watch(): Promise<void> {
    const watches = new Map<string, TailWatch>();
    for (const { wanted } of this.#readers) {
      const { workspace, plugin } = wanted;
      watches.set(`${workspace}/${plugin ?? ""}`, { workspace, plugin });
    }
    return this.#options.watch([...watches.values()]);
  }
}

interface ReaderOptions {
  readonly longestMs: number;
  readonly beatMs: number;
  onClose(): void;
}

class Reader extends Readable {
  readonly wanted: TailFilter;
  #begun = false;
  /** Whether what waits has reached the bound. */
  #slow = false;
  #dropped = 0;

  constructor(wanted: TailFilter, { longestMs, beatMs, onClose }: ReaderOptions) {
    super({ highWaterMark: BUFFER_BYTES });
    this.wanted = wanted;
    const beat = setInterval(() => this.#write("\n"), beatMs);
    const end = setTimeout(() => this.finish(), longestMs);
    beat.unref();
    end.unref();
    this.once("close", () => {
      clearInterval(beat);
      clearTimeout(end);
      onClose();
    });
  }

  begin(first: object): void {
    this.#begun = true;
    this.#write(`${JSON.stringify(first)}\n`);
  }

  tell(event: TailEvent): void {
    if (!this.#begun || this.readableEnded || this.destroyed) return;
    const told = filtered(event, this.wanted);
    if (told === null) return;
    if (this.#slow) this.#dropped += told.kind === "request" ? 1 : told.requests;
    else this.#write(`${JSON.stringify(told)}\n`);
  }

  finish(): void {
    if (!this.destroyed && !this.readableEnded) this.push(null);
  }

  override _read(): void {
    if (!this.#slow) return;
    this.#slow = false;
    if (this.#dropped === 0) return;
    const dropped: TailEvent = {
      kind: "dropped",
      workspace: this.wanted.workspace,
      requests: this.#dropped,
    };
    this.#dropped = 0;
    this.#write(`${JSON.stringify(dropped)}\n`);
  }

  #write(text: string): void {
    if (!this.#slow) this.#slow = !this.push(text);
  }
}
