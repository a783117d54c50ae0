/** Bytes as rows need them: they are there before a row names them, and go when none does any more. */
import type { Bytes, Mark } from "./artifacts.ts";

/** After which bytes without a row are nobody's upload any more. */
export const ORPHAN_MS = 3_600_000;

export class KeptBytes {
  readonly #bytes: Bytes;
  readonly #isNeeded: (digest: string) => boolean;

  /** @param isNeeded whether a row names them. */
  constructor(bytes: Bytes, isNeeded: (digest: string) => boolean) {
    this.#bytes = bytes;
    this.#isNeeded = isNeeded;
  }

  /** Whether others write here too. */
  get areShared(): boolean {
    return this.#bytes.isShared;
  }

  /** Keeps bytes and returns their digest, once they are durable. */
  write(bytes: Uint8Array): Promise<string> {
    return this.#bytes.write(bytes);
  }

  /** @throws {DamagedArtifact} */
  read(digest: string): Promise<Uint8Array> {
    return this.#bytes.read(digest);
  }

  /**
   * What is left to do once the rows that named them are gone. They are marked before: another gateway that publishes the
   * same bytes meanwhile writes them again before its row, and then they stay.
   * @returns how many were removed.
   */
  async dropAfter(digests: readonly string[]): Promise<() => Promise<number>> {
    const marks = await this.#bytes.marks(digests);
    return () => this.#drop(marks);
  }

  /** Removes what a process has left that ended before its row was written. @returns how many. */
  async sweep(): Promise<number> {
    const before = Date.now() - ORPHAN_MS;
    const marks = await this.#bytes.marks(null);
    return this.#drop(marks.filter(({ writtenAt }) => writtenAt < before));
  }

  /** The same at once, as far as nobody else can be about to name them. */
  async sweepNow(): Promise<number> {
    return this.#bytes.isShared ? this.sweep() : this.#drop(await this.#bytes.marks(null));
  }

  /** Another gateway has removed packages. */
  uncache(): Promise<void> {
    return this.#bytes.uncache(this.#isNeeded);
  }

  close(): Promise<void> {
    return this.#bytes.close();
  }

  #drop(marks: readonly Mark[]): Promise<number> {
    return this.#bytes.drop(marks.filter(({ digest }) => !this.#isNeeded(digest)));
  }
}
