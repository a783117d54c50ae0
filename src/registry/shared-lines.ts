/** Which plugins of a workspace others may use besides the operator: the operator's to say. */
import type { Row } from "../stores/store.ts";

export const SHARE_KIND = "shares";

/** Workspaces that one plugin is shared to. */
export const MAX_SHARED_TO = 1000;

export interface Share {
  /** Workspace that publishes the plugin. */
  readonly owner: string;
  /** Id of that workspace. */
  readonly ownerId: string;
  /** Of the plugin. */
  readonly name: string;
  /** Names of those that may use it. */
  readonly workspaces: readonly string[];
}

export const shareKey = (owner: string, name: string): string => `${owner}/${name}`;

export function rowOfShare({ ownerId, ...share }: Share): Row {
  return { kind: SHARE_KIND, id: shareKey(share.owner, share.name), workspace: ownerId, body: share };
}

/** Null for a row that is no share. */
export function shareOfRow({ id, workspace: ownerId, body }: Row): Share | null {
  const { owner, name, workspaces } = body;
  if (typeof owner !== "string" || typeof name !== "string" || id !== shareKey(owner, name)) return null;
  if (!Array.isArray(workspaces) || !workspaces.every((one) => typeof one === "string")) return null;
  return { owner, ownerId, name, workspaces };
}
