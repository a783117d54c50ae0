/** An uploaded plugin package as the data threads need to know it. */
import type { PluginEntity, Workspace } from "../entities/entities.ts";
import type { Manifest } from "../registry/manifest.ts";
import type { Registry } from "../registry/registry.ts";
import type { WorkspaceLimits } from "../sandbox/limits.ts";
import { sharedBytes } from "./shared-bytes.ts";

export interface InstalledPackage {
  /** Digest of the package as it was uploaded, its manifest included. */
  readonly id: string;
  /** Name and id of the workspace that published it. */
  readonly workspace: string;
  readonly workspaceId: string;
  readonly manifest: Manifest;
  /** Digest of the code that runs: what the forge emitted. */
  readonly digest: string;
  /** That code, in shared memory: posting it to every thread copies nothing. */
  readonly code: Uint8Array;
  /** Of the workspace that uses it. */
  readonly limits: WorkspaceLimits;
  /** Another version that a part of the requests gets, while a roll-out runs. */
  readonly canary?: CanaryPackage;
}

/** The version that a roll-out tries, for a plugin entity that follows its channel. */
export interface CanaryPackage {
  /** Id of the roll-out. */
  readonly rollout: string;
  /** Requests with this field (in lower case) of this value get it; null if a part of all requests does. */
  readonly header: { readonly name: string; readonly value: string } | null;
  /** A `Tally`. */
  readonly tally: SharedArrayBuffer;
  readonly installed: InstalledPackage;
  /** The entity's config as the schema of this version completes it. */
  readonly config: unknown;
}

/**
 * What an instance is made of besides its configuration. The code alone does not tell: two packages with the
 * same code may differ in what they are granted, in their limits and in their phases; and a workspace's limits
 * may have been moved.
 */
export function identityOf(installed: InstalledPackage | undefined): string {
  if (installed === undefined) return "native";
  const { id, digest, limits, canary } = installed;
  const own = `${id} ${digest} ${JSON.stringify(limits)}`;
  if (canary === undefined) return own;
  return `${own} ${canary.rollout} ${JSON.stringify(canary.config)} ${identityOf(canary.installed)}`;
}

/** Whether a plugin entity names an uploaded package. */
export const isPackaged = (plugin: { readonly [field: string]: unknown }): boolean =>
  String(plugin.name).includes("@");

/**
 * The packages of plugin entities, by entity; built-in ones have none. What several plugins use is loaded once.
 * @throws {Error} if one is not there
 */
export async function packagesOf(
  plugins: Iterable<Pick<PluginEntity, "id" | "name" | "ws_id">>,
  workspaceOf: (id: string) => Workspace | undefined,
  registry: Pick<Registry, "find" | "load">,
  limitsOf: (workspace: Workspace) => WorkspaceLimits,
  idOf: (workspace: string) => string | undefined,
): Promise<Record<string, InstalledPackage>> {
  const packages: Record<string, InstalledPackage> = {};
  const loaded = new Map<string, Promise<Uint8Array>>();
  for (const plugin of plugins) {
    if (!isPackaged(plugin)) continue;
    const workspace = workspaceOf(plugin.ws_id);
    if (workspace === undefined) throw new Error(`plugin ${plugin.id} belongs to no workspace`);
    const stored = registry.find(plugin.name, workspace.name);
    if ("missing" in stored) throw new Error(stored.missing);
    let code = loaded.get(stored.emitted);
    if (code === undefined) {
      code = registry.load(stored).then(sharedBytes);
      loaded.set(stored.emitted, code);
    }
    const { id, workspace: owner, manifest, emitted: digest } = stored;
    const limits = limitsOf(workspace);
    // Nobody's id is a name.
    const workspaceId = idOf(owner) ?? owner;
    packages[plugin.id] = { id, workspace: owner, workspaceId, manifest, digest, code: await code, limits };
  }
  return packages;
}
