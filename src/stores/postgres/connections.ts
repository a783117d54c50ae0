/** How PostgreSQL is connected to: a pool for reads and writes, and connections of their own for whoever must wait. */
import { checkServerIdentity } from "node:tls";
import pg from "pg";
import { MigrationError } from "../migrations.ts";
import { StoreUnavailable } from "../store.ts";
import { postgresFailure } from "./postgres-failure.ts";

/** Connections of a gateway where `pg_max_concurrent_queries` is 0, besides the one that listens. */
const POOL_SIZE = 8;
const IDLE_MS = 60_000;
/** What the server's own time limit gets to tell of itself before the client gives up on it. */
const GRACE_MS = 1000;
const OLDEST = 120_000;

export interface PostgresOptions {
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Asked at each connection; null if there is none. */
  readonly password: () => Promise<string | null>;
  readonly database: string;
  readonly schema: string;
  /** Null without TLS; `ca` in PEM, the system's where absent. */
  readonly ssl: { readonly verify: boolean; readonly ca?: readonly string[] | undefined } | null;
  /** For connecting, for a statement, for waiting for a lock. */
  readonly timeoutMs: number;
  /** 0: the default of 8. */
  readonly maxConnections: number;
}

/** Where it is, for messages. */
export function placeOf({ host, port, database, schema }: PostgresOptions): string {
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  return `PostgreSQL at ${address}, database ${database}, schema ${schema}`;
}

/** A name in SQL. */
export const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;

export function clientConfig(options: PostgresOptions): pg.ClientConfig {
  const { host, port, user, password, database, ssl, timeoutMs } = options;
  return {
    host,
    port,
    user,
    database,
    // Without one, none of the environment's either.
    password: async () => (await password()) ?? "",
    ssl: ssl !== null && {
      rejectUnauthorized: ssl.verify,
      ...(ssl.ca === undefined ? {} : { ca: [...ssl.ca] }),
      // The client leaves out addresses, for which Node then checks the name `localhost`.
      checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    },
    application_name: "gatehouse",
    client_encoding: "UTF8",
    connectionTimeoutMillis: timeoutMs,
    statement_timeout: timeoutMs,
    lock_timeout: timeoutMs,
    idle_in_transaction_session_timeout: timeoutMs,
    query_timeout: timeoutMs + GRACE_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
}

export function connectionPool(options: PostgresOptions): pg.Pool {
  const pool = new pg.Pool({
    ...clientConfig(options),
    max: options.maxConnections === 0 ? POOL_SIZE : options.maxConnections,
    idleTimeoutMillis: IDLE_MS,
  });
  // Of idle connections that are lost; whoever asks next gets a new one, or is told why there is none.
  pool.on("error", () => {});
  return pool;
}

/**
 * Begins a transaction that writes. A server that acknowledges before it has written is not believed; one that waits for
 * standbys may.
 */
export const DURABLE =
  "BEGIN; SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/**
 * Runs statements in one transaction, over a connection of the pool that is thrown away if any fails.
 * @throws {StoreUnavailable} and what `work` itself throws.
 */
export async function transaction<T>(
  pool: pg.Pool,
  begin: string,
  work: (query: Query) => Promise<T>,
  place: string,
): Promise<T> {
  const client = await failing(pool.connect(), place);
  const query = queryOf(client, place);
  // A connection that is lost while nothing is asked of it says so by an event.
  const ignore = () => {};
  client.on("error", ignore);
  let usable = false;
  try {
    await query(begin);
    const result = await work(query);
    await query("COMMIT");
    usable = true;
    return result;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) {
      await query("ROLLBACK");
      usable = true;
    }
    throw error;
  } finally {
    client.off("error", ignore);
    // Ending the connection undoes what was not committed.
    client.release(!usable);
  }
}

/** One statement; its rows. */
export type Query = (
  sql: string,
  values?: readonly unknown[],
) => Promise<Readonly<Record<string, unknown>>[]>;

/** Statements over one connection. */
export function queryOf(client: pg.ClientBase, place: string): Query {
  return async (sql, values = []) => {
    const { rows } = await failing(client.query<Record<string, unknown>>(sql, [...values]), place);
    return rows;
  };
}

export async function failing<T>(asked: Promise<T>, place: string): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw postgresFailure(error, place);
  }
}

/** @throws {MigrationError} the server is none that a configuration can be kept in. */
export async function checkServer(query: Query, place: string): Promise<void> {
  const [row] = await query(
    "SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding",
  );
  const version = row?.version as number;
  if (version < OLDEST)
    throw new MigrationError(
      `${place}: its version is ${Math.floor(version / 10_000)}; 12 or later is needed`,
    );
  if (row?.encoding !== "UTF8")
    throw new MigrationError(`${place}: the database's encoding is ${row?.encoding}; create one with UTF8`);
}
