/** An uploaded plugin package as the data threads need to know it. */
import { equalJson } from "../declarative/identity.ts";
import type { PluginEntity, Workspace } from "../entities/entities.ts";
import type { Manifest } from "../registry/manifest.ts";
import { mayMove } from "../registry/package-name.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import type { WorkspaceLimits } from "../sandbox/limits.ts";
import { hasReferences } from "../secrets/vaults.ts";
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
  /** The entity's config as this version has it, where that is not how the entity has it. */
  readonly config?: unknown;
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

/** A package that a plugin entity names is not there, or may not be used. The message says which and why. */
export class PackageMissing extends Error {
  override name = "PackageMissing";
}

export interface PackageSources {
  readonly registry: Pick<Registry, "find" | "fit" | "load">;
  readonly workspaceOf: (id: string) => Workspace | undefined;
  readonly limitsOf: (workspace: Workspace) => WorkspaceLimits;
  readonly idOf: (workspace: string) => string | undefined;
  /** What is installed for an entity now: its code is not read again if it stays. */
  readonly installed: (plugin: string) => InstalledPackage | undefined;
}

/**
 * The packages of plugin entities, by entity; built-in ones have none. What several plugins use is loaded once.
 * @throws {PackageMissing} @throws {DamagedArtifact}
 */
export async function packagesOf(
  plugins: Iterable<Pick<PluginEntity, "id" | "name" | "ws_id" | "config">>,
  { registry, workspaceOf, limitsOf, idOf, installed }: PackageSources,
): Promise<Record<string, InstalledPackage>> {
  const packages: Record<string, InstalledPackage> = {};
  const loaded = new Map<string, Promise<Uint8Array>>();
  for (const plugin of plugins) {
    if (!isPackaged(plugin)) continue;
    const workspace = workspaceOf(plugin.ws_id);
    if (workspace === undefined) throw new Error(`plugin ${plugin.id} belongs to no workspace`);
    const { stored, config } = meant(plugin, workspace, registry);
    let code = loaded.get(stored.emitted);
    if (code === undefined) {
      const before = installed(plugin.id);
      code =
        before?.digest === stored.emitted
          ? Promise.resolve(before.code)
          : registry.load(stored).then(sharedBytes);
      loaded.set(stored.emitted, code);
    }
    const { id, workspace: owner, manifest, emitted: digest } = stored;
    packages[plugin.id] = {
      id,
      workspace: owner,
      // Nobody's id is a name.
      workspaceId: idOf(owner) ?? owner,
      manifest,
      digest,
      code: await code,
      limits: limitsOf(workspace),
      ...(config === undefined ? {} : { config }),
    };
  }
  return packages;
}

function meant(
  plugin: Pick<PluginEntity, "name" | "config">,
  { name: workspace, require_signature }: Workspace,
  registry: Pick<Registry, "find" | "fit">,
): { readonly stored: StoredPackage; readonly config?: unknown } {
  const signedOnly = require_signature === true;
  if (!mayMove(plugin.name)) {
    const stored = registry.find(plugin.name, workspace, signedOnly);
    if ("missing" in stored) throw new PackageMissing(stored.missing);
    return { stored };
  }
  const found = registry.fit(plugin.name, workspace, plugin.config, { signedOnly });
  if ("missing" in found) throw new PackageMissing(found.missing);
  // One with references is inspected again once they are resolved.
  const isAsWritten = equalJson(found.config, plugin.config) || hasReferences("plugins", plugin);
  return isAsWritten ? { stored: found.stored } : { stored: found.stored, config: found.config };
}
