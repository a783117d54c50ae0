/** The shape of the SQLite database, step by step. Steps that were released are never changed: add another. */
import type { Step } from "../migrations.ts";

export const SQLITE_STEPS: readonly Step[] = [
  {
    number: 1,
    name: "rows and revisions",
    up: [
      `CREATE TABLE entity (
         kind TEXT NOT NULL, id TEXT NOT NULL, workspace TEXT NOT NULL, body TEXT NOT NULL, revision INTEGER NOT NULL,
         PRIMARY KEY (kind, id)
       ) STRICT`,
      "CREATE INDEX entity_revision ON entity (revision)",
      // Rows that are no more, the oldest of which are forgotten.
      `CREATE TABLE removed (
         kind TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL,
         PRIMARY KEY (kind, id)
       ) STRICT, WITHOUT ROWID`,
      "CREATE INDEX removed_revision ON removed (revision)",
      // One row. Removals up to `forgotten` may be missing.
      `CREATE TABLE state (
         one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, forgotten INTEGER NOT NULL
       ) STRICT`,
      "INSERT INTO state VALUES (1, 0, 0)",
    ],
    down: ["DROP TABLE entity", "DROP TABLE removed", "DROP TABLE state"],
  },
  {
    number: 2,
    name: "audit log",
    up: [
      `CREATE TABLE audit (
         number INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, workspace TEXT NOT NULL, body TEXT NOT NULL
       ) STRICT`,
      "CREATE INDEX audit_workspace ON audit (workspace, number)",
      "CREATE INDEX audit_at ON audit (at)",
    ],
    down: ["DROP TABLE audit"],
  },
];
