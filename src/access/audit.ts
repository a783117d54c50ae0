/**
 * The audit log: who has changed what, from where, and what it was before. An entry of a write is in the store if and
 * only if the write is. Without a store entries are lines of the log.
 */
import type { Logger } from "pino";
import type { Author, Judged, Write } from "../control/write.ts";
import { equalJson } from "../declarative/identity.ts";
import { ENTITIES, type EntityType, type PluginCatalogue } from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import type { Entity } from "../entities/relations.ts";
import type { AuditEntry, Store } from "../stores/store.ts";
import { withoutAnySecret } from "./redacted.ts";

/** Of an entity before or after, as JSON: a longer one is only told of. */
const MAX_SHOWN_BYTES = 16 << 10;
/** Entities that went with another and are named. */
const MAX_NAMED = 100;
/** How often entries that are too old are looked for. */
const LOOK_MS = 3_600_000;
const DAY_MS = 86_400_000;

export type AuditAction = "create" | "update" | "delete" | "replace" | "refuse";

/** What has been done, beside writes of entities. */
export interface Deed {
  readonly action: AuditAction;
  /** Collection, such as `admin_tokens`. */
  readonly entity: string;
  readonly id: string | null;
  readonly name: string | null;
  /** Id of the workspace that it concerns; empty for the whole gateway. */
  readonly workspace: string;
  readonly before?: object | null;
  readonly after?: object | null;
}

export interface AuditParts {
  readonly store: () => Store | null;
  readonly plugins: PluginCatalogue;
  readonly index: () => EntityIndex;
  readonly log: Pick<Logger, "info" | "error" | "warn">;
}

export class AuditLog {
  readonly #parts: AuditParts;
  #look: NodeJS.Timeout | undefined;

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** The entries of a write of an entity, to be written with it. */
  readonly entriesOf = (
    { edits, entity, old }: Judged,
    { kind, workspace }: Pick<Write, "kind" | "workspace">,
    by: Author,
  ): AuditEntry[] => {
    const type = ENTITIES[kind];
    const one = entity ?? old;
    if (one === null) return [];
    const others = [
      ...edits.put.map(({ kind, entity: { id } }) => ({ entity: kind, id })),
      ...edits.removed.map(({ kind, id }) => ({ entity: kind, id })),
    ].filter(({ entity: kind, id }) => kind !== type.name || id !== one.id);
    const name = one[type.endpointKey];
    const isSecret = [...type.secretFields, ...type.quietFields].includes(type.endpointKey);
    const body = {
      ...this.#body(
        {
          action: entity === null ? "delete" : old === null ? "create" : "update",
          entity: type.name,
          id: one.id,
          name: typeof name === "string" && !isSecret ? name : null,
          workspace: "",
          before: old && this.#shown(type, old, workspace),
          after: entity && this.#shown(type, entity, workspace),
        },
        by,
      ),
      ...(entity === null || old === null ? {} : { changed: changedFields(old, entity) }),
      ...(others.length === 0 ? {} : { with: others.slice(0, MAX_NAMED), with_total: others.length }),
    };
    return [{ at: Date.now(), workspace: type.name === "workspaces" ? "" : workspace, body }];
  };

  entryOf(deed: Deed, by: Author): AuditEntry {
    return { at: Date.now(), workspace: deed.workspace, body: this.#body(deed, by) };
  }

  /** Tells of what has been done already. If the store cannot be told, the log is. */
  async note(deed: Deed, by: Author): Promise<void> {
    const entry = this.entryOf(deed, by);
    const store = this.#parts.store();
    if (store === null) {
      this.#parts.log.info({ audit: entry.body }, "audit");
      return;
    }
    try {
      await store.write(0, [], [entry]);
    } catch (error) {
      this.#parts.log.error(
        { audit: entry.body, reason: (error as Error).message },
        "the store could not be told of this for its audit log",
      );
    }
  }

  /** Forgets what is older than so many days, now and from time to time. */
  keep(days: number): void {
    const look = () => {
      const store = this.#parts.store();
      store?.forgetAudit(Date.now() - days * DAY_MS).catch((error: Error) => {
        this.#parts.log.warn({ reason: error.message }, "old entries of the audit log could not be removed");
      });
    };
    look();
    this.#look = setInterval(look, LOOK_MS);
    this.#look.unref();
  }

  close(): void {
    clearInterval(this.#look);
  }

  #body(
    { action, entity, id, name, before, after }: Deed,
    { actor, token, from }: Author,
  ): AuditEntry["body"] {
    return {
      actor,
      ...(token === undefined ? {} : { token }),
      ...(from === undefined ? {} : { from }),
      action,
      entity,
      id,
      name,
      before: before ?? null,
      after: after ?? null,
    };
  }

  #shown(type: EntityType, entity: Entity, workspaceId: string): object {
    const workspace = this.#parts.index().workspace(workspaceId)?.name ?? "";
    const plugin = type.name === "plugins" ? this.#parts.plugins.find(String(entity.name), workspace) : null;
    const config = plugin === null || "missing" in plugin ? null : plugin.schema;
    const shown = withoutAnySecret(type, entity, config);
    const bytes = Buffer.byteLength(JSON.stringify(shown));
    return bytes <= MAX_SHOWN_BYTES ? shown : { id: entity.id, omitted: `${bytes} bytes` };
  }
}

/** Names of fields that are others, by their true values. */
function changedFields(old: Entity, entity: Entity): string[] {
  const names = new Set([...Object.keys(old), ...Object.keys(entity)]);
  return [...names].filter((name) => !equalJson(old[name] ?? null, entity[name] ?? null)).sort();
}
