/** What test/registry/publisher.ts publishes. */
import type { Line } from "../../src/registry/desk.ts";
import { MANIFEST, packageOf } from "./packages.ts";

export const LINE: Line = { workspace: "acme", workspaceId: "a", name: MANIFEST.name };

/** No two versions have the same code. */
export function nextPackage(version: string): Promise<Uint8Array> {
  return packageOf({ ...MANIFEST, version }, `export default "${version}";\n`);
}
