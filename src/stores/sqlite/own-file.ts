/**
 * A SQLite file that one thread alone has, and whose loss the gateway survives: what cannot be read is put aside, and an
 * empty file takes its place. What is deleted is overwritten.
 */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isDamage } from "./sqlite-failure.ts";

const PAGE_BYTES = 4096;
const BUSY_MS = 1000;
/** To which the write-ahead log is cut back. */
const MAX_LOG_BYTES = 64 << 20;

export interface OwnFileOptions {
  /** The file; its directory is made for this user alone. */
  readonly path: string;
  /** Most that the file takes. */
  readonly maxBytes: number;
  /** Told when the file could not be read: it is put aside, and an empty one takes its place. */
  readonly onDamaged: (aside: string, reason: string) => void;
}

/**
 * @param schema makes what is not there yet.
 * @throws {Error} if the file can neither be opened nor be put aside.
 */
export function openOwnFile({ path, maxBytes, onDamaged }: OwnFileOptions, schema: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    return open(path, maxBytes, schema);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const aside = `${path}.damaged-${Date.now()}`;
    renameSync(path, aside);
    for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
    onDamaged(aside, error instanceof Error ? error.message : String(error));
    return open(path, maxBytes, schema);
  }
}

function open(path: string, maxBytes: number, schema: string): DatabaseSync {
  const db = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: BUSY_MS });
  try {
    db.exec(
      `PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;`,
    );
    db.exec(
      `PRAGMA journal_size_limit = ${MAX_LOG_BYTES}; PRAGMA max_page_count = ${Math.ceil(maxBytes / PAGE_BYTES)};`,
    );
    db.exec(schema);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
