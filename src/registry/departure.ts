/** What the registry forgets with a workspace. */
import type { Edit } from "../stores/store.ts";
import { AUTHOR_KEY_KIND } from "./author-keys.ts";
import { CHANNEL_KIND } from "./channels.ts";
import { CONSENT_KIND } from "./consents.ts";
import { DELETED_KIND } from "./deleted-versions.ts";
import { rowOfShare, SHARE_KIND } from "./shared-lines.ts";
import { keyOf, PACKAGE_KIND, type StoredPackage } from "./stored-package.ts";
import type { Tables } from "./tables.ts";

/**
 * Everything that is the workspace's own, and its place in what others have shared. Who has its name by now is somebody
 * else, if it has another id.
 * @param isNameTaken whether another workspace has its name by now: what goes by the name alone is that one's.
 */
export function departure(
  { packages, channels, consents, shares, authorKeys, deleted }: Tables,
  workspace: { readonly id: string; readonly name: string },
  isNameTaken: boolean,
): { readonly edits: readonly Edit[]; readonly packages: readonly StoredPackage[] } {
  const isIts = (name: string, id: string) =>
    name === workspace.name && (id === workspace.id || (id === "" && !isNameTaken));
  const gone = packages.list(workspace.name).filter((one) => isIts(one.workspace, one.workspaceId));
  // Whoever comes by its name publishes other plugins.
  const names = new Set(gone.map(({ manifest }) => manifest.name));
  for (const one of deleted.values()) if (isIts(one.workspace, one.workspaceId)) names.add(one.name);
  const edits: Edit[] = [];
  const drop = (kind: string, id: string) => edits.push({ remove: { kind, id } });
  for (const one of gone) drop(PACKAGE_KIND, keyOf(one));
  for (const [kind, table] of [
    [CHANNEL_KIND, channels],
    [CONSENT_KIND, consents],
    [AUTHOR_KEY_KIND, authorKeys],
    [DELETED_KIND, deleted],
  ] as const)
    for (const [id, one] of table.entries()) if (isIts(one.workspace, one.workspaceId)) drop(kind, id);
  for (const [id, one] of consents.entries())
    if (one.owner === workspace.name && names.has(one.name)) drop(CONSENT_KIND, id);
  for (const [id, one] of shares.entries()) {
    if (isIts(one.owner, one.ownerId)) drop(SHARE_KIND, id);
    else if (!isNameTaken && one.workspaces.includes(workspace.name)) {
      const others = one.workspaces.filter((name) => name !== workspace.name);
      edits.push({ put: rowOfShare({ ...one, workspaces: others }) });
    }
  }
  return { edits, packages: gone };
}
