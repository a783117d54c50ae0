/** The embedded store: this process's hold of the thread that has the SQLite file. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import {
  checkAuditPage,
  type PackedRow,
  packWrite,
  unpackAudit,
  unpackChange,
  unpackRow,
} from "../packed.ts";
import {
  type AuditEntry,
  type Edit,
  type Row,
  StaleRevision,
  type Store,
  type StoredChange,
  type StoredState,
  StoreUnavailable,
} from "../store.ts";
import { Watchers } from "../watchers.ts";
import type { SqliteFileOptions } from "./sqlite-file.ts";
import type {
  Answer,
  CallArguments,
  CallName,
  CallResult,
  Failure,
  FromThread,
  ThreadOptions,
  ToThread,
} from "./sqlite-thread.ts";

/** After which a thread that has ended by itself is replaced. */
const PAUSE_MS = 1000;

export interface SqliteStoreOptions extends SqliteFileOptions {
  /** Whether nobody else may use the file's directory meanwhile; default: no. */
  readonly lock?: boolean;
}

interface Waiter {
  readonly onRows: (rows: readonly PackedRow[]) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class SqliteStore implements Store {
  readonly engine = "sqlite";
  readonly #options: ThreadOptions;
  readonly #watchers = new Watchers();
  readonly #waiting = new Map<number, Waiter>();
  #worker: Worker | null = null;
  #respawn: NodeJS.Timeout | null = null;
  #next = 0;
  #away = false;
  #closed = false;

  private constructor({ lock = false, ...options }: SqliteStoreOptions) {
    this.#options = { ...options, lock };
  }

  /**
   * Opens the file, makes it if it is not there, and brings it to its newest shape.
   * @throws {StoreUnavailable}
   */
  static async open(options: SqliteStoreOptions): Promise<SqliteStore> {
    const store = new SqliteStore(options);
    await store.#start();
    return store;
  }

  async read(): Promise<StoredState> {
    const rows: Row[] = [];
    const revision = await this.#callFor((some) => {
      for (const row of some) rows.push(unpackRow(row));
    }, "read");
    return { revision, rows };
  }

  async changesSince(revision: number): Promise<StoredChange | null> {
    const change = await this.#call("changesSince", revision);
    return change && unpackChange(change);
  }

  async write(expected: number, edits: readonly Edit[], audit: readonly AuditEntry[]): Promise<number> {
    return await this.#call("write", expected, packWrite(edits, audit));
  }

  async audit(
    workspace: string | null,
    size: number,
    before: string | null,
  ): Promise<{ entries: AuditEntry[]; next: string | null }> {
    const page = await this.#call("audit", workspace, size, checkAuditPage(size, before));
    return { entries: page.entries.map(unpackAudit), next: page.next };
  }

  async forgetWorkspace(id: string): Promise<void> {
    await this.#call("forgetWorkspace", id);
  }

  async forgetAudit(olderThan: number): Promise<void> {
    await this.#call("forgetAudit", olderThan);
  }

  watch(changed: () => void): () => void {
    return this.#watchers.add(changed);
  }

  async health(): Promise<{ ok: true } | { ok: false; why: string }> {
    try {
      await this.#call("health");
      return { ok: true };
    } catch (error) {
      return { ok: false, why: (error as Error).message };
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watchers.clear();
    if (this.#respawn !== null) clearTimeout(this.#respawn);
    const worker = this.#worker;
    if (worker === null) return;
    const gone = once(worker, "exit");
    worker.postMessage({ close: true } satisfies ToThread);
    await gone;
  }

  #start(): Promise<void> {
    const worker = new Worker(new URL("./sqlite-thread.ts", import.meta.url), {
      workerData: this.#options,
      name: "store",
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let opened = false;
    let why: Error | null = null;
    worker.on("message", (message: FromThread) => {
      if ("ready" in message) {
        opened = true;
        this.#worker = worker;
        if (this.#closed) worker.postMessage({ close: true } satisfies ToThread);
        resolve();
      } else if ("changed" in message) this.#watchers.tell();
      else if (message.id === null) why = failureOf(message.failed);
      else this.#settle(message);
    });
    worker.on("error", (error: Error) => {
      why = new StoreUnavailable(`the thread of ${this.#options.path} has failed: ${error.message}`);
    });
    worker.on("exit", () => {
      // Only now it has let go of the file.
      const lost = why ?? new StoreUnavailable(`the thread of ${this.#options.path} has ended`);
      reject(lost);
      if (opened) this.#lose(lost);
    });
    return promise;
  }

  /** What was asked may have been done or not. */
  #lose(error: Error): void {
    this.#worker = null;
    this.#away = true;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    if (!this.#closed) this.#startLater();
  }

  #startLater(): void {
    this.#respawn = setTimeout(() => {
      this.#start().then(
        () => this.#answers(),
        () => {
          if (!this.#closed) this.#startLater();
        },
      );
    }, PAUSE_MS);
  }

  #settle(message: Answer): void {
    const waiter = this.#waiting.get(message.id);
    if ("rows" in message) {
      try {
        waiter?.onRows(message.rows);
      } catch (error) {
        // Nobody waits for the rest.
        this.#waiting.delete(message.id);
        waiter?.reject(error as Error);
      }
      return;
    }
    this.#waiting.delete(message.id);
    if ("result" in message) {
      this.#answers();
      waiter?.resolve(message.result);
      return;
    }
    if (message.failed.kind === "unavailable") this.#away = true;
    waiter?.reject(failureOf(message.failed));
  }

  #answers(): void {
    if (!this.#away) return;
    this.#away = false;
    this.#watchers.tell();
  }

  #call<N extends CallName>(call: N, ...args: CallArguments<N>): Promise<CallResult<N>> {
    return this.#callFor(() => {}, call, ...args);
  }

  #callFor<N extends CallName>(
    onRows: Waiter["onRows"],
    call: N,
    ...args: CallArguments<N>
  ): Promise<CallResult<N>> {
    if (this.#closed) return Promise.reject(new StoreUnavailable("the store is closed"));
    const worker = this.#worker;
    if (worker === null)
      return Promise.reject(
        new StoreUnavailable(`the thread of ${this.#options.path} has ended; it starts again`),
      );
    const id = this.#next++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { onRows, resolve, reject });
    worker.postMessage({ id, call, args } satisfies ToThread);
    return promise as Promise<CallResult<N>>;
  }
}

function failureOf(failure: Failure): Error {
  if (failure.kind === "stale") return new StaleRevision(failure.expected);
  return failure.kind === "unavailable" ? new StoreUnavailable(failure.message) : new Error(failure.message);
}
