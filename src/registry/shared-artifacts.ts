/**
 * Bytes that several gateways share: a database has them, and the disk of each gateway has copies of what it has used.
 * Wherever they come from they are hashed, and a copy that is damaged is made anew.
 */
import type { Artifacts, Bytes, Mark } from "./artifacts.ts";
import { DamagedArtifact } from "./artifacts.ts";
import { digestOf } from "./package.ts";

/** The database's side. */
export interface ByteTable {
  put(digest: string, bytes: Uint8Array): Promise<void>;
  /** Null if it has none. */
  get(digest: string): Promise<Uint8Array | null>;
  marks(digests: readonly string[] | null): Promise<Mark[]>;
  drop(marks: readonly Mark[]): Promise<number>;
  close(): Promise<void>;
}

export class SharedArtifacts implements Bytes {
  readonly isShared = true;
  readonly #table: ByteTable;
  readonly #copies: Artifacts;

  constructor(table: ByteTable, copies: Artifacts) {
    this.#table = table;
    this.#copies = copies;
  }

  async write(bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    await this.#table.put(digest, bytes);
    return this.#copies.write(bytes);
  }

  async read(digest: string): Promise<Uint8Array> {
    try {
      return await this.#copies.read(digest);
    } catch (error) {
      if (!(error instanceof DamagedArtifact)) throw error;
    }
    const bytes = await this.#table.get(digest);
    if (bytes === null) throw new DamagedArtifact(`artifact ${digest} is not in the database`);
    if (digestOf(bytes) !== digest)
      throw new DamagedArtifact(
        `artifact ${digest} holds other bytes in the database than were admitted; it is not loaded`,
      );
    await this.#copies.write(bytes);
    return bytes;
  }

  marks(digests: readonly string[] | null): Promise<Mark[]> {
    return this.#table.marks(digests);
  }

  async drop(marks: readonly Mark[]): Promise<number> {
    const dropped = await this.#table.drop(marks);
    await this.#copies.drop(marks);
    return dropped;
  }

  async uncache(isNeeded: (digest: string) => boolean): Promise<void> {
    const copies = await this.#copies.marks(null);
    await this.#copies.drop(copies.filter(({ digest }) => !isNeeded(digest)));
  }

  close(): Promise<void> {
    return this.#table.close();
  }
}
