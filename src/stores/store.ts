/**
 * Where configurations live between starts: one interface for memory, SQLite and PostgreSQL.
 *
 * A store knows nothing of what entities mean. It keeps rows, the number of the last change (the revision), and
 * which rows each change touched. A write names the revision that it was judged at and is refused if another has come
 * in between: so every rule about entities (uniqueness, references, ownership of hosts) is one piece of TypeScript
 * that holds over any number of gateways, and not SQL of each store's own.
 */

/** A thing as it is kept. */
export interface Row {
  /** Collection, such as `services`. */
  readonly kind: string;
  /** Unique within its kind. */
  readonly id: string;
  /** Id of the workspace that it belongs to; empty for what belongs to none. */
  readonly workspace: string;
  /** Plain JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

export type Edit =
  | { readonly put: Row }
  | { readonly remove: { readonly kind: string; readonly id: string } };

/** A line of the audit log, written with the edits that it tells of or not at all. */
export interface AuditEntry {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Id of the workspace that it concerns; empty for the whole gateway. */
  readonly workspace: string;
  /** Who, what, before and after: plain JSON without secrets. */
  readonly body: Readonly<Record<string, unknown>>;
}

export interface StoredState {
  /** Of the last change that is in it; 0 while nothing was ever written. */
  readonly revision: number;
  readonly rows: readonly Row[];
}

/** Rows as they are at `revision`, of those that were touched since another. */
export interface StoredChange {
  readonly revision: number;
  readonly edits: readonly Edit[];
}

export interface Store {
  /** What it is, for `/status` and `GET /`. */
  readonly engine: "memory" | "sqlite" | "postgres";

  /** Everything. @throws {StoreUnavailable} */
  read(): Promise<StoredState>;

  /**
   * What was touched after a revision: each row once, in its last state.
   * @returns null if the store no longer knows: read it whole.
   * @throws {StoreUnavailable}
   */
  changesSince(revision: number): Promise<StoredChange | null>;

  /**
   * Writes all edits and audit entries, or nothing. Acknowledged means that it outlives a crash. Of edits of the same
   * row the last counts. Without edits (audit alone) nothing is compared, and the revision stays.
   * @param expected the revision that the edits were judged at.
   * @returns the new revision.
   * @throws {StaleRevision} somebody else has written since: read their changes, judge again, write again.
   * @throws {StoreUnavailable} nothing was written, as far as can be known. If it was nevertheless (the answer was
   *   lost), `watch` tells of it like of somebody else's.
   * @throws {UnfitValue} nothing was written: something is too long or is not JSON.
   */
  write(expected: number, edits: readonly Edit[], audit: readonly AuditEntry[]): Promise<number>;

  /**
   * Audit entries of a workspace (of all if null), newest first.
   * @param size from 1 to 1000.
   * @param before the `next` of the page before; null for the first page.
   * @throws {UnfitValue} a size or mark that no page has.
   * @throws {StoreUnavailable}
   */
  audit(
    workspace: string | null,
    size: number,
    before: string | null,
  ): Promise<{ readonly entries: readonly AuditEntry[]; readonly next: string | null }>;

  /**
   * Removes what is kept of a workspace that is deleted beside its rows: its audit entries, and which rows were removed of
   * late, its among them (who has not heard of that yet reads everything again).
   * @throws {StoreUnavailable}
   */
  forgetWorkspace(id: string): Promise<void>;

  /** Removes audit entries older than a time (ms since the epoch). @throws {StoreUnavailable} */
  forgetAudit(olderThan: number): Promise<void>;

  /**
   * Calls back after somebody else's write, and after each time that the store was away and has come back: there may be
   * changes. Never for a write of this very store.
   * @returns ends it.
   */
  watch(changed: () => void): () => void;

  /** Whether it answers now, and if not, why, in words for an operator. */
  health(): Promise<{ readonly ok: true } | { readonly ok: false; readonly why: string }>;

  /** Lets go of files and connections, once what was asked before is done. */
  close(): Promise<void>;
}

/** Another write came in between. */
export class StaleRevision extends Error {
  readonly expected: number;

  constructor(expected: number) {
    super(`the store has moved on from revision ${expected}`);
    this.name = "StaleRevision";
    this.expected = expected;
  }
}

/** The store cannot be reached, is full, read-only or broken. The message says which, for an operator. */
export class StoreUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreUnavailable";
  }
}

/** A row, audit entry or page that no store takes; the same ones everywhere. The message says which and why. */
export class UnfitValue extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnfitValue";
  }
}
