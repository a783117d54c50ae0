/**
 * What the registry knows besides bytes: rows of a store of its own, held in memory by kind. Whoever changes something
 * plans it by what is there and is asked again when another gateway on the same store was faster, so that rules over
 * several rows hold everywhere.
 */

import { setTimeout } from "node:timers/promises";
import { InTurn } from "../in-turn.ts";
import { type Edit, type Row, StaleRevision, type Store, StoreUnavailable } from "../stores/store.ts";

/** How long a change is planned again and again because others were faster. */
const PATIENCE_MS = 10_000;
/** Longest pause before it is: those who meet again and again part by chance. */
const LONGEST_PAUSE_MS = 32;

/** The rows of one kind as somebody understands them. */
export interface RecordTable {
  readonly kind: string;
  /** A row is there, in place of the one with its id. */
  put(row: Row): void;
  remove(id: string): void;
  /** Of the rows that are there. */
  ids(): Iterable<string>;
  /** Nothing is there any more: everything is told anew. */
  clear(): void;
}

export interface Planned<T> {
  readonly edits: readonly Edit[];
  readonly result: T;
  /** Done once the edits are durable, before anybody else writes. */
  readonly after?: () => Promise<unknown>;
}

export class Records {
  readonly #store: Store;
  readonly #tables = new Map<string, RecordTable>();
  readonly #listeners = new Set<(edits: readonly Edit[]) => void>();
  #revision = 0;
  /** Writers and readers of what others wrote follow each other. */
  readonly #turns = new InTurn();
  #unwatch: () => void = () => {};

  private constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Reads everything, and follows what others write from then on.
   * @param tables that understand the rows; other kinds are not looked at.
   * @param onTrouble is told why others' changes could not be read. They are read with the next.
   * @throws {StoreUnavailable}
   */
  static async open(
    store: Store,
    tables: readonly RecordTable[],
    onTrouble: (reason: string) => void,
  ): Promise<Records> {
    const records = new Records(store);
    for (const table of tables) records.#tables.set(table.kind, table);
    await records.#readAll();
    records.#unwatch = store.watch(() => {
      records.catchUp().catch((error: Error) => onTrouble(error.message));
    });
    return records;
  }

  get engine(): Store["engine"] {
    return this.#store.engine;
  }

  /** Calls back after each change, whoever made it, once the tables have it. @returns ends it. */
  onChange(listener: (edits: readonly Edit[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Writes what `plan` says. Resolves once it is durable and the tables have it.
   * @param plan by what the tables hold; asked again when others were faster. Without edits nothing is written.
   * @throws {StoreUnavailable} and whatever `plan` throws: nothing has changed.
   */
  write<T>(plan: () => Planned<T> | Promise<Planned<T>>): Promise<T> {
    return this.alone(async () => {
      const began = performance.now();
      for (let tries = 0; ; tries++) {
        const { edits, result, after } = await plan();
        if (edits.length === 0) return result;
        try {
          this.#revision = await this.#store.write(this.#revision, edits, []);
        } catch (error) {
          if (!(error instanceof StaleRevision)) throw error;
          if (performance.now() - began > PATIENCE_MS)
            throw new StoreUnavailable("others write to the registry's store all the time");
          await setTimeout(Math.random() * Math.min(2 ** tries, LONGEST_PAUSE_MS));
          await this.#catchUp();
          continue;
        }
        this.#apply(edits);
        await after?.();
        return result;
      }
    });
  }

  /** Takes up what others have written. @throws {StoreUnavailable} */
  catchUp(): Promise<void> {
    return this.alone(() => this.#catchUp());
  }

  /** Removes what the store keeps of a workspace beside its rows. @throws {StoreUnavailable} */
  async forgetWorkspace(id: string): Promise<void> {
    await this.#store.forgetWorkspace(id);
  }

  async close(): Promise<void> {
    this.#unwatch();
    await this.alone(async () => {});
    await this.#store.close();
  }

  async #catchUp(): Promise<void> {
    const change = await this.#store.changesSince(this.#revision);
    if (change === null) return this.#readAll();
    this.#revision = change.revision;
    if (change.edits.length > 0) this.#apply(change.edits);
  }

  async #readAll(): Promise<void> {
    const { revision, rows } = await this.#store.read();
    const there = new Set(rows.map(({ kind, id }) => `${kind} ${id}`));
    // Nobody else remembers what was removed while this gateway did not look.
    const known = [...this.#tables.values()].flatMap((table) =>
      [...table.ids()].map((id) => ({ kind: table.kind, id })),
    );
    const removed = known.filter(({ kind, id }) => !there.has(`${kind} ${id}`));
    for (const table of this.#tables.values()) table.clear();
    this.#revision = revision;
    this.#apply([...removed.map((remove) => ({ remove })), ...rows.map((put) => ({ put }))]);
  }

  #apply(edits: readonly Edit[]): void {
    for (const edit of edits) {
      if ("put" in edit) this.#tables.get(edit.put.kind)?.put(edit.put);
      else this.#tables.get(edit.remove.kind)?.remove(edit.remove.id);
    }
    for (const listener of [...this.#listeners]) listener(edits);
  }

  /** Does something between two changes. */
  alone<T>(job: () => Promise<T>): Promise<T> {
    return this.#turns.run(job);
  }
}

/** A table that keeps what `read` makes of its rows, by id. */
export class KeyedTable<T> implements RecordTable {
  readonly kind: string;
  readonly #read: (row: Row) => T | null;
  readonly #onUnsound: (row: Row) => void;
  readonly #kept = new Map<string, T>();
  /** Grows with each change. */
  changes = 0;

  /** @param read null for a row that says nothing sound: it counts as not there, and `onUnsound` is told. */
  constructor(kind: string, read: (row: Row) => T | null, onUnsound: (row: Row) => void) {
    this.kind = kind;
    this.#read = read;
    this.#onUnsound = onUnsound;
  }

  get(id: string): T | undefined {
    return this.#kept.get(id);
  }

  values(): IteratorObject<T> {
    return this.#kept.values();
  }

  /** By id. */
  entries(): Iterable<readonly [string, T]> {
    return this.#kept.entries();
  }

  put(row: Row): void {
    this.changes++;
    const value = this.#read(row);
    if (value !== null) this.#kept.set(row.id, value);
    else {
      this.#kept.delete(row.id);
      this.#onUnsound(row);
    }
  }

  remove(id: string): void {
    this.changes++;
    this.#kept.delete(id);
  }

  ids(): Iterable<string> {
    return this.#kept.keys();
  }

  clear(): void {
    this.changes++;
    this.#kept.clear();
  }
}
