/** Who may ask the Admin API, and what is told of it: the parts of `src/access/` as this gateway has them. */
import type { Logger } from "pino";
import { Access, NEEDS_TOKENS } from "../access/access.ts";
import { AuditLog } from "../access/audit.ts";
import { TokenDesk } from "../access/token-desk.ts";
import { openTokenFile } from "../access/token-file.ts";
import { TokenTable } from "../access/token-table.ts";
import type { Control } from "../control/control.ts";
import type { PluginCatalogue } from "../entities/entities.ts";
import type { Settings } from "../settings.ts";
import { StartError } from "./start-error.ts";

interface Parts {
  readonly settings: Settings;
  readonly catalogue: PluginCatalogue;
  readonly control: () => Control;
  readonly log: Logger;
}

export class AdminAccess {
  readonly #parts: Parts;
  readonly table: TokenTable;
  readonly audit: AuditLog;
  #access: Access | null = null;

  constructor(parts: Parts) {
    const { log, control, catalogue } = parts;
    this.#parts = parts;
    this.table = new TokenTable((id) =>
      log.error({ id }, "the store's row of an admin token is not sound: nobody gets in by it"),
    );
    this.audit = new AuditLog({
      store: () => control().store,
      plugins: catalogue,
      index: () => control().index,
      log,
    });
  }

  /** Once the configuration is in force. @throws {StartError} */
  async open(): Promise<Access> {
    const { settings, control, log } = this.#parts;
    const hasStore = control().store !== null;
    const access = new Access({
      mode: settings.adminAuth as "auto" | "on" | "off",
      certificateRoles: settings.adminClientRoles,
      tokens: this.table,
      index: () => control().index,
      hasStore,
      fileToken: hasStore || settings.adminAuth === "on" ? await openTokenFile(settings.prefix) : null,
      onFailure: ({ address, failures }) => {
        log.warn({ address, failures }, "a wrong token was sent to the Admin API");
        const deed = { action: "refuse", entity: "admin_tokens", id: null, name: null } as const;
        void this.audit.note({ ...deed, workspace: "", after: { failures } }, { actor: null, from: address });
      },
    });
    if (access.lacksTokens()) throw new StartError(NEEDS_TOKENS);
    this.audit.keep(settings.auditLogDays);
    this.#access = access;
    return access;
  }

  get desk(): TokenDesk {
    const { table, audit } = this;
    return new TokenDesk({
      table,
      control: this.#parts.control(),
      entryOf: (deed, by) => audit.entryOf(deed, by),
    });
  }

  noTenants(): string | null {
    return this.#access?.allowsTenants() === false ? NEEDS_TOKENS : null;
  }
}
