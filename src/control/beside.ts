/** What a store holds beside entities: rows that follow it as those do, and that no data thread hears of. */
import type { AuditEntry, Edit, Row } from "../stores/store.ts";

export interface Beside {
  /** Of its rows; no entity's. */
  readonly kind: string;
  /** Takes up all rows of its kind that a store has. */
  replace(rows: readonly Row[]): void;
  /** Takes up what was written. Rows of other kinds are not its own. */
  apply(edits: readonly Edit[]): void;
  /** Its rows that go with a workspace. */
  removedWith(workspaceId: string): Edit[];
}

/** What is written beside entities, with the audit entries that tell of it. */
export interface BesideWrite {
  readonly edits: readonly Edit[];
  readonly audit: readonly AuditEntry[];
}
