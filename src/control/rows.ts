/**
 * Entities as a store keeps them, and back. What is in a store may have been written by another version, or by a hand:
 * it is judged like everything else that comes from outside.
 */
import { isObject } from "@gatehouse/sdk";
import { ENTITIES, type EntityName } from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import { isUuid } from "../entities/fields.ts";
import { hostOwnerFaults, hostOwners } from "../entities/host-ownership.ts";
import { type InspectionContext, inspect } from "../entities/inspect.ts";
import { type Entity, referenceOf, relationFaults, uniqueKeys } from "../entities/relations.ts";
import { printable } from "../printable.ts";
import type { Edit, Row } from "../stores/store.ts";
import { DEPENDENCIES } from "./removal.ts";

export function rowOf(kind: EntityName, { ws_id: workspace, ...body }: Entity): Row {
  return { kind, id: body.id, workspace: kind === "workspaces" ? "" : workspace, body };
}

export function storeEdits({ put, removed }: EntityEdits): Edit[] {
  return [
    ...removed.map((one): Edit => ({ remove: one })),
    ...put.map(({ kind, entity }): Edit => ({ put: rowOf(kind, entity) })),
  ];
}

/** What the store holds is no configuration that this gateway could serve. The message names the row and says why. */
export class UnsoundRow extends Error {
  override name = "UnsoundRow";
}

const unsound = ({ kind, id }: { kind: string; id: string }, why: string) =>
  new UnsoundRow(`the store's row ${shown(kind)} '${shown(id)}' is not sound: ${shown(why)}`);

const MAX_SHOWN = 300;
const shown = (text: string) => printable(text.slice(0, MAX_SHOWN));

/** Whether this version knows a collection. */
export const isKind = (kind: string): kind is EntityName => Object.hasOwn(ENTITIES, kind);

/**
 * The entities of rows, each sound for itself.
 * @param workspaceName of a workspace by id, those that are among the rows aside.
 * @throws {UnsoundRow}
 */
export function readRows(
  rows: readonly Row[],
  workspaceName: (id: string) => string | undefined,
  context: InspectionContext,
): { readonly kind: EntityName; readonly entity: Entity }[] {
  const names = new Map<string, string>();
  for (const { kind, id, body } of rows)
    if (kind === "workspaces" && isObject(body) && typeof body.name === "string") names.set(id, body.name);
  return rows.map((row) => {
    const { kind, id, body } = row;
    if (!isKind(kind)) throw unsound(row, "this version knows no such collection");
    if (!isObject(body) || body.id !== id || !isUuid(id))
      throw unsound(row, "its id is not the row's, or no UUID");
    const workspaceId = kind === "workspaces" ? id : row.workspace;
    const workspace = names.get(workspaceId) ?? workspaceName(workspaceId);
    if (workspace === undefined) throw unsound(row, `workspace '${row.workspace}' does not exist`);
    const { value, findings } = inspect(ENTITIES[kind], body, workspace, context);
    const [first] = findings;
    if (first !== undefined) throw unsound(row, `${first.path.join(".")}: ${first.message}`);
    for (const field of ["created_at", "updated_at"])
      if (field in value && typeof value[field] !== "number")
        throw unsound(row, `${field}: required field missing`);
    for (const field of ENTITIES[kind].madeUpFields)
      if (value[field] === null) throw unsound(row, `${field}: required field missing`);
    return { kind, entity: { ...value, id, ws_id: workspaceId } as Entity };
  });
}

/**
 * What keeps a configuration together, where rows came from a store: nothing twice, references that lead somewhere, hosts
 * whose owners have them. What only a request would notice is left to the request.
 * @param index with the edits in it.
 * @throws {UnsoundRow}
 */
export function checkTogether({ put, removed }: EntityEdits, index: EntityIndex): void {
  for (const { kind, id } of removed) {
    if (index.find(kind, id) !== undefined) continue;
    for (const { child, field } of DEPENDENCIES.get(kind) ?? []) {
      const [orphan] = index.children(child, field, id);
      if (orphan === undefined) continue;
      throw unsound({ kind: child, id: orphan.id }, `${field}: '${kind}' entity '${id}' is gone`);
    }
  }
  if (put.some(({ kind }) => kind === "workspaces")) checkOwners(index);
  for (const { kind, entity } of put) {
    const type = ENTITIES[kind];
    const row = { kind, id: entity.id };
    for (const { rule, fields, value } of uniqueKeys(type, entity)) {
      const holder = index.holder(type, rule, entity.ws_id, value);
      if (holder !== undefined && holder.id !== entity.id)
        throw unsound(row, `${fields.join(", ")}: row '${holder.id}' has the same`);
    }
    for (const [field, parent] of Object.entries(type.foreignKeys) as [string, EntityName][]) {
      const id = referenceOf(entity, field);
      if (id !== null && index.find(parent, id)?.ws_id !== entity.ws_id)
        throw unsound(row, `${field}: there is no '${parent}' entity '${id}' in its workspace`);
    }
    // A plugin's protocols may come to miss its service's routes by what is done to those, and no harm comes of it.
    if (kind === "plugins") continue;
    const [fault] = relationFaults(type, entity, index, null);
    if (fault !== undefined) throw unsound(row, `${fault.path.join(".")}: ${fault.message}`);
  }
}

/** A host that two workspaces have is found at one of them, whichever was written last. */
function checkOwners(index: EntityIndex): void {
  const workspaces = index.workspaces();
  const owners = hostOwners(workspaces);
  for (const facts of workspaces) {
    const [fault] = hostOwnerFaults(facts, owners);
    if (fault !== undefined) throw unsound({ kind: "workspaces", id: facts.id }, fault.message);
  }
}
