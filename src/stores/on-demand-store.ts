/**
 * A store that is there while it is used: for what is read once, written seldom, and by nobody else. The thread of a
 * SQLite file takes 20 MB and a tenth of a second of a core to start, which a gateway without uploaded plugins never pays.
 */
import type { AuditEntry, Edit, Store, StoredChange, StoredState } from "./store.ts";
import { StoreUnavailable } from "./store.ts";

/** One thing is often followed by another. */
const IDLE_MS = 10_000;

export interface OnDemandOptions {
  readonly engine: Store["engine"];
  readonly open: () => Promise<Store>;
  /** Whether anything was ever written: nothing is opened to read what is not there. */
  readonly isThere: () => boolean;
  readonly idleMs?: number;
}

export class OnDemandStore implements Store {
  readonly engine: Store["engine"];
  readonly #options: OnDemandOptions;
  #opened: Promise<Store> | null = null;
  #users = 0;
  #idle: NodeJS.Timeout | undefined;
  /** What is being closed must be, before it is opened again. */
  #closing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: OnDemandOptions) {
    this.#options = options;
    this.engine = options.engine;
  }

  async read(): Promise<StoredState> {
    return this.#isEmpty() ? { revision: 0, rows: [] } : this.#using((store) => store.read());
  }

  async changesSince(revision: number): Promise<StoredChange | null> {
    if (this.#isEmpty()) return revision === 0 ? { revision, edits: [] } : null;
    return this.#using((store) => store.changesSince(revision));
  }

  write(expected: number, edits: readonly Edit[], audit: readonly AuditEntry[]): Promise<number> {
    return this.#using((store) => store.write(expected, edits, audit));
  }

  audit(workspace: string | null, size: number, before: string | null): ReturnType<Store["audit"]> {
    return this.#using((store) => store.audit(workspace, size, before));
  }

  async forgetWorkspace(id: string): Promise<void> {
    if (!this.#isEmpty()) await this.#using((store) => store.forgetWorkspace(id));
  }

  forgetAudit(olderThan: number): Promise<void> {
    return this.#using((store) => store.forgetAudit(olderThan));
  }

  /** Nobody else writes. */
  watch(): () => void {
    return () => {};
  }

  async health(): Promise<{ ok: true } | { ok: false; why: string }> {
    if (this.#closed) return { ok: false, why: CLOSED };
    if (this.#isEmpty()) return { ok: true };
    try {
      return await this.#using((store) => store.health());
    } catch (error) {
      return { ok: false, why: (error as Error).message };
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#letGo();
    await this.#closing;
  }

  #isEmpty(): boolean {
    if (this.#closed) throw new StoreUnavailable(CLOSED);
    return this.#opened === null && !this.#options.isThere();
  }

  async #using<T>(work: (store: Store) => Promise<T>): Promise<T> {
    if (this.#closed) throw new StoreUnavailable(CLOSED);
    clearTimeout(this.#idle);
    this.#users++;
    try {
      this.#opened ??= this.#closing.then(() => this.#options.open());
      let store: Store;
      try {
        store = await this.#opened;
      } catch (error) {
        this.#opened = null;
        throw error;
      }
      return await work(store);
    } finally {
      if (--this.#users === 0 && !this.#closed) {
        this.#idle = setTimeout(() => this.#letGo(), this.#options.idleMs ?? IDLE_MS);
        this.#idle.unref();
      }
    }
  }

  #letGo(): void {
    clearTimeout(this.#idle);
    const opened = this.#opened;
    this.#opened = null;
    if (opened !== null) this.#closing = opened.then((store) => store.close()).catch(() => {});
  }
}

const CLOSED = "the store is closed";
