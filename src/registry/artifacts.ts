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

/** After which bytes without a row are nobody's upload any more. */
export const ORPHAN_MS = 3_600_000;

/** Bytes whose digest is not that under which they were kept, or that are gone. */
export class DamagedArtifact extends Error {
  override name = "DamagedArtifact";
}

export class Artifacts {
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

  /** A store that is there already, left as it is. */
  static at(dir: string): Artifacts {
    return new Artifacts(dir);
  }

  /** Keeps bytes and returns their digest, once they are on the disk. */
  async write(bytes: Uint8Array): Promise<string> {
    const digest = digestOf(bytes);
    await writeSynced(this.#dir, hex(digest), bytes);
    return digest;
  }

  /** @throws {DamagedArtifact} */
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

  /** Removes all others. @returns how many there were. */
  async keepOnly(digests: ReadonlySet<string>): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#dir)) {
      if (!ARTIFACT.test(name) || digests.has(`sha256:${name}`)) continue;
      await rm(join(this.#dir, name), { force: true });
      removed++;
    }
    return removed;
  }

  /**
   * Removes what nobody needs and nobody can be about to name: bytes are there before the row that names them, and a
   * process that ended in between has left them for nothing.
   */
  async sweep(isNeeded: (digest: string) => boolean): Promise<void> {
    const before = Date.now() - ORPHAN_MS;
    for (const name of await readdir(this.#dir)) {
      if (!ARTIFACT.test(name) || isNeeded(`sha256:${name}`)) continue;
      const path = join(this.#dir, name);
      const { mtimeMs } = await stat(path);
      if (mtimeMs < before) await rm(path, { force: true });
    }
  }

  async remove(digest: string): Promise<void> {
    await rm(join(this.#dir, hex(digest)), { force: true });
  }
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
