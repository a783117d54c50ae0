/** What may be done to the shape of the database that the settings name, while no gateway uses it. */
import { dirname } from "node:path";
import type { Settings } from "../settings.ts";
import type { MigrationStatus, Step } from "./migrations.ts";
import { postgresOptions, sqlitePath } from "./open-store.ts";

export interface Database {
  readonly engine: "sqlite" | "postgres";
  /** For messages. */
  readonly place: string;
  /** Does what is pending. @throws {StoreUnavailable} */
  up(): Promise<readonly Step[]>;
  /** Changes nothing. @throws {StoreUnavailable} */
  status(): Promise<MigrationStatus>;
  /** Undoes the last step; null if there is none. @throws {StoreUnavailable} */
  down(): Promise<Step | null>;
}

/** @throws {StoreUnavailable} */
export async function databaseOf(settings: Settings): Promise<Database> {
  return settings.database === "postgres" ? postgres(settings) : sqlite(sqlitePath(settings));
}

async function sqlite(path: string): Promise<Database> {
  const { DirectoryLock } = await import("./sqlite/directory-lock.ts");
  const { SqliteFile } = await import("./sqlite/sqlite-file.ts");
  const { migrateSqlite, sqliteStatus, undoSqlite } = await import("./sqlite/sqlite-migrations.ts");
  const alone = async <T>(work: (file: InstanceType<typeof SqliteFile>) => T): Promise<T> => {
    using file = new SqliteFile({ path });
    using _lock = new DirectoryLock(dirname(path));
    return work(file);
  };
  return {
    engine: "sqlite",
    place: path,
    up: () => alone((file) => migrateSqlite(file)),
    status: async () => sqliteStatus(path),
    down: () => alone((file) => undoSqlite(file)),
  };
}

async function postgres(settings: Settings): Promise<Database> {
  const { placeOf } = await import("./postgres/connections.ts");
  const { migratePostgres, postgresStatus, undoPostgres } = await import("./postgres/postgres-migrations.ts");
  const options = await postgresOptions(settings);
  return {
    engine: "postgres",
    place: placeOf(options),
    up: () => migratePostgres(options),
    status: () => postgresStatus(options),
    down: () => undoPostgres(options),
  };
}
