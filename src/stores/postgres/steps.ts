/**
 * The shape of the PostgreSQL database, step by step; names without a schema are in the one of `pg_schema`. Steps that
 * were released are never changed: add another. Nothing in them is younger than PostgreSQL 12.
 */
import type { Step } from "../migrations.ts";

export const POSTGRES_STEPS: readonly Step[] = [
  {
    number: 1,
    name: "rows and revisions",
    up: [
      // Ids are compared by their bytes, whatever the database's language.
      `CREATE TABLE entity (
         kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, workspace text NOT NULL, body text NOT NULL,
         revision bigint NOT NULL,
         PRIMARY KEY (kind, id)
       )`,
      "CREATE INDEX entity_revision ON entity (revision)",
      // Rows that are no more, the oldest of which are forgotten.
      `CREATE TABLE removed (
         kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, revision bigint NOT NULL,
         PRIMARY KEY (kind, id)
       )`,
      "CREATE INDEX removed_revision ON removed (revision)",
      // One row. Removals up to `forgotten` may be missing; `writer` names the store that wrote last.
      `CREATE TABLE state (
         one integer PRIMARY KEY CHECK (one = 1), revision bigint NOT NULL, forgotten bigint NOT NULL,
         writer text
       )`,
      "INSERT INTO state VALUES (1, 0, 0, NULL)",
    ],
    down: ["DROP TABLE entity", "DROP TABLE removed", "DROP TABLE state"],
  },
  {
    number: 2,
    name: "audit log",
    up: [
      `CREATE TABLE audit (
         number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at bigint NOT NULL,
         workspace text COLLATE "C" NOT NULL, body text NOT NULL
       )`,
      "CREATE INDEX audit_workspace ON audit (workspace, number)",
      "CREATE INDEX audit_at ON audit (at)",
    ],
    down: ["DROP TABLE audit"],
  },
];
