/** Makes and revokes tokens: each is written to the store together with the audit entry that tells of it. */
import type { Control } from "../control/control.ts";
import { notFound, schemaViolation } from "../control/refusal.ts";
import type { Author } from "../control/write.ts";
import type { AuditEntry } from "../stores/store.ts";
import type { Deed } from "./audit.ts";
import {
  type AdminToken,
  MAX_TOKENS,
  type MadeToken,
  makeToken,
  rowOfToken,
  TOKEN_KIND,
  type TokenTable,
} from "./token-table.ts";

interface Desk {
  readonly table: TokenTable;
  readonly control: Pick<Control, "writeBeside" | "index">;
  readonly entryOf: (deed: Deed, by: Author) => AuditEntry;
}

export class TokenDesk {
  readonly #parts: Desk;

  constructor(parts: Desk) {
    this.#parts = parts;
  }

  /** Those of a workspace by its id; every one if it is null. */
  list(workspace: string | null): readonly AdminToken[] {
    return this.#parts.table.list(workspace);
  }

  /** @param workspace whose it has to be; null for anybody's. */
  find(id: string, workspace: string | null): AdminToken | undefined {
    const token = this.#parts.table.find(id);
    return workspace === null || token?.workspace === workspace ? token : undefined;
  }

  /** @throws {WriteRefused} */
  async create(
    given: Pick<AdminToken, "name" | "role" | "workspace" | "expiresAt">,
    by: Author,
  ): Promise<MadeToken> {
    const made = await makeToken(given, Date.now());
    const { table, control, entryOf } = this.#parts;
    return control.writeBeside(() => {
      const { workspace } = given;
      if (workspace !== "" && control.index.workspace(workspace) === undefined) throw notFound();
      if (table.list(workspace).length >= MAX_TOKENS) {
        const message = `there are ${MAX_TOKENS} tokens already, the most that there may be; revoke one`;
        throw schemaViolation([{ path: ["@entity"], message }]);
      }
      const audit = [entryOf(deed("create", made.token), by)];
      return { edits: [{ put: rowOfToken(made.token) }], audit, result: made };
    });
  }

  /** @throws {WriteRefused} */
  revoke(id: string, workspace: string | null, by: Author): Promise<void> {
    return this.#parts.control.writeBeside(() => {
      const token = this.find(id, workspace);
      if (token === undefined) return { edits: [], audit: [], result: undefined };
      const audit = [this.#parts.entryOf(deed("delete", token), by)];
      return { edits: [{ remove: { kind: TOKEN_KIND, id } }], audit, result: undefined };
    });
  }
}

function deed(action: "create" | "delete", { id, name, role, workspace, expiresAt }: AdminToken): Deed {
  const about = { role, expires_at: expiresAt, for_all: workspace === "" };
  const state = action === "create" ? { after: about } : { before: about };
  return { action, entity: TOKEN_KIND, id, name, workspace, ...state };
}
