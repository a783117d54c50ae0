/**
 * That a directory belongs to one process at a time: a lock of the operating system's on a file in it, which ends with
 * the process however that ends. Node offers no file locks of its own; SQLite holds one for as long as an exclusive
 * transaction is open.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StoreUnavailable } from "../store.ts";
import { sqliteFailure } from "./sqlite-failure.ts";

/** One that is just ending has let go by then. */
const PATIENCE_MS = 500;
const SQLITE_BUSY = 5;

export class DirectoryLock implements Disposable {
  readonly #db: DatabaseSync;

  /** @throws {StoreUnavailable} another process has it, or the directory cannot be written. */
  constructor(directory: string) {
    const path = join(directory, "lock");
    const owner = join(directory, "owner");
    try {
      this.#db = new DatabaseSync(path, { timeout: PATIENCE_MS });
      try {
        this.#db.exec("BEGIN EXCLUSIVE");
      } catch (error) {
        this.#db.close();
        throw error;
      }
      writeFileSync(owner, `${process.pid}\n`, { mode: 0o600 });
    } catch (error) {
      if (((error as { errcode?: number }).errcode ?? 0) !== SQLITE_BUSY) throw sqliteFailure(error, path);
      throw new StoreUnavailable(
        `another gateway${ownerOf(owner)} uses ${directory}: end it, or give this one a \`prefix\` of its own`,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

function ownerOf(file: string): string {
  try {
    const text = readFileSync(file, "latin1").trim();
    return /^\d{1,10}$/.test(text) ? ` (process ${text})` : "";
  } catch {
    return "";
  }
}
