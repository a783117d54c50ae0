/** Bytes of plugin packages in PostgreSQL, by their digest, for all gateways on the same database. */
import { randomUUID } from "node:crypto";
import type { Pool } from "pg";
import type { Mark } from "../../registry/artifacts.ts";
import type { ByteTable } from "../../registry/shared-artifacts.ts";
import {
  connectionPool,
  DURABLE,
  failing,
  type PostgresOptions,
  placeOf,
  quoted,
  transaction,
} from "./connections.ts";

/** Connections beside those of the stores: packages are loaded and published seldom, and are megabytes. */
const CONNECTIONS = 2;

export class PostgresArtifacts implements ByteTable {
  readonly #pool: Pool;
  readonly #place: string;
  readonly #table: string;

  /** Connects when something is asked for. */
  constructor(options: PostgresOptions) {
    this.#pool = connectionPool({ ...options, maxConnections: CONNECTIONS });
    this.#place = placeOf(options);
    this.#table = `${quoted(options.schema)}.registry_artifact`;
  }

  /** @throws {StoreUnavailable} */
  async put(digest: string, bytes: Uint8Array): Promise<void> {
    await transaction(
      this.#pool,
      DURABLE,
      (query) =>
        query(
          `INSERT INTO ${this.#table} (digest, bytes, stamp, written_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (digest) DO UPDATE
             SET bytes = excluded.bytes, stamp = excluded.stamp, written_at = excluded.written_at`,
          [digest, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), randomUUID(), Date.now()],
        ),
      this.#place,
    );
  }

  /** @throws {StoreUnavailable} */
  async get(digest: string): Promise<Uint8Array | null> {
    const [row] = await this.#query(`SELECT bytes FROM ${this.#table} WHERE digest = $1`, [digest]);
    return row?.bytes instanceof Uint8Array ? row.bytes : null;
  }

  /** @throws {StoreUnavailable} */
  async marks(digests: readonly string[] | null): Promise<Mark[]> {
    const rows = await this.#query(
      `SELECT digest, stamp, written_at FROM ${this.#table} ${digests === null ? "" : "WHERE digest = ANY ($1)"}`,
      digests === null ? [] : [digests],
    );
    return rows.map(({ digest, stamp, written_at }) => ({
      digest: String(digest),
      stamp: String(stamp),
      writtenAt: Number(written_at),
    }));
  }

  /** @throws {StoreUnavailable} */
  async drop(marks: readonly Mark[]): Promise<number> {
    if (marks.length === 0) return 0;
    const gone = await this.#query(
      `DELETE FROM ${this.#table} AS kept USING unnest($1::text[], $2::text[]) AS mark (digest, stamp)
       WHERE kept.digest = mark.digest AND kept.stamp = mark.stamp RETURNING kept.digest`,
      [marks.map(({ digest }) => digest), marks.map(({ stamp }) => stamp)],
    );
    return gone.length;
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  async #query(sql: string, values: readonly unknown[]): Promise<Readonly<Record<string, unknown>>[]> {
    return (await failing(this.#pool.query(sql, [...values]), this.#place)).rows;
  }
}
