/**
 * What data threads have in place of entities with references to vaults: the same with what the references lead to. It
 * is kept beside the configuration, so that nobody who is shown an entity or its row sees more than the reference.
 */
import type { EntityName, GatewayConfig } from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import type { InspectionContext } from "../entities/inspect.ts";
import type { Entity } from "../entities/relations.ts";
import { DEFAULT_WORKSPACE_ID } from "../entities/workspaces.ts";
import { hasReferences, REFERRING, UnresolvedReferences, type Vaults } from "../secrets/vaults.ts";

/** By collection and id. */
export type Resolved = ReadonlyMap<string, Entity>;

const keyOf = (kind: EntityName, { id }: { readonly id: string }) => `${kind} ${id}`;

/**
 * What is resolved once edits are in force.
 * @param before what is resolved now.
 * @param index with the edits in it.
 * @returns `again`: entities that nobody has edited and that are read anew, as vaults have changed.
 * @throws {UnresolvedReferences} if a reference leads nowhere.
 */
export async function resolvedAfter(
  before: Resolved,
  edits: EntityEdits,
  index: EntityIndex,
  vaults: Pick<Vaults, "resolve">,
  context: InspectionContext,
): Promise<{ readonly all: Resolved; readonly again: EntityEdits["put"] }> {
  const all = new Map(before);
  for (const { kind, id } of edits.removed) all.delete(keyOf(kind, { id }));
  const put = edits.put.filter(({ kind }) => REFERRING.includes(kind));
  const edited = new Set(put.map(({ kind, entity }) => keyOf(kind, entity)));
  const moved = [...edits.put, ...edits.removed].some(({ kind }) => kind === "vaults");
  const again = (moved ? REFERRING : []).flatMap((kind) =>
    [...index.all(kind)].flatMap((entity) => {
      const key = keyOf(kind, entity);
      return all.has(key) && !edited.has(key) ? [{ kind, entity }] : [];
    }),
  );
  const find = (prefix: string) => index.named("vaults", DEFAULT_WORKSPACE_ID, prefix);
  for (const { kind, entity } of [...put, ...again]) {
    all.delete(keyOf(kind, entity));
    if (!hasReferences(kind, entity)) continue;
    const resolved = await vaults.resolve(kind, entity, find, context);
    if (resolved.faults.length > 0) throw new UnresolvedReferences(kind, entity, resolved.faults);
    all.set(keyOf(kind, entity), resolved.entity as Entity);
  }
  return { all, again };
}

type Lists = { readonly [N in EntityName]: readonly GatewayConfig[N][number][] };

/** Lists of entities with what is resolved in its place. */
export function withResolved<L extends Lists>(lists: L, resolved: Resolved): L {
  if (resolved.size === 0) return lists;
  const out: Record<string, unknown> = { ...lists };
  for (const kind of REFERRING) {
    const entities = lists[kind] as readonly { readonly id: string }[];
    out[kind] = entities.map((entity) => resolved.get(keyOf(kind, entity)) ?? entity);
  }
  return out as L;
}
