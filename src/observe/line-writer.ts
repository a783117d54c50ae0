/**
 * Writes lines to a file descriptor without ever waiting for whoever reads it: the main thread is the only
 * parent of processes and the only way to the Admin API, and a pipe that nobody empties must not stop it.
 *
 * Lines go out in order, one write at a time on the thread pool. What a stuck reader leaves behind is bounded;
 * lines beyond that are dropped, and their number is the next line.
 */
import { write, writeSync } from "node:fs";
import { inertJson } from "../printable.ts";

const MAX_WAITING_BYTES = 8 << 20;
/** A reader's pipe may be non-blocking: then a full one is asked again. */
const RETRY_MS = 20;

export class LineWriter {
  readonly #fd: number;
  readonly #maxBytes: number;
  #waiting: string[] = [];
  #bytes = 0;
  #dropped = 0;
  #underWay: Buffer | null = null;
  #broken = false;
  #idle: (() => void)[] = [];

  constructor(fd: number, maxBytes = MAX_WAITING_BYTES) {
    this.#fd = fd;
    this.#maxBytes = maxBytes;
    // Only a process that ends without flush() has anything left here.
    process.once("exit", () => this.#writeRest());
  }

  /** Takes one or several whole lines of JSON. What is in them may be a stranger's, who would write to a terminal. */
  write(said: string): void {
    if (this.#broken) return;
    const lines = inertJson(said);
    if (this.#bytes + lines.length > this.#maxBytes) {
      this.#dropped++;
      return;
    }
    this.#bytes += lines.length;
    this.#waiting.push(lines);
    if (this.#underWay === null) this.#next();
  }

  /** Resolves when everything is with the system (true), or is not in time (false). */
  async flush(timeoutMs: number): Promise<boolean> {
    if (this.#underWay === null) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(false), timeoutMs);
    this.#idle.push(() => resolve(true));
    const done = await promise;
    clearTimeout(timer);
    return done;
  }

  #next(): void {
    const text = this.#take();
    if (text !== "") {
      this.#write(Buffer.from(text));
      return;
    }
    this.#underWay = null;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #take(): string {
    let text = this.#waiting.join("");
    this.#waiting = [];
    this.#bytes = 0;
    if (this.#dropped > 0) {
      const time = new Date().toISOString();
      const msg = "log lines were dropped: nobody read them in time";
      text += `${JSON.stringify({ level: "warn", time, dropped: this.#dropped, msg })}\n`;
      this.#dropped = 0;
    }
    return text;
  }

  #write(bytes: Buffer): void {
    this.#underWay = bytes;
    write(this.#fd, bytes, (error, written) => {
      if (error === null) {
        if (written < bytes.length) this.#write(bytes.subarray(written));
        else this.#next();
      } else if (error.code === "EAGAIN") setTimeout(() => this.#write(bytes), RETRY_MS);
      else {
        // Nobody is there any more, or the disk is gone: a gateway without a log still serves.
        this.#broken = true;
        this.#waiting = [];
        this.#dropped = 0;
        this.#next();
      }
    });
  }

  #writeRest(): void {
    try {
      let rest = Buffer.from(this.#broken ? "" : this.#take());
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#fd, rest));
    } catch {
      // As much as could be written is.
    }
  }
}
