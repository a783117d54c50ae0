/**
 * A configuration in PostgreSQL, which several gateways share. A write is one transaction, which begins with the one row
 * that has the revision: so writes of all gateways come one after the other, each judged at the revision before it.
 */
import { createHash, randomUUID } from "node:crypto";
import type { Pool } from "pg";
import { InTurn } from "../../in-turn.ts";
import {
  checkAuditPage,
  type Key,
  MAX_REMOVED,
  type PackedAudit,
  type PackedRow,
  packWrite,
  unpackAudit,
  unpackChange,
  unpackRow,
} from "../packed.ts";
import {
  type AuditEntry,
  type Edit,
  StaleRevision,
  type Store,
  type StoredChange,
  type StoredState,
  StoreUnavailable,
} from "../store.ts";
import { Watchers } from "../watchers.ts";
import {
  connectionPool,
  DURABLE,
  failing,
  type PostgresOptions,
  placeOf,
  type Query,
  quoted,
  transaction,
} from "./connections.ts";
import { Listener } from "./listener.ts";

/** What one statement takes at most: the client has it several times over while it is sent. */
const CHUNK_ROWS = 2000;
const CHUNK_CHARS = 4 << 20;

export interface PostgresStoreOptions extends PostgresOptions {
  readonly maxRemoved?: number | undefined;
  /** What the names of its tables begin with: of the registry's, or of the configuration's. */
  readonly tables?: "" | "registry_";
}

export class PostgresStore implements Store {
  readonly engine = "postgres";
  readonly #options: PostgresStoreOptions;
  readonly #place: string;
  readonly #pool: Pool;
  readonly #watchers = new Watchers();
  /** Names this store among those of all gateways. */
  readonly #writer = randomUUID();
  readonly #channel: string;
  readonly #tables: Readonly<Record<"entity" | "removed" | "state" | "audit", string>>;
  #listener: Listener | null = null;
  /** The last revision that was told or acknowledged to whoever uses this store. */
  #known = 0;
  /** One after the other: they would only wait for each other there, and hold connections meanwhile. */
  readonly #writes = new InTurn();
  #away = false;
  #closed = false;

  /** Connects when something is asked for. */
  constructor(options: PostgresStoreOptions) {
    this.#options = options;
    this.#place = placeOf(options);
    this.#pool = connectionPool(options);
    const { schema, tables = "" } = options;
    this.#channel = channelOf(`${tables}${schema}`);
    const table = (name: string) => `${quoted(schema)}.${tables}${name}`;
    this.#tables = {
      entity: table("entity"),
      removed: table("removed"),
      state: table("state"),
      audit: table("audit"),
    };
  }

  async read(): Promise<StoredState> {
    const { entity, state } = this.#tables;
    const found = await this.#transaction(SNAPSHOT, async (query) => {
      const [row] = await query(`SELECT revision FROM ${state}`);
      const rows = await query(`SELECT kind, id, workspace, body FROM ${entity}`);
      return { revision: revisionOf(row), rows: rows as unknown as PackedRow[] };
    });
    this.#known = found.revision;
    return { revision: found.revision, rows: found.rows.map(unpackRow) };
  }

  async changesSince(since: number): Promise<StoredChange | null> {
    const { entity, removed, state } = this.#tables;
    const found = await this.#transaction(SNAPSHOT, async (query) => {
      const [row] = await query(`SELECT revision, forgotten FROM ${state}`);
      const revision = revisionOf(row);
      if (since > revision || since < Number(row?.forgotten)) return null;
      if (since === revision) return { revision, puts: [], removes: [] };
      const puts = await query(`SELECT kind, id, workspace, body FROM ${entity} WHERE revision > $1`, [
        since,
      ]);
      const removes = await query(`SELECT kind, id FROM ${removed} WHERE revision > $1`, [since]);
      return { revision, puts: puts as unknown as PackedRow[], removes: removes as unknown as Key[] };
    });
    if (found === null) return null;
    this.#known = found.revision;
    return unpackChange(found);
  }

  async write(expected: number, edits: readonly Edit[], audit: readonly AuditEntry[]): Promise<number> {
    const { puts, removes, audit: entries } = packWrite(edits, audit);
    return this.#writes.run(async () => {
      const revision = await this.#transaction(DURABLE, async (query) => {
        const written = edits.length === 0 ? expected : await this.#advance(query, expected);
        await this.#put(query, puts, written);
        await this.#remove(query, removes, written);
        await this.#log(query, entries);
        return written;
      });
      if (edits.length > 0) this.#known = revision;
      return revision;
    });
  }

  async audit(
    workspace: string | null,
    size: number,
    before: string | null,
  ): Promise<{ entries: AuditEntry[]; next: string | null }> {
    const number = checkAuditPage(size, before);
    const found = (await this.#query(
      `SELECT number, at, workspace, body FROM ${this.#tables.audit}
       WHERE number < $1 ${workspace === null ? "" : "AND workspace = $3"} ORDER BY number DESC LIMIT $2`,
      [number ?? Number.MAX_SAFE_INTEGER, size + 1, ...(workspace === null ? [] : [workspace])],
    )) as unknown as (Omit<PackedAudit, "at"> & { at: string; number: string })[];
    const page = found.slice(0, size);
    return {
      entries: page.map((one) => unpackAudit({ ...one, at: Number(one.at) })),
      next: found.length > size ? (page.at(-1)?.number ?? null) : null,
    };
  }

  async forgetWorkspace(id: string): Promise<void> {
    const { audit, removed, state } = this.#tables;
    await this.#transaction(DURABLE, async (query) => {
      // First the row that all writers need: what they remove from now on is not forgotten.
      await query(`UPDATE ${state} SET forgotten = revision`);
      await query(`DELETE FROM ${removed}`);
      // Tables of their own have no audit log.
      if (this.#options.tables === undefined) await query(`DELETE FROM ${audit} WHERE workspace = $1`, [id]);
    });
  }

  async forgetAudit(olderThan: number): Promise<void> {
    await this.#query(`DELETE FROM ${this.#tables.audit} WHERE at < $1`, [olderThan]);
  }

  watch(changed: () => void): () => void {
    if (!this.#closed) this.#listener ??= this.#listen();
    return this.#watchers.add(changed);
  }

  async health(): Promise<{ ok: true } | { ok: false; why: string }> {
    try {
      await this.#query(`SELECT revision FROM ${this.#tables.state}`);
      return { ok: true };
    } catch (error) {
      return { ok: false, why: (error as Error).message };
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watchers.clear();
    this.#listener?.close();
    await this.#writes.run(async () => {});
    await this.#pool.end();
  }

  /** Takes the row that all writers need, and holds it until the end of the transaction. */
  async #advance(query: Query, expected: number): Promise<number> {
    const [row] = await query(
      `WITH moved AS (UPDATE ${this.#tables.state} SET revision = revision + 1, writer = $2 WHERE revision = $1
         RETURNING revision)
       SELECT revision, pg_notify($3, $2) FROM moved`,
      [expected, this.#writer, this.#channel],
    );
    if (row === undefined) throw new StaleRevision(expected);
    return revisionOf(row);
  }

  async #put(query: Query, puts: readonly PackedRow[], revision: number): Promise<void> {
    const { entity, removed } = this.#tables;
    for (const chunk of chunks(puts, ({ body }) => body.length)) {
      const [kinds, ids] = columns(chunk);
      await query(
        `WITH row AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS row (kind, id, workspace, body)),
           back AS (DELETE FROM ${removed} AS gone USING row WHERE gone.kind = row.kind AND gone.id = row.id)
         INSERT INTO ${entity} (kind, id, workspace, body, revision) SELECT kind, id, workspace, body, $5 FROM row
         ON CONFLICT (kind, id) DO UPDATE
           SET workspace = excluded.workspace, body = excluded.body, revision = excluded.revision`,
        [kinds, ids, chunk.map(({ workspace }) => workspace), chunk.map(({ body }) => body), revision],
      );
    }
  }

  async #remove(query: Query, removes: readonly Key[], revision: number): Promise<void> {
    const { entity, removed, state } = this.#tables;
    for (const chunk of chunks(removes, () => 0))
      await query(
        `WITH gone AS (
           DELETE FROM ${entity} AS entity USING unnest($1::text[], $2::text[]) AS row (kind, id)
           WHERE entity.kind = row.kind AND entity.id = row.id RETURNING entity.kind, entity.id)
         INSERT INTO ${removed} (kind, id, revision) SELECT kind, id, $3 FROM gone`,
        [...columns(chunk), revision],
      );
    if (removes.length === 0) return;
    // Whole revisions are forgotten, so that those which are not are told of in full.
    const [last] = await query(`SELECT revision FROM ${removed} ORDER BY revision DESC LIMIT 1 OFFSET $1`, [
      this.#options.maxRemoved ?? MAX_REMOVED,
    ]);
    if (last === undefined) return;
    await query(`DELETE FROM ${removed} WHERE revision <= $1`, [last.revision]);
    await query(`UPDATE ${state} SET forgotten = $1`, [last.revision]);
  }

  async #log(query: Query, entries: readonly PackedAudit[]): Promise<void> {
    for (const chunk of chunks(entries, ({ body }) => body.length))
      await query(
        `INSERT INTO ${this.#tables.audit} (at, workspace, body)
         SELECT at, workspace, body FROM unnest($1::bigint[], $2::text[], $3::text[])
           WITH ORDINALITY AS entry (at, workspace, body, place) ORDER BY place`,
        [chunk.map(({ at }) => at), chunk.map(({ workspace }) => workspace), chunk.map(({ body }) => body)],
      );
  }

  #listen(): Listener {
    return new Listener({
      connection: this.#options,
      channel: this.#channel,
      onNotification: (writer) => {
        if (writer !== this.#writer) this.#watchers.tell();
      },
      onListening: (first) => {
        if (!first) this.#away = true;
      },
      ask: `SELECT revision, writer FROM ${this.#tables.state}`,
      onAnswer: (row) => {
        // What this store wrote itself was written at the revision that it knew.
        const missed = revisionOf(row) !== this.#known && row.writer !== this.#writer;
        if (missed || this.#away) this.#watchers.tell();
        this.#away = false;
      },
    });
  }

  async #query(sql: string, values: readonly unknown[] = []): Promise<Readonly<Record<string, unknown>>[]> {
    return (await this.#asked(() => failing(this.#pool.query(sql, [...values]), this.#place))).rows;
  }

  #transaction<T>(begin: string, work: (query: Query) => Promise<T>): Promise<T> {
    return this.#asked(() => transaction(this.#pool, begin, work, this.#place));
  }

  /** Notices when the server is away, and when it is back. */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#closed && this.#pool.ending) throw new StoreUnavailable("the store is closed");
    try {
      const answer = await ask();
      if (this.#away) {
        this.#away = false;
        this.#watchers.tell();
      }
      return answer;
    } catch (error) {
      if (error instanceof StoreUnavailable) this.#away = true;
      throw error;
    }
  }
}

/** Everything is seen as of one moment. */
const SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/** Channels are of the whole database, and names have 63 bytes. */
function channelOf(schema: string): string {
  return `gatehouse_${createHash("sha256").update(schema).digest("hex").slice(0, 32)}`;
}

function revisionOf(row: Readonly<Record<string, unknown>> | undefined): number {
  return Number(row?.revision);
}

function columns(keys: readonly Key[]): [kinds: string[], ids: string[]] {
  return [keys.map(({ kind }) => kind), keys.map(({ id }) => id)];
}

function* chunks<T>(all: readonly T[], charsOf: (one: T) => number): Iterable<readonly T[]> {
  let chunk: T[] = [];
  let chars = 0;
  for (const one of all) {
    if (chunk.length === CHUNK_ROWS || (chunk.length > 0 && chars + charsOf(one) > CHUNK_CHARS)) {
      yield chunk;
      chunk = [];
      chars = 0;
    }
    chunk.push(one);
    chars += charsOf(one);
  }
  if (chunk.length > 0) yield chunk;
}
