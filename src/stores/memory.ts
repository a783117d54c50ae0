/** A store that lasts as long as its process: for configurations that come from a file. */
import {
  checkAuditPage,
  type Key,
  keyText,
  MAX_REMOVED,
  type PackedAudit,
  type PackedRow,
  packWrite,
  unpackAudit,
  unpackChange,
  unpackRow,
} from "./packed.ts";
import {
  type AuditEntry,
  type Edit,
  StaleRevision,
  type Store,
  type StoredChange,
  type StoredState,
  StoreUnavailable,
} from "./store.ts";
import { Watchers } from "./watchers.ts";

interface Kept extends PackedRow {
  readonly revision: number;
}

/** What several memory stores of one process may share, like a database. */
export class MemoryDatabase {
  readonly rows = new Map<string, Kept>();
  /** Removed rows, in the order of their revisions. */
  readonly removed = new Map<string, Key & { readonly revision: number }>();
  audit: (PackedAudit & { readonly number: number })[] = [];
  readonly stores = new Set<MemoryStore>();
  readonly maxRemoved: number;
  revision = 0;
  /** Removals up to this revision may be forgotten. */
  forgotten = 0;
  lastAudit = 0;

  constructor({ maxRemoved = MAX_REMOVED }: { maxRemoved?: number } = {}) {
    this.maxRemoved = maxRemoved;
  }
}

export class MemoryStore implements Store {
  readonly engine = "memory";
  readonly #database: MemoryDatabase;
  readonly #watchers = new Watchers();
  #closed = false;

  constructor(database = new MemoryDatabase()) {
    this.#database = database;
    database.stores.add(this);
  }

  async read(): Promise<StoredState> {
    const { revision, rows } = this.#open();
    return { revision, rows: Array.from(rows.values(), unpackRow) };
  }

  async changesSince(since: number): Promise<StoredChange | null> {
    const { revision, rows, removed, forgotten } = this.#open();
    if (since > revision || since < forgotten) return null;
    if (since === revision) return { revision, edits: [] };
    const later = (one: { revision: number }) => one.revision > since;
    return unpackChange({
      revision,
      puts: rows.values().filter(later).toArray(),
      removes: removed.values().filter(later).toArray(),
    });
  }

  async write(expected: number, edits: readonly Edit[], audit: readonly AuditEntry[]): Promise<number> {
    const packed = packWrite(edits, audit);
    const database = this.#open();
    if (edits.length > 0) {
      if (database.revision !== expected) throw new StaleRevision(expected);
      database.revision += 1;
      this.#edit(database, packed.puts, packed.removes);
    }
    for (const entry of packed.audit) database.audit.push({ ...entry, number: ++database.lastAudit });
    if (edits.length === 0) return expected;
    for (const store of database.stores) if (store !== this) queueMicrotask(() => store.#watchers.tell());
    return database.revision;
  }

  async audit(
    workspace: string | null,
    size: number,
    before: string | null,
  ): Promise<{ entries: AuditEntry[]; next: string | null }> {
    const number = checkAuditPage(size, before);
    const found = this.#open()
      .audit.filter((one) => workspace === null || one.workspace === workspace)
      .filter((one) => number === null || one.number < number);
    const page = found.slice(-size).reverse();
    return {
      entries: page.map(unpackAudit),
      next: found.length > size ? String(page.at(-1)?.number) : null,
    };
  }

  async forgetWorkspace(id: string): Promise<void> {
    const database = this.#open();
    database.audit = database.audit.filter(({ workspace }) => workspace !== id);
    database.removed.clear();
    database.forgotten = database.revision;
  }

  async forgetAudit(olderThan: number): Promise<void> {
    const database = this.#open();
    database.audit = database.audit.filter(({ at }) => at >= olderThan);
  }

  watch(changed: () => void): () => void {
    return this.#watchers.add(changed);
  }

  async health(): Promise<{ ok: true } | { ok: false; why: string }> {
    return this.#closed ? { ok: false, why: CLOSED } : { ok: true };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
    this.#database.stores.delete(this);
  }

  #open(): MemoryDatabase {
    if (this.#closed) throw new StoreUnavailable(CLOSED);
    return this.#database;
  }

  #edit(database: MemoryDatabase, puts: readonly PackedRow[], removes: readonly Key[]): void {
    const { rows, removed, revision, maxRemoved } = database;
    for (const row of puts) {
      const key = keyText(row);
      rows.set(key, { ...row, revision });
      removed.delete(key);
    }
    for (const { kind, id } of removes) {
      const key = keyText({ kind, id });
      if (!rows.delete(key)) continue;
      removed.set(key, { kind, id, revision });
    }
    // Whole revisions are forgotten, so that those which are not are told of in full.
    for (const [key, one] of removed) {
      if (removed.size <= maxRemoved && one.revision > database.forgotten) break;
      database.forgotten = Math.max(database.forgotten, one.revision);
      removed.delete(key);
    }
  }
}

const CLOSED = "the store is closed";
