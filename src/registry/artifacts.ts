/**
 * Bytes on disk by their digest. A file is complete and synced before anybody learns of it, and what is read
 * back is hashed again: bytes that were swapped on the way are refused.
 */

import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "./package.ts";

const TEMPORARY = ".tmp-";
const ARTIFACT = /^[0-9a-f]{64}$/;

/** Bytes whose digest is not that under which they were kept, or that are gone. */
export class DamagedArtifact extends Error {
  override name = "DamagedArtifact";
}

/** Bytes as they were when somebody looked. */
export interface Mark {
  readonly digest: string;
  /** Another one each time that they are written, where others write too. */
  readonly stamp: string;
  /** Milliseconds since the epoch. */
  readonly writtenAt: number;
}

/** Where bytes are kept. */
export interface Bytes {
  /** Keeps bytes and returns their digest, once they are durable. */
  write(bytes: Uint8Array): Promise<string>;
  /** @throws {DamagedArtifact} */
  read(digest: string): Promise<Uint8Array>;
  /** Of these digests, or of all that there are if null. */
  marks(digests: readonly string[] | null): Promise<Mark[]>;
  /** Removes them, those aside that were written anew since they were marked. @returns how many. */
  drop(marks: readonly Mark[]): Promise<number>;
  /** Whether others write here too, so that what no row names may be an upload of theirs. */
  readonly isShared: boolean;
  /** Lets go of copies that nobody needs. */
  uncache(isNeeded: (digest: string) => boolean): Promise<void>;
  close(): Promise<void>;
}

export class Artifacts implements Bytes {
  readonly isShared = false;
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Opens the store, making its directory and removing what an interrupted write left behind. */
  static async open(dir: string): Promise<Artifacts> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(dir)) {
      if (name.startsWith(TEMPORARY)) await rm(join(dir, name), { force: true });
    }
    return new Artifacts(dir);
  }

  async write(bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    await writeSynced(this.#dir, hex(digest), bytes);
    return digest;
  }

  async read(digest: string): Promise<Uint8Array> {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(join(this.#dir, hex(digest)));
    } catch (error) {
      throw new DamagedArtifact(`artifact ${digest} cannot be read`, { cause: error });
    }
    if (digestOf(bytes) !== digest)
      throw new DamagedArtifact(`artifact ${digest} holds other bytes than were admitted; it is not loaded`);
    return bytes;
  }

  /** Bytes that it takes; 0 if it is not there. */
  async size(digest: string): Promise<number> {
    return stat(join(this.#dir, hex(digest))).then(
      ({ size }) => size,
      () => 0,
    );
  }

  async marks(digests: readonly string[] | null): Promise<Mark[]> {
    const names = digests === null ? await readdir(this.#dir) : digests.map(hex);
    const marks: Mark[] = [];
    for (const name of names.filter((one) => ARTIFACT.test(one))) {
      const found = await stat(join(this.#dir, name)).catch(() => null);
      if (found !== null) marks.push({ digest: `sha256:${name}`, stamp: "", writtenAt: found.mtimeMs });
    }
    return marks;
  }

  async drop(marks: readonly Mark[]): Promise<number> {
    for (const { digest } of marks) await rm(join(this.#dir, hex(digest)), { force: true });
    return marks.length;
  }

  async uncache(): Promise<void> {}
  async close(): Promise<void> {}
}

function hex(digest: string): string {
  const found = /^sha256:([0-9a-f]{64})$/.exec(digest);
  if (!found) throw new TypeError(`not a sha256 digest: ${digest.slice(0, 80)}`);
  return found[1] as string;
}

/** Writes a file so that after a crash there is the old one or the new one, whole. */
export async function writeSynced(dir: string, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(dir, TEMPORARY + randomUUID());
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(dir, name));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const directory = await open(dir, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
