/**
 * The local store: one SQLite file, of which this is the only owner. A batch is one transaction in the
 * write-ahead log, so that a crash at any moment leaves the file with whole batches.
 *
 * What a plugin holds is counted beside its entries, in the same transaction: asking for it costs nothing,
 * and the count is never off.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type OwnFileOptions, openOwnFile } from "../stores/sqlite/own-file.ts";
import { isFull } from "../stores/sqlite/sqlite-failure.ts";
import {
  costOf,
  type KeyValueStore,
  type Operation,
  type Outcome,
  REMOVED_AT_ONCE,
  type Scope,
  type StoreFault,
} from "./key-value-store.ts";

const SWEEP_MS = 60_000;
/** Entries that one sweep removes at most: operations do not wait long for it. */
const SWEPT_AT_ONCE = 1000;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS scope (
  id INTEGER PRIMARY KEY, workspace TEXT NOT NULL, owner TEXT NOT NULL, plugin TEXT NOT NULL,
  bytes INTEGER NOT NULL DEFAULT 0, keys INTEGER NOT NULL DEFAULT 0,
  UNIQUE (workspace, owner, plugin)
) STRICT;
CREATE TABLE IF NOT EXISTS entry (
  scope INTEGER NOT NULL REFERENCES scope (id) ON DELETE CASCADE, key BLOB NOT NULL, value BLOB NOT NULL,
  expires INTEGER, cost INTEGER NOT NULL,
  UNIQUE (scope, key)
) STRICT;
CREATE INDEX IF NOT EXISTS entry_expires ON entry (expires) WHERE expires IS NOT NULL;
PRAGMA user_version = 1;
`;

export interface SqliteStoreOptions extends OwnFileOptions {
  /** Told of every batch that the file refused for a reason that is not the plugin's. */
  readonly onFailure: (reason: string) => void;
}

class Refusal extends Error {
  readonly fault: StoreFault;
  constructor(fault: StoreFault) {
    super(fault);
    this.fault = fault;
  }
}

export class SqliteStore implements KeyValueStore {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #onFailure: (reason: string) => void;
  readonly #sweeper: NodeJS.Timeout;

  /** @throws {Error} if the file can neither be opened nor be put aside. */
  constructor({ onFailure, ...file }: SqliteStoreOptions) {
    this.#onFailure = onFailure;
    this.#db = openOwnFile(file, SCHEMA);
    this.#sweeper = setInterval(() => this.sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  async run(operations: readonly Operation[]): Promise<readonly Outcome[]> {
    const now = Date.now();
    const writes = operations.some(({ op }) => op !== "get");
    try {
      if (writes) this.#db.exec("BEGIN IMMEDIATE");
      const outcomes = operations.map((one) => this.#outcome(one, now));
      if (writes) this.#db.exec("COMMIT");
      // The workspace is no more: nor shall the log hold what the file does not.
      if (operations.some(({ op }) => op === "forget_workspace"))
        this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      return outcomes;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      this.#onFailure(error instanceof Error ? error.message : String(error));
      const fault = isFull(error) ? "full" : "unavailable";
      return operations.map(() => ({ fault }));
    }
  }

  /** Removes entries whose time is over. */
  sweep(): void {
    const now = Date.now();
    this.#db.exec("BEGIN IMMEDIATE");
    const over = this.#all(
      "SELECT rowid, scope, cost FROM entry WHERE expires <= ? ORDER BY expires LIMIT ?",
      now,
      SWEPT_AT_ONCE,
    );
    for (const { rowid, scope, cost } of over) this.#drop(rowid as number, scope as number, cost as number);
    this.#db.exec("COMMIT");
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeper);
    this.#db.close();
  }

  #outcome(operation: Operation, now: number): Outcome {
    try {
      switch (operation.op) {
        case "get":
          return { value: this.#get(operation.scope, operation.key, now) };
        case "set":
          this.#set(operation, now);
          return { value: null };
        case "delete":
          this.#delete(operation.scope, operation.key);
          return { value: null };
        case "forget":
          this.#run("DELETE FROM scope WHERE owner = ? AND plugin = ?", operation.owner, operation.plugin);
          return { value: null };
        case "forget_workspace":
          return { value: null, removed: this.#forgetWorkspace(operation.workspace) };
      }
    } catch (error) {
      if (error instanceof Refusal) return { fault: error.fault };
      throw error;
    }
  }

  #get({ workspace, owner, plugin }: Scope, key: string, now: number): Uint8Array | null {
    const row = this.#row(
      "SELECT value FROM entry JOIN scope ON scope.id = entry.scope WHERE workspace = ? AND owner = ? " +
        "AND plugin = ? AND key = ? AND (expires IS NULL OR expires > ?)",
      workspace,
      owner,
      plugin,
      Buffer.from(key),
      now,
    );
    return (row?.value as Uint8Array | undefined) ?? null;
  }

  #set({ scope, key, value, ttlMs, quota }: Operation & { op: "set" }, now: number): void {
    const { workspace, owner, plugin } = scope;
    const name = Buffer.from(key);
    const cost = costOf(name, value);
    this.#run(
      "INSERT INTO scope (workspace, owner, plugin) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      workspace,
      owner,
      plugin,
    );
    const find = "SELECT id, bytes, keys FROM scope WHERE workspace = ? AND owner = ? AND plugin = ?";
    let held = this.#row(find, workspace, owner, plugin) as { id: number; bytes: number; keys: number };
    const { id } = held;
    const old = this.#row("SELECT cost FROM entry WHERE scope = ? AND key = ?", id, name)?.cost as
      | number
      | undefined;
    const grows = cost - (old ?? 0);
    const wrong = (): StoreFault | null => {
      // What takes no more room than before is taken, also where the quota is lower than it was.
      if (grows > 0 && held.bytes + grows > quota.bytes) return "quota";
      if (old === undefined && held.keys >= quota.keys) return "keys";
      return null;
    };
    if (wrong() !== null) {
      // What is over takes no room, whether or not it was swept.
      const over = this.#all(
        "SELECT rowid, cost FROM entry WHERE scope = ? AND expires <= ? AND key != ? LIMIT ?",
        id,
        now,
        name,
        REMOVED_AT_ONCE,
      );
      for (const { rowid, cost: freed } of over) this.#drop(rowid as number, id, freed as number);
      held = this.#row(find, workspace, owner, plugin) as typeof held;
      const fault = wrong();
      if (fault !== null) throw new Refusal(fault);
    }
    const all = this.#row("SELECT sum(bytes) AS bytes FROM scope WHERE workspace = ?", workspace);
    if (grows > 0 && (all?.bytes as number) + grows > quota.workspaceBytes)
      throw new Refusal("workspace_quota");
    this.#run(
      "INSERT INTO entry (scope, key, value, expires, cost) VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, key) " +
        "DO UPDATE SET value = excluded.value, expires = excluded.expires, cost = excluded.cost",
      id,
      name,
      value,
      ttlMs === null ? null : now + ttlMs,
      cost,
    );
    this.#run(
      "UPDATE scope SET bytes = bytes + ?, keys = keys + ? WHERE id = ?",
      grows,
      old === undefined ? 1 : 0,
      id,
    );
  }

  #delete({ workspace, owner, plugin }: Scope, key: string): void {
    const row = this.#row(
      "SELECT entry.rowid AS rowid, scope, cost FROM entry JOIN scope ON scope.id = entry.scope " +
        "WHERE workspace = ? AND owner = ? AND plugin = ? AND key = ?",
      workspace,
      owner,
      plugin,
      Buffer.from(key),
    );
    if (row !== undefined) this.#drop(row.rowid as number, row.scope as number, row.cost as number);
  }

  #forgetWorkspace(workspace: string): number {
    const where = "WHERE workspace = ?1 OR owner = ?1";
    const held = this.#row(`SELECT coalesce(sum(keys), 0) AS keys FROM scope ${where}`, workspace);
    this.#run(`DELETE FROM scope ${where}`, workspace);
    return held?.keys as number;
  }

  #drop(rowid: number, scope: number, cost: number): void {
    this.#run("DELETE FROM entry WHERE rowid = ?", rowid);
    this.#run("UPDATE scope SET bytes = bytes - ?, keys = keys - 1 WHERE id = ?", cost, scope);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: (string | number | Uint8Array | null)[]): void {
    this.#statement(sql).run(...values);
  }

  #row(sql: string, ...values: (string | number | Uint8Array | null)[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values);
  }

  #all(sql: string, ...values: (string | number | Uint8Array | null)[]): Record<string, unknown>[] {
    return this.#statement(sql).all(...values);
  }
}
