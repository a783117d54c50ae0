/**
 * The file of recordings: SQLite, of which this is the only owner. Bounded for each plugin entity, for each workspace and
 * as a whole, and nothing stays longer than it was to be kept; what is over or deleted is overwritten.
 */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import type { Recording } from "@gatehouse/sdk";
import { type OwnFileOptions, openOwnFile } from "../stores/sqlite/own-file.ts";
import { isFull } from "../stores/sqlite/sqlite-failure.ts";
import { MOST_RECORDING_BYTES, MOST_RECORDINGS } from "./limits.ts";
import { type KeptRecording, readRecording, recordingJson } from "./recording.ts";

const SWEEP_MS = 30_000;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS recording (
  id TEXT PRIMARY KEY, workspace TEXT NOT NULL, plugin TEXT NOT NULL, route TEXT, expires INTEGER NOT NULL,
  bytes INTEGER NOT NULL, summary TEXT NOT NULL, data TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS recording_workspace ON recording (workspace, id, bytes);
CREATE INDEX IF NOT EXISTS recording_plugin ON recording (workspace, plugin, id);
CREATE INDEX IF NOT EXISTS recording_expires ON recording (expires);
PRAGMA user_version = 1;
`;

/** What is to be kept. */
export interface NewRecording {
  /** Ids of the workspace and of the plugin entity. */
  readonly workspace: string;
  readonly plugin: string;
  readonly recording: Recording;
  readonly most: number;
  readonly ttlMs: number;
}

/** Which recordings of a workspace; without anything else all. */
export interface Selection {
  readonly workspace: string;
  readonly id?: string | undefined;
  /** Id of a route. */
  readonly route?: string | undefined;
}

/** A recording without what was sent and answered. */
export interface RecordingSummary {
  readonly id: string;
  readonly recorded_at: string;
  readonly expires_at: string;
  readonly route: { readonly id: string; readonly name: string | null } | null;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  /** What the service answered; null if that is not known. */
  readonly status: number | null;
  readonly bytes: number;
}

export class RecordingsFile {
  readonly #db: DatabaseSync;
  readonly #sweeper: NodeJS.Timeout;

  /** @throws {Error} if the file can neither be opened nor be put aside. */
  constructor(options: OwnFileOptions) {
    this.#db = openOwnFile(options, SCHEMA);
    this.#sweeper = setInterval(() => this.sweep(Date.now()), SWEEP_MS);
    this.#sweeper.unref();
  }

  /** Keeps a recording, and lets the oldest go that are too many with it. */
  add({ workspace, plugin, recording, most, ttlMs }: NewRecording, now: number): void {
    if (ttlMs <= 0) return;
    const id = newId(now);
    const expires = now + ttlMs;
    const data = JSON.stringify(recordingJson({ id, ...recording }));
    const { route, request, response } = recording;
    const { method, host, path } = request;
    const summary = { route, method, host, path: path.slice(0, 1000), status: response?.status ?? null };
    const bytes = data.length;
    if (bytes > MOST_RECORDING_BYTES) return;
    const row = [id, workspace, plugin, route?.id ?? null, expires, bytes, JSON.stringify(summary), data];
    try {
      this.#insert(row, workspace, plugin, most);
    } catch (error) {
      if (!isFull(error)) throw error;
      // Whoever has most of it makes room.
      this.#thinLargest();
      this.#insert(row, workspace, plugin, most);
    }
  }

  #insert(row: SQLInputValue[], workspace: string, plugin: string, most: number): void {
    this.#transaction(() => {
      this.#run("INSERT INTO recording VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ...row);
      const oldest = "SELECT id FROM recording WHERE workspace = ?1";
      this.#run(
        `DELETE FROM recording WHERE id IN (${oldest} AND plugin = ?2 ORDER BY id DESC LIMIT -1 OFFSET ?3)`,
        workspace,
        plugin,
        most,
      );
      this.#run(
        `DELETE FROM recording WHERE id IN (${oldest} ORDER BY id DESC LIMIT -1 OFFSET ?2)`,
        workspace,
        MOST_RECORDINGS,
      );
      for (let over = this.#bytesOf(workspace) - MOST_RECORDING_BYTES; over > 0; ) {
        const first = this.#all(
          "SELECT id, bytes FROM recording WHERE workspace = ? ORDER BY id LIMIT 1",
          workspace,
        )[0];
        if (first === undefined) break;
        this.#run("DELETE FROM recording WHERE id = ?", first.id as string);
        over -= first.bytes as number;
      }
    });
  }

  #bytesOf(workspace: string): number {
    const [row] = this.#all(
      "SELECT coalesce(sum(bytes), 0) AS sum FROM recording WHERE workspace = ?",
      workspace,
    );
    return row?.sum as number;
  }

  #thinLargest(): void {
    this.#transaction(() =>
      this.#run(
        `DELETE FROM recording WHERE id IN (
           SELECT id FROM recording WHERE workspace = (
             SELECT workspace FROM recording GROUP BY workspace ORDER BY sum(bytes) DESC LIMIT 1
           ) ORDER BY id LIMIT (SELECT 1 + count(*) / 8 FROM recording))`,
      ),
    );
  }

  /** By their ids, which are in the order of time. */
  list({ workspace, route }: Selection, now: number): RecordingSummary[] {
    const rows = this.#all(
      `SELECT id, expires, bytes, summary FROM recording
       WHERE workspace = ?1 AND expires > ?2 AND (?3 IS NULL OR route = ?3) ORDER BY id`,
      workspace,
      now,
      route ?? null,
    );
    return rows.map(({ id, expires, bytes, summary }) => ({
      id: id as string,
      recorded_at: new Date(timeOf(id as string)).toISOString(),
      expires_at: new Date(expires as number).toISOString(),
      bytes: bytes as number,
      ...(JSON.parse(summary as string) as Pick<
        RecordingSummary,
        "route" | "method" | "host" | "path" | "status"
      >),
    }));
  }

  get({ workspace, id }: Selection, now: number): KeptRecording | null {
    const [row] = this.#all(
      "SELECT data FROM recording WHERE workspace = ? AND id = ? AND expires > ?",
      workspace,
      id ?? "",
      now,
    );
    return row === undefined ? null : readRecording(row.data as string);
  }

  /** The last ones, the oldest of them first. */
  newest({ workspace, route }: Selection, count: number, now: number): KeptRecording[] {
    const rows = this.#all(
      `SELECT data FROM recording WHERE workspace = ?1 AND expires > ?2 AND (?3 IS NULL OR route = ?3)
       ORDER BY id DESC LIMIT ?4`,
      workspace,
      now,
      route ?? null,
      count,
    );
    return rows.reverse().map(({ data }) => readRecording(data as string));
  }

  /** @returns how many there were. */
  remove({ workspace, id, route }: Selection): number {
    const removed = this.#run(
      "DELETE FROM recording WHERE workspace = ?1 AND (?2 IS NULL OR id = ?2) AND (?3 IS NULL OR route = ?3)",
      workspace,
      id ?? null,
      route ?? null,
    );
    // Nor shall the log hold what the file does not.
    this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return removed;
  }

  /** Removes what is over. */
  sweep(now: number): void {
    if (this.#run("DELETE FROM recording WHERE expires <= ?", now) > 0)
      this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  close(): void {
    clearInterval(this.#sweeper);
    this.#db.close();
  }

  #transaction(run: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      run();
      this.#db.exec("COMMIT");
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }

  #all(sql: string, ...values: SQLInputValue[]): Record<string, unknown>[] {
    return this.#db.prepare(sql).all(...values);
  }
}

let lastId = { at: 0, count: 0 };

/** A UUID of version 7 (RFC 9562 section 5.7): a later one is greater, also within a millisecond. */
function newId(now: number): string {
  const at = Math.max(now, lastId.at);
  lastId = { at, count: at === lastId.at ? (lastId.count + 1) % 4096 : 0 };
  const time = at.toString(16).padStart(12, "0");
  const random = crypto.randomUUID();
  const count = lastId.count.toString(16).padStart(3, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${random.slice(19)}`;
}

const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
