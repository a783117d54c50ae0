/**
 * Brings a PostgreSQL schema to the shape that this program knows, or back. Several gateways may try at the same time:
 * an advisory lock lets one after the other.
 */
import { createHash } from "node:crypto";
import pg from "pg";
import {
  type AppliedStep,
  checksum,
  compare,
  MigrationError,
  type MigrationStatus,
  type Step,
} from "../migrations.ts";
import {
  checkServer,
  clientConfig,
  failing,
  type PostgresOptions,
  placeOf,
  type Query,
  queryOf,
  quoted,
} from "./connections.ts";
import { POSTGRES_STEPS } from "./steps.ts";

/** Steps over many rows take longer than what traffic may take. */
const STEP_MS = 10 * 60_000;

/**
 * Does what is pending, each step a transaction.
 * @returns the steps that were done.
 * @throws {StoreUnavailable}
 */
export function migratePostgres(
  options: PostgresOptions,
  steps: readonly Step[] = POSTGRES_STEPS,
): Promise<readonly Step[]> {
  return locked(options, async (query, place) => {
    await prepare(query, options.schema);
    const { pending } = compare(steps, await appliedIn(query), place);
    for (const step of pending)
      await inTransaction(query, async () => {
        for (const sql of step.up) await query(sql);
        await query("INSERT INTO schema_migrations VALUES ($1, $2, $3, $4)", [
          step.number,
          step.name,
          checksum(step),
          Date.now(),
        ]);
      });
    return pending;
  });
}

/**
 * Undoes the last step, with what it held.
 * @returns the step; null if none is left.
 */
export function undoPostgres(
  options: PostgresOptions,
  steps: readonly Step[] = POSTGRES_STEPS,
): Promise<Step | null> {
  return locked(options, async (query, place) => {
    const { applied } = await statusOf(query, options.schema, steps, place);
    const step = steps[applied.length - 1];
    if (step === undefined) return null;
    await query(`SET search_path TO ${quoted(options.schema)}`);
    await inTransaction(query, async () => {
      for (const sql of step.down) await query(sql);
      await query("DELETE FROM schema_migrations WHERE number = $1", [step.number]);
    });
    return step;
  });
}

/** Reads what was done, and changes nothing. */
export function postgresStatus(
  options: PostgresOptions,
  steps: readonly Step[] = POSTGRES_STEPS,
): Promise<MigrationStatus> {
  return connected(options, options.timeoutMs, (query, place) =>
    statusOf(query, options.schema, steps, place),
  );
}

/** @throws {MigrationError} something is pending, or the database is newer. */
export async function requireMigrated(options: PostgresOptions): Promise<void> {
  const { pending } = await postgresStatus(options);
  if (pending.length === 0) return;
  throw new MigrationError(
    `${placeOf(options)} needs ${pending.length} step${pending.length === 1 ? "" : "s"} (${pending.map(({ name }) => name).join(", ")}): ` +
      "run 'gatehouse migrations up', or set `pg_migrations` to auto",
  );
}

async function statusOf(
  query: Query,
  schema: string,
  steps: readonly Step[],
  place: string,
): Promise<MigrationStatus> {
  const [row] = await query("SELECT to_regclass($1) IS NOT NULL AS known", [
    `${quoted(schema)}.schema_migrations`,
  ]);
  if (row?.known !== true) return compare(steps, [], place);
  await query(`SET search_path TO ${quoted(schema)}`);
  return compare(steps, await appliedIn(query), place);
}

async function prepare(query: Query, schema: string): Promise<void> {
  const [row] = await query("SELECT to_regnamespace($1) IS NOT NULL AS known", [quoted(schema)]);
  // A user who may not create schemas may still own one.
  if (row?.known !== true) await query(`CREATE SCHEMA ${quoted(schema)}`);
  await query(`SET search_path TO ${quoted(schema)}`);
  await query(`CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at bigint NOT NULL
  )`);
}

async function appliedIn(query: Query): Promise<AppliedStep[]> {
  const rows = await query(
    "SELECT number, name, checksum, applied_at FROM schema_migrations ORDER BY number",
  );
  return rows.map(({ number, name, checksum: sum, applied_at }) => ({
    number: number as number,
    name: name as string,
    checksum: sum as string,
    appliedAt: Number(applied_at),
  }));
}

async function inTransaction(query: Query, work: () => Promise<void>): Promise<void> {
  await query("BEGIN");
  await work();
  // After a failure the connection is ended, which undoes it.
  await query("COMMIT");
}

/** The lock goes with the connection. */
function locked<T>(options: PostgresOptions, work: (query: Query, place: string) => Promise<T>): Promise<T> {
  return connected(options, STEP_MS, async (query, place) => {
    await query("SELECT pg_advisory_lock($1)", [lockNumber(options.schema)]);
    return work(query, place);
  });
}

async function connected<T>(
  options: PostgresOptions,
  statementMs: number,
  work: (query: Query, place: string) => Promise<T>,
): Promise<T> {
  const place = placeOf(options);
  const client = new pg.Client({
    ...clientConfig(options),
    statement_timeout: statementMs,
    lock_timeout: statementMs,
    query_timeout: statementMs + options.timeoutMs,
  });
  client.on("error", () => {}); // the query in progress tells of it
  const query = queryOf(client, place);
  try {
    await failing(client.connect(), place);
    await checkServer(query, place);
    return await work(query, place);
  } finally {
    await client.end().catch(() => {});
  }
}

/** Advisory locks are of the whole database: one of each schema, out of 2^63. */
function lockNumber(schema: string): string {
  const digest = createHash("sha256").update(`gatehouse migrations ${schema}`).digest();
  return String(digest.readBigInt64BE(0));
}
