/** Brings a SQLite file to the shape that this program knows, or back. */
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { type AppliedStep, checksum, compare, type MigrationStatus, type Step } from "../migrations.ts";
import { sqliteFailure } from "./sqlite-failure.ts";
import type { SqliteFile } from "./sqlite-file.ts";
import { SQLITE_STEPS } from "./steps.ts";

const TABLE = `CREATE TABLE IF NOT EXISTS schema_migrations (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
) STRICT`;

/**
 * Does what is pending, each step a transaction.
 * @returns the steps that were done.
 * @throws {StoreUnavailable}
 */
export function migrateSqlite(file: SqliteFile, steps: readonly Step[] = SQLITE_STEPS): readonly Step[] {
  const done: Step[] = [];
  for (;;) {
    const step = file.exclusively((db) => {
      db.exec(TABLE);
      const [next] = compare(steps, appliedIn(db), file.path).pending;
      if (next === undefined) return null;
      for (const sql of next.up) db.exec(sql);
      db.prepare("INSERT INTO schema_migrations VALUES (?, ?, ?, ?)").run(
        next.number,
        next.name,
        checksum(next),
        Date.now(),
      );
      return next;
    });
    if (step === null) return done;
    done.push(step);
  }
}

/**
 * Undoes the last step, with what it held.
 * @returns the step; null if none is left.
 */
export function undoSqlite(file: SqliteFile, steps: readonly Step[] = SQLITE_STEPS): Step | null {
  return file.exclusively((db) => {
    db.exec(TABLE);
    const { applied } = compare(steps, appliedIn(db), file.path);
    const step = steps[applied.length - 1];
    if (step === undefined) return null;
    for (const sql of step.down) db.exec(sql);
    db.prepare("DELETE FROM schema_migrations WHERE number = ?").run(step.number);
    return step;
  });
}

/** Reads what was done, and changes nothing: a file that is not there is not made. */
export function sqliteStatus(path: string, steps: readonly Step[] = SQLITE_STEPS): MigrationStatus {
  if (!existsSync(path)) return compare(steps, [], path);
  try {
    const db = new DatabaseSync(path, { readOnly: true, timeout: 1000 });
    try {
      const known = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'").get();
      return compare(steps, known === undefined ? [] : appliedIn(db), path);
    } finally {
      db.close();
    }
  } catch (error) {
    throw sqliteFailure(error, path);
  }
}

function appliedIn(db: DatabaseSync): AppliedStep[] {
  return db
    .prepare(
      'SELECT number, name, checksum, applied_at AS "appliedAt" FROM schema_migrations ORDER BY number',
    )
    .all() as unknown as AppliedStep[];
}
