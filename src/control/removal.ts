/** What goes with an entity that is removed, and what keeps one from being removed. */
import { DEFAULT_WORKSPACE, ENTITIES, ENTITY_NAMES, type EntityName } from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import { type Entity, LISTED_REFERENCES } from "../entities/relations.ts";
import { WriteRefused } from "./refusal.ts";

interface Dependency {
  readonly child: EntityName;
  readonly field: string;
  /** Whether the child goes too; otherwise the parent stays as long as there is one. */
  readonly cascade: boolean;
}

/** By collection, who points to it. */
const DEPENDENCIES: ReadonlyMap<EntityName, readonly Dependency[]> = new Map(
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

/** @throws {WriteRefused} if something that would stay points to it. */
export function removal(kind: EntityName, entity: Entity, index: EntityIndex): EntityEdits {
  const removed = new Map<string, { kind: EntityName; id: string }>();
  if (kind === "workspaces") checkEmpty(entity, index);
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

/** A workspace goes when it holds nothing more; the operator's own stays. */
function checkEmpty({ id, name }: Entity, index: EntityIndex): void {
  if (name === DEFAULT_WORKSPACE)
    throw new WriteRefused(
      "schemaViolation",
      `schema violation (name: workspace '${name}' cannot be deleted)`,
      {
        name: `workspace '${name}' cannot be deleted`,
      },
    );
  for (const kind of ENTITY_NAMES)
    if (kind !== "workspaces" && index.list(kind, id).length > 0) throw referenced("workspaces", kind);
}
