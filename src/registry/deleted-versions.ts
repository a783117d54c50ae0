/**
 * Versions that were deleted. What a name and version mean never changes: whoever has tried one, or finds it in a history,
 * shall not meet other bytes under it. So of what is deleted its digest stays, until its workspace goes.
 */
import type { Row } from "../stores/store.ts";
import { isDigest, keyOf, type StoredPackage } from "./stored-package.ts";

export const DELETED_KIND = "deleted";

/** Of one workspace; beyond them a version is yanked, and not deleted. */
export const MAX_DELETED = 10_000;

export interface DeletedVersion {
  readonly workspace: string;
  /** Id of that workspace; empty where it was not known. */
  readonly workspaceId: string;
  /** Of the plugin. */
  readonly name: string;
  /** Of the package: `sha256:` of the uploaded `.tgz`. */
  readonly digest: string;
}

/** Its id is that of the package's row. */
export function rowOfDeleted(stored: StoredPackage): Row {
  const { workspace, workspaceId, id: digest, manifest } = stored;
  const body = { workspace, name: manifest.name, digest };
  return { kind: DELETED_KIND, id: keyOf(stored), workspace: workspaceId, body };
}

/** Null for a row that says nothing sound. */
export function deletedOfRow({ id, workspace: workspaceId, body }: Row): DeletedVersion | null {
  const { workspace, name, digest } = body;
  if (typeof workspace !== "string" || typeof name !== "string" || !isDigest(digest)) return null;
  return id.startsWith(`${workspace}/${name}@`) ? { workspace, workspaceId, name, digest } : null;
}
