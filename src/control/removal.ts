/** What goes with an entity that is removed, and what keeps one from being removed. */
import { DEFAULT_WORKSPACE, ENTITIES, ENTITY_NAMES, type EntityName } from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import { type Entity, LISTED_REFERENCES } from "../entities/relations.ts";
import { schemaViolation, WriteRefused } from "./refusal.ts";

interface Dependency {
  readonly child: EntityName;
  readonly field: string;
  /** Whether the child goes too; otherwise the parent stays as long as there is one. */
  readonly cascade: boolean;
}

/** By collection, who points to it. */
export const DEPENDENCIES: ReadonlyMap<EntityName, readonly Dependency[]> = new Map(
  ENTITY_NAMES.map((parent) => [
    parent,
    ENTITY_NAMES.flatMap((child) => {
      const { foreignKeys, onDelete } = ENTITIES[child];
      return Object.keys(foreignKeys)
        .filter((field) => foreignKeys[field] === parent)
        .map((field) => ({ child, field, cascade: onDelete[field] === "cascade" }));
    }),
  ]),
);

/**
 * @param cascade whether a workspace goes with everything that it holds.
 * @throws {WriteRefused} if something that would stay points to it.
 */
export function removal(kind: EntityName, entity: Entity, index: EntityIndex, cascade = false): EntityEdits {
  const removed = new Map<string, { kind: EntityName; id: string }>();
  if (kind === "workspaces") {
    checkMayGo(entity, index);
    if (cascade) return { put: [], removed: [...everythingOf(entity, index)] };
    checkEmpty(entity, index);
  }
  collect(kind, entity.id, index, removed);
  return { put: [], removed: [...removed.values()] };
}

function collect(
  kind: EntityName,
  id: string,
  index: EntityIndex,
  removed: Map<string, { kind: EntityName; id: string }>,
): void {
  if (removed.has(`${kind} ${id}`)) return;
  removed.set(`${kind} ${id}`, { kind, id });
  const dependencies = DEPENDENCIES.get(kind) ?? [];
  for (const { child, field, cascade } of dependencies)
    if (!cascade && index.children(child, field, id).length > 0) throw referenced(kind, child);
  checkListed(kind, id, index);
  for (const { child, field, cascade } of dependencies)
    if (cascade)
      for (const entity of index.children(child, field, id)) collect(child, entity.id, index, removed);
}

function referenced(parent: EntityName, child: EntityName): WriteRefused {
  const message = `an existing '${child}' entity references this '${parent}' entity`;
  return new WriteRefused("foreignKeyViolation", message, { "@referenced_by": child });
}

function checkListed(kind: EntityName, id: string, index: EntityIndex): void {
  for (const [child, fields] of Object.entries(LISTED_REFERENCES) as [
    EntityName,
    Record<string, EntityName>,
  ][])
    for (const [field, parent] of Object.entries(fields)) {
      const [first] = parent === kind ? index.children(child, field, id) : [];
      if (first === undefined) continue;
      const what = kind === "ca_certificates" ? "ca certificate" : kind;
      const message = `${what} ${id} is still referenced by ${child} (id = ${first.id})`;
      throw new WriteRefused("referencedByOthers", message, { "@referenced_by": child });
    }
}

/** The operator's own workspace stays, and one whose packages run in another. */
function checkMayGo({ id, name }: Entity, index: EntityIndex): void {
  if (name === DEFAULT_WORKSPACE) {
    throw schemaViolation([{ path: ["name"], message: `workspace '${name}' cannot be deleted` }]);
  }
  for (const plugin of index.all("plugins"))
    if (plugin.ws_id !== id && String(plugin.name).startsWith(`${name}/`)) {
      const user = `plugin '${plugin.name}' (id = ${plugin.id}) of workspace '${index.workspace(plugin.ws_id)?.name}'`;
      throw new WriteRefused("referencedByOthers", `a package of workspace '${name}' is used by ${user}`, {
        "@referenced_by": "plugins",
      });
    }
}

/** A workspace goes when it holds nothing more. */
function checkEmpty({ id }: Entity, index: EntityIndex): void {
  for (const kind of ENTITY_NAMES)
    if (kind !== "workspaces" && index.list(kind, id).length > 0) throw referenced("workspaces", kind);
}

/** A workspace with all its entities, children before parents. */
function* everythingOf({ id }: Entity, index: EntityIndex): Generator<{ kind: EntityName; id: string }> {
  for (const kind of ENTITY_NAMES.toReversed())
    if (kind !== "workspaces") for (const entity of index.list(kind, id)) yield { kind, id: entity.id };
  yield { kind: "workspaces", id };
}
