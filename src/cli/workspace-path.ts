/** Paths of the Admin API in a workspace. */

/** @param path without a slash before it. */
export function inWorkspace(workspace: string, path: string): string {
  return workspace === "default" ? path : `${encodeURIComponent(workspace)}/${path}`;
}
