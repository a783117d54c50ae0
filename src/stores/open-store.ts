/** The store that the settings name. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MaterialError, upstreamAuthorities } from "../gateway/tls-material.ts";
import { Artifacts, type Bytes } from "../registry/artifacts.ts";
import { SharedArtifacts } from "../registry/shared-artifacts.ts";
import type { Settings } from "../settings.ts";
import { MemoryStore } from "./memory.ts";
import { OnDemandStore } from "./on-demand-store.ts";
import type { PostgresOptions } from "./postgres/connections.ts";
import { type Store, StoreUnavailable } from "./store.ts";

const MAX_PASSWORD_BYTES = 4096;

/**
 * Opens it. SQLite's file is made, brought to its newest shape, and belongs to this process alone; PostgreSQL must
 * answer, and have the shape that this version needs (or gets it, where `pg_migrations` is `auto`).
 * @throws {StoreUnavailable} with what to do.
 */
export async function openStore(settings: Settings): Promise<Store> {
  switch (settings.database) {
    case "off":
      return new MemoryStore();
    case "sqlite": {
      const { SqliteStore } = await import("./sqlite/sqlite-store.ts");
      return SqliteStore.open({ path: sqlitePath(settings), lock: true });
    }
    case "postgres": {
      const { PostgresStore } = await import("./postgres/postgres-store.ts");
      return new PostgresStore(await migrated(settings));
    }
  }
}

/**
 * The store of what the registry knows: tables of its own where the configuration is in PostgreSQL, so that all gateways
 * on it have one registry, and a file of its own everywhere else.
 * @throws {StoreUnavailable} with what to do.
 */
export async function openRegistryStore(settings: Settings): Promise<Store> {
  if (settings.database === "postgres") {
    const { PostgresStore } = await import("./postgres/postgres-store.ts");
    // It is written to seldom.
    return new PostgresStore({ ...(await migrated(settings)), tables: "registry_", maxConnections: 2 });
  }
  const path = registryPath(settings);
  return new OnDemandStore({
    engine: "sqlite",
    isThere: () => existsSync(path),
    async open() {
      const { SqliteStore } = await import("./sqlite/sqlite-store.ts");
      return SqliteStore.open({ path });
    },
  });
}

/**
 * Where the registry has the bytes of packages: on the disk, or in PostgreSQL with copies on the disk.
 * @throws {StoreUnavailable}
 */
export async function openRegistryBytes(settings: Settings, directory: string): Promise<Bytes> {
  const copies = await Artifacts.open(directory);
  if (settings.database !== "postgres") return copies;
  const { PostgresArtifacts } = await import("./postgres/artifact-table.ts");
  return new SharedArtifacts(new PostgresArtifacts(await postgresOptions(settings)), copies);
}

/** The registry's store to look into; null if there is none yet. @throws {StoreUnavailable} */
export async function viewRegistryStore(
  settings: Pick<Settings, "prefix"> & Partial<Settings>,
): Promise<Store | null> {
  if (settings.database === "postgres") return openRegistryStore(settings as Settings);
  if (!existsSync(registryPath(settings))) return null;
  const { SqliteStore } = await import("./sqlite/sqlite-store.ts");
  return SqliteStore.open({ path: registryPath(settings) });
}

function registryPath({ prefix }: Pick<Settings, "prefix">): string {
  return join(prefix, "registry.db");
}

/** A database with the shape that this version needs. */
async function migrated(settings: Settings): Promise<PostgresOptions> {
  const { migratePostgres, requireMigrated } = await import("./postgres/postgres-migrations.ts");
  const options = await postgresOptions(settings);
  if (settings.pgMigrations === "auto") await migratePostgres(options);
  else await requireMigrated(options);
  return options;
}

export function sqlitePath({ prefix }: Pick<Settings, "prefix">): string {
  return join(prefix, "store", "configuration.sqlite");
}

/** @throws {StoreUnavailable} a file that the settings name cannot be read. */
export async function postgresOptions(settings: Settings): Promise<PostgresOptions> {
  const { pgPassword, pgPasswordFile } = settings;
  const ca = settings.pgSsl && settings.pgSslVerify ? await authorities(settings) : null;
  return {
    host: settings.pgHost,
    port: settings.pgPort,
    user: settings.pgUser,
    password:
      pgPasswordFile === null
        ? async () => pgPassword
        : () => readPassword("pg_password_file", pgPasswordFile),
    database: settings.pgDatabase,
    schema: settings.pgSchema,
    ssl: settings.pgSsl ? { verify: settings.pgSslVerify, ca: ca ?? undefined } : null,
    timeoutMs: settings.pgTimeout,
    maxConnections: settings.pgMaxConcurrentQueries,
  };
}

async function authorities(settings: Settings): Promise<string[] | null> {
  try {
    return await upstreamAuthorities(settings);
  } catch (error) {
    throw error instanceof MaterialError ? new StoreUnavailable(error.message) : error;
  }
}

/** The file's text without the line end at its end. */
async function readPassword(setting: string, path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new StoreUnavailable(
      `${setting}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
  if (text.length > MAX_PASSWORD_BYTES)
    throw new StoreUnavailable(
      `${setting}: ${path} is longer than ${MAX_PASSWORD_BYTES} bytes; this is no password`,
    );
  return text.replace(/\r?\n$/, "");
}
