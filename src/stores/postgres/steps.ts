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
  {
    number: 3,
    name: "registry of plugin packages",
    up: [
      // The same shape as the tables of step 1, with revisions of their own: what changes here concerns other readers.
      `CREATE TABLE registry_entity (
         kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, workspace text NOT NULL, body text NOT NULL,
         revision bigint NOT NULL,
         PRIMARY KEY (kind, id)
       )`,
      "CREATE INDEX registry_entity_revision ON registry_entity (revision)",
      `CREATE TABLE registry_removed (
         kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, revision bigint NOT NULL,
         PRIMARY KEY (kind, id)
       )`,
      "CREATE INDEX registry_removed_revision ON registry_removed (revision)",
      `CREATE TABLE registry_state (
         one integer PRIMARY KEY CHECK (one = 1), revision bigint NOT NULL, forgotten bigint NOT NULL,
         writer text
       )`,
      "INSERT INTO registry_state VALUES (1, 0, 0, NULL)",
      // Bytes of packages by their digest. `stamp` is another one each time that they are written.
      `CREATE TABLE registry_artifact (
         digest text COLLATE "C" PRIMARY KEY, bytes bytea NOT NULL, stamp text NOT NULL, written_at bigint NOT NULL
       )`,
    ],
    down: [
      "DROP TABLE registry_artifact",
      "DROP TABLE registry_entity",
      "DROP TABLE registry_removed",
      "DROP TABLE registry_state",
    ],
  },
];
