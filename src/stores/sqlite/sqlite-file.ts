/**
 * The SQLite database of a configuration, used by one thread. A write is one transaction in the write-ahead log, which
 * is on the disk before it is acknowledged (`synchronous = FULL`).
 */
import { randomUUID } from "node:crypto";
import { chmodSync, closeSync, existsSync, linkSync, mkdirSync, openSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLOutputValue, type StatementSync } from "node:sqlite";
import {
  MAX_REMOVED,
  type PackedAudit,
  type PackedChange,
  type PackedRow,
  type PackedWrite,
} from "../packed.ts";
import { StaleRevision, StoreUnavailable } from "../store.ts";
import { damaged, sqliteFailure } from "./sqlite-failure.ts";

const PAGE_BYTES = 4096;
/** "GATE": in the header of every file of ours. */
const APPLICATION_ID = 0x47415445;
/** Time to wait for another program, such as one that makes a backup. */
const BUSY_MS = 3000;
const MAX_FILE_BYTES = 64 * 2 ** 30;
/** To which the write-ahead log is cut back. */
const MAX_LOG_BYTES = 64 << 20;

export interface SqliteFileOptions {
  readonly path: string;
  /** Most that the file takes; 64 GiB if absent. */
  readonly maxBytes?: number | undefined;
  readonly maxRemoved?: number | undefined;
}

/** Of megabytes at once, more memory is taken than is given back. */
const ROWS_AT_ONCE = 500;

type Value = string | number | null;

export class SqliteFile {
  readonly path: string;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #maxRemoved: number;
  #dataVersion = 0;

  /**
   * Opens the file, and makes it if it is not there; its shape is the migrations' affair.
   * @throws {StoreUnavailable} it cannot be opened, is damaged, or is another program's.
   */
  constructor({ path, maxBytes = MAX_FILE_BYTES, maxRemoved = MAX_REMOVED }: SqliteFileOptions) {
    this.path = path;
    this.#maxRemoved = maxRemoved;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      if (!existsSync(path)) make(path);
      chmodSync(path, 0o600); // a backup may have come back with other rights
      // To SQLite it would be a new database, and the gateway would serve nothing in place of what was configured.
      if (statSync(path).size === 0) throw new StoreUnavailable(damaged(path));
      this.#db = open(path, maxBytes);
    } catch (error) {
      throw sqliteFailure(error, path);
    }
  }

  /**
   * All rows, as of one moment, some at a time.
   * @returns the revision.
   */
  read(each: (rows: PackedRow[]) => void): number {
    return this.#transaction("BEGIN", () => {
      let rows: PackedRow[] = [];
      for (const row of this.#statement("SELECT kind, id, workspace, body FROM entity").iterate()) {
        if (rows.push(row as unknown as PackedRow) < ROWS_AT_ONCE) continue;
        each(rows);
        rows = [];
      }
      if (rows.length > 0) each(rows);
      return this.#state().revision;
    });
  }

  changesSince(since: number): PackedChange | null {
    return this.#transaction("BEGIN", () => {
      const { revision, forgotten } = this.#state();
      if (since > revision || since < forgotten) return null;
      const puts = this.#all("SELECT kind, id, workspace, body FROM entity WHERE revision > ?", since);
      const removes = this.#all("SELECT kind, id FROM removed WHERE revision > ?", since);
      return { revision, puts, removes } as unknown as PackedChange;
    });
  }

  /** @throws {StaleRevision | StoreUnavailable} */
  write(expected: number, { puts, removes, audit }: PackedWrite): number {
    const edits = puts.length + removes.length > 0;
    return this.#transaction("BEGIN IMMEDIATE", () => {
      const revision = expected + 1;
      if (edits) {
        if (this.#state().revision !== expected) throw new StaleRevision(expected);
        this.#run("UPDATE state SET revision = ?", revision);
      }
      for (const { kind, id, workspace, body } of puts) {
        this.#run(
          "INSERT INTO entity (kind, id, workspace, body, revision) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, id) " +
            "DO UPDATE SET workspace = excluded.workspace, body = excluded.body, revision = excluded.revision",
          kind,
          id,
          workspace,
          body,
          revision,
        );
        this.#run("DELETE FROM removed WHERE kind = ? AND id = ?", kind, id);
      }
      for (const { kind, id } of removes) {
        if (this.#run("DELETE FROM entity WHERE kind = ? AND id = ?", kind, id) > 0)
          this.#run("INSERT INTO removed (kind, id, revision) VALUES (?, ?, ?)", kind, id, revision);
      }
      if (removes.length > 0) this.#forget();
      for (const { at, workspace, body } of audit)
        this.#run("INSERT INTO audit (at, workspace, body) VALUES (?, ?, ?)", at, workspace, body);
      return edits ? revision : expected;
    });
  }

  /** @throws {StoreUnavailable} it cannot be read. */
  health(): void {
    this.#failing(() => this.#state());
  }

  audit(
    workspace: string | null,
    size: number,
    before: number | null,
  ): { entries: PackedAudit[]; next: string | null } {
    const found = this.#failing(() =>
      this.#all(
        `SELECT number, at, workspace, body FROM audit WHERE number < ? ${workspace === null ? "" : "AND workspace = ?"}
         ORDER BY number DESC LIMIT ?`,
        before ?? Number.MAX_SAFE_INTEGER,
        ...(workspace === null ? [] : [workspace]),
        size + 1,
      ),
    ) as unknown as (PackedAudit & { number: number })[];
    const page = found.slice(0, size);
    return {
      entries: page.map(({ at, workspace: of, body }) => ({ at, workspace: of, body })),
      next: found.length > size ? String(page.at(-1)?.number) : null,
    };
  }

  forgetWorkspace(id: string): void {
    this.#transaction("BEGIN IMMEDIATE", () => {
      this.#run("DELETE FROM audit WHERE workspace = ?", id);
      this.#run("DELETE FROM removed");
      this.#run("UPDATE state SET forgotten = revision");
    });
    // Nor shall the log hold what the file does not.
    this.#failing(() => this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
  }

  forgetAudit(olderThan: number): void {
    this.#failing(() => this.#run("DELETE FROM audit WHERE at < ?", olderThan));
  }

  /** Whether another connection has written since this was last asked. */
  changed(): boolean {
    const version = this.#failing(() => Object.values(this.#get("PRAGMA data_version"))[0]) as number;
    const isNew = version !== this.#dataVersion && this.#dataVersion !== 0;
    this.#dataVersion = version;
    return isNew;
  }

  /** For migrations: all of it, or nothing, while nobody else writes. */
  exclusively<T>(work: (db: DatabaseSync) => T): T {
    return this.#transaction("BEGIN EXCLUSIVE", () => work(this.#db));
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #state(): { revision: number; forgotten: number } {
    return this.#get("SELECT revision, forgotten FROM state") as { revision: number; forgotten: number };
  }

  /** Whole revisions are forgotten, so that those which are not are told of in full. */
  #forget(): void {
    const [last] = this.#all(
      "SELECT revision FROM removed ORDER BY revision DESC LIMIT 1 OFFSET ?",
      this.#maxRemoved,
    );
    if (last === undefined) return;
    this.#run("DELETE FROM removed WHERE revision <= ?", last.revision as number);
    this.#run("UPDATE state SET forgotten = ?", last.revision as number);
  }

  #transaction<T>(begin: string, work: () => T): T {
    return this.#failing(() => {
      this.#db.exec(begin);
      try {
        const result = work();
        this.#db.exec("COMMIT");
        return result;
      } catch (error) {
        // Some failures have ended the transaction already.
        if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
        throw error;
      }
    });
  }

  #failing<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw sqliteFailure(error, this.path);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: Value[]): number {
    return this.#statement(sql).run(...values).changes as number;
  }

  #get(sql: string, ...values: Value[]): Record<string, SQLOutputValue> {
    return this.#statement(sql).get(...values) as Record<string, SQLOutputValue>;
  }

  #all(sql: string, ...values: Value[]): Record<string, SQLOutputValue>[] {
    return this.#statement(sql).all(...values);
  }
}

/** Makes the file so that it is there as a database or not at all, whenever this is cut off. */
function make(path: string): void {
  const draft = `${path}.${randomUUID()}`;
  try {
    closeSync(openSync(draft, "ax", 0o600));
    const db = new DatabaseSync(draft);
    try {
      db.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA application_id = ${APPLICATION_ID}`);
    } finally {
      db.close();
    }
    linkSync(draft, path);
  } catch (error) {
    // Somebody else was faster: then that is the file.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function open(path: string, maxBytes: number): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    const { application_id: id } = db.prepare("PRAGMA application_id").get() as { application_id: number };
    const { tables } = db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get() as { tables: number };
    if (tables > 0 && id !== APPLICATION_ID)
      throw new StoreUnavailable(
        `${path} is a database of another program; move it away, or choose another \`prefix\``,
      );
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON");
    db.exec(
      `PRAGMA journal_size_limit = ${MAX_LOG_BYTES}; PRAGMA max_page_count = ${Math.ceil(maxBytes / PAGE_BYTES)}`,
    );
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
