/** Both databases go up step by step with data in them, and are refused when they are not what they seem. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, it } from "node:test";
import { MigrationError, type MigrationStatus, type Step } from "../../src/stores/migrations.ts";
import {
  migratePostgres,
  postgresStatus,
  requireMigrated,
  undoPostgres,
} from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { POSTGRES_STEPS } from "../../src/stores/postgres/steps.ts";
import { SqliteFile } from "../../src/stores/sqlite/sqlite-file.ts";
import { migrateSqlite, sqliteStatus, undoSqlite } from "../../src/stores/sqlite/sqlite-migrations.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { SQLITE_STEPS } from "../../src/stores/sqlite/steps.ts";
import type { Store } from "../../src/stores/store.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { put, row } from "./contract.ts";

/** An empty database, and what the suite does with it. */
interface Empty extends AsyncDisposable {
  up(steps?: readonly Step[]): Promise<readonly Step[]>;
  down(): Promise<Step | null>;
  status(steps?: readonly Step[]): Promise<MigrationStatus>;
  query(sql: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
  open(): Promise<Store>;
}

/** Data in the shape that a step makes, and what a store of the newest shape finds of them. */
interface Sample {
  readonly step: number;
  readonly insert: string;
  readonly check: (store: Store, query: Empty["query"]) => Promise<void>;
}

const SAMPLES: readonly Sample[] = [
  {
    step: 1,
    insert: `INSERT INTO entity (kind, id, workspace, body, revision)
               VALUES ('services', 'a', 'w', '{"name":"a","n":[1,null]}', 6), ('services', 'b', 'w', '{}', 3);
             INSERT INTO removed (kind, id, revision) VALUES ('services', 'c', 7);
             UPDATE state SET revision = 7, forgotten = 2`,
    async check(store) {
      const { revision, rows } = await store.read();
      assert.equal(revision, 7);
      const byId = rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
      assert.deepEqual(byId, [row("a", { name: "a", n: [1, null] }), row("b", {})]);
      assert.equal(await store.changesSince(1), null);
      const since = (await store.changesSince(5))?.edits;
      assert.deepEqual(since, [
        put("a", { name: "a", n: [1, null] }),
        { remove: { kind: "services", id: "c" } },
      ]);
      assert.equal(await store.write(7, [put("d")], []), 8);
    },
  },
  {
    step: 2,
    insert: `INSERT INTO audit (at, workspace, body) VALUES (5, 'w', '{"n":1}'), (6, '', '{"n":2}')`,
    async check(store) {
      assert.deepEqual((await store.audit(null, 10, null)).entries, [
        { at: 6, workspace: "", body: { n: 2 } },
        { at: 5, workspace: "w", body: { n: 1 } },
      ]);
    },
  },
  {
    step: 3,
    insert: `INSERT INTO registry_entity (kind, id, workspace, body, revision) VALUES ('packages', 'p', 'w', '{"n":1}', 4);
             INSERT INTO registry_removed (kind, id, revision) VALUES ('packages', 'q', 5);
             INSERT INTO registry_artifact (digest, bytes, stamp, written_at) VALUES ('d', 'bytes', 's', 1);
             UPDATE registry_state SET revision = 5`,
    async check(_store, query) {
      const rows = await query(
        `SELECT e.id, s.revision, encode(a.bytes, 'escape') AS bytes FROM registry_entity e, registry_state s,
         registry_artifact a`,
      );
      assert.deepEqual(rows, [{ id: "p", revision: "5", bytes: "bytes" }]);
    },
  },
];

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server[Symbol.asyncDispose]());

async function emptySqlite(): Promise<Empty & { readonly path: string }> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-migrations-"));
  const path = join(directory, "configuration.sqlite");
  const withFile = <T>(work: (file: SqliteFile) => T): T => {
    using file = new SqliteFile({ path });
    return work(file);
  };
  return {
    path,
    up: async (steps) => withFile((file) => migrateSqlite(file, steps)),
    down: async () => withFile((file) => undoSqlite(file)),
    status: async (steps) => sqliteStatus(path, steps),
    async query(sql) {
      const db = new DatabaseSync(path);
      try {
        if (sql.startsWith("SELECT")) return db.prepare(sql).all();
        db.exec(sql);
        return [];
      } finally {
        db.close();
      }
    },
    open: () => SqliteStore.open({ path }),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

async function emptyPostgres(): Promise<Empty> {
  const options = server.options();
  return {
    up: (steps) => migratePostgres(options, steps),
    down: () => undoPostgres(options),
    status: (steps) => postgresStatus(options, steps),
    query: (sql) => server.query(sql, options.schema),
    open: async () => new PostgresStore(options),
    async [Symbol.asyncDispose]() {},
  };
}

const ENGINES: readonly (readonly [string, readonly Step[], () => Promise<Empty>])[] = [
  ["sqlite", SQLITE_STEPS, emptySqlite],
  ["postgres", POSTGRES_STEPS, emptyPostgres],
];

for (const [engine, steps, make] of ENGINES)
  describe(`migrations of ${engine}`, () => {
    for (const step of steps)
      it(`take data of step ${step.number} (${step.name}) to the newest shape`, async () => {
        const samples = SAMPLES.filter(({ step: of }) => of <= step.number);
        assert.equal(samples.at(-1)?.step, step.number, "a new step needs data of its own here");
        await using database = await make();
        // Data come in as each step leaves the database, up to this one; the others find them.
        for (const { step: of, insert } of samples) {
          await database.up(steps.slice(0, of));
          await database.query(insert);
        }
        assert.deepEqual(await database.up(), steps.slice(step.number));
        const store = await database.open();
        for (const { check } of samples) await check(store, database.query);
        await store.close();
      });

    it("are numbered from 1 on, without a gap", () => {
      assert.deepEqual(
        steps.map(({ number }) => number),
        steps.map((_, i) => i + 1),
      );
    });

    it("are done once, whoever else does them at the same time", async () => {
      await using database = await make();
      const done = await Promise.all([database.up(), database.up(), database.up(), database.up()]);
      assert.deepEqual(done.flat().length, steps.length);
      assert.deepEqual(await database.up(), []);
      const { applied, pending } = await database.status();
      assert.deepEqual([applied.length, pending.length], [steps.length, 0]);
      assert.deepEqual(
        applied.map(({ name }) => name),
        steps.map(({ name }) => name),
      );
    });

    it("go back step by step, and up again", async () => {
      await using database = await make();
      await database.up();
      for (const step of steps.toReversed()) assert.deepEqual(await database.down(), step);
      assert.equal(await database.down(), null);
      assert.deepEqual((await database.status()).pending, steps);
      assert.deepEqual(await database.up(), steps);
      const store = await database.open();
      assert.equal(await store.write(0, [put("a")], [{ at: 1, workspace: "", body: {} }]), 1);
      await store.close();
    });

    it("leave nothing of a step that fails, and what was before it", async () => {
      await using database = await make();
      const failing: Step = {
        number: steps.length + 1,
        name: "does not work",
        up: ["CREATE TABLE half (a integer)", "INSERT INTO nowhere VALUES (1)"],
        down: [],
      };
      await assert.rejects(database.up([...steps, failing]), { name: "StoreUnavailable" });
      const { applied } = await database.status();
      assert.equal(applied.length, steps.length);
      await assert.rejects(database.query("SELECT * FROM half"), /half/);
    });

    it("refuse a database that a newer version has made, and say so", async () => {
      await using database = await make();
      const newer: Step = {
        number: steps.length + 1,
        name: "of the future",
        up: ["CREATE TABLE later (a integer)"],
        down: [],
      };
      await database.up([...steps, newer]);
      const refused = (error: Error) =>
        error.name === "MigrationError" &&
        /newer version of gatehouse.*of the future.*start that version/s.test(error.message);
      await assert.rejects(database.up(), refused);
      await assert.rejects(database.status(), refused);
      await assert.rejects(database.down(), refused);
      assert.equal((await database.query("SELECT * FROM later")).length, 0);
    });

    it("refuse a database whose steps were others", async () => {
      await using database = await make();
      const other = {
        ...(steps[0] as Step),
        up: [...(steps[0] as Step).up, "CREATE TABLE more (a integer)"],
      };
      await database.up([other]);
      await assert.rejects(database.up(), /made by another build/);
      await assert.rejects(database.status(), MigrationError);
    });

    it("change nothing when they are only asked for", async () => {
      await using database = await make();
      const { applied, pending } = await database.status();
      assert.deepEqual([applied, pending], [[], steps]);
      assert.deepEqual((await database.status()).pending, steps);
    });
  });

it("a SQLite file that is not there is not made by asking for its state", async () => {
  await using database = await emptySqlite();
  await database.status();
  assert.equal(existsSync(database.path), false);
});

it("a SQLite store brings its file to the newest shape, for its user alone", async () => {
  await using database = await emptySqlite();
  await database.up(SQLITE_STEPS.slice(0, 1));
  await database.query((SAMPLES[0] as Sample).insert);
  const store = await database.open();
  assert.equal((await store.read()).revision, 7);
  assert.equal((await stat(database.path)).mode & 0o777, 0o600);
  await store.close();
});

it("SQLite stores that are opened at the same time make their file once", async () => {
  await using database = await emptySqlite();
  const stores = await Promise.all([database.open(), database.open(), database.open(), database.open()]);
  assert.equal(await stores[0]?.write(0, [put("a")], []), 1);
  for (const store of stores) {
    assert.deepEqual((await store.read()).rows, [row("a")]);
    await store.close();
  }
});

it("a PostgreSQL schema of another shape is refused with the command to run", async () => {
  const options = server.options();
  const refused = (missing: RegExp) => (error: Error) =>
    error.name === "MigrationError" &&
    missing.test(error.message) &&
    /run 'gatehouse migrations up'/.test(error.message);
  await assert.rejects(
    requireMigrated(options),
    refused(/needs 3 steps \(rows and revisions, audit log, registry/),
  );
  await migratePostgres(options, POSTGRES_STEPS.slice(0, 1));
  await assert.rejects(requireMigrated(options), refused(/needs 2 steps \(audit log, registry/));
  await migratePostgres(options, POSTGRES_STEPS.slice(0, 2));
  await assert.rejects(requireMigrated(options), refused(/needs 1 step \(registry of plugin packages\)/));
  await migratePostgres(options);
  await requireMigrated(options);
});

it("a PostgreSQL database in another encoding is refused", async () => {
  await server.query("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
  const options = server.options({ database: "latin" });
  await assert.rejects(migratePostgres(options), /encoding is LATIN1; create one with UTF8/);
});

it("a PostgreSQL user who may not make schemas migrates one that is theirs", async () => {
  await server.query("CREATE ROLE modest LOGIN PASSWORD 'p'");
  await server.query("CREATE SCHEMA modest AUTHORIZATION modest");
  const options = server.options({ user: "modest", password: async () => "p", schema: "modest" });
  assert.equal((await migratePostgres(options)).length, POSTGRES_STEPS.length);
  const others = server.options({ user: "modest", password: async () => "p" });
  await assert.rejects(migratePostgres(others), /the user lacks a right there/);
});
