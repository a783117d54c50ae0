/** An uploaded plugin package as the data threads need to know it. */
import { equalJson } from "../declarative/identity.ts";
import type { PluginEntity, Workspace } from "../entities/entities.ts";
import type { Manifest } from "../registry/manifest.ts";
import { mayMove } from "../registry/package-name.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
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
  return `${own} ${canary.rollout} ${identityOf(canary.installed)}`;
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
  /** The version that some of an entity's requests are tried with; absent where there are no roll-outs. */
  readonly tried?: Rollouts["tried"];
}

/**
 * The packages of plugin entities, by entity; built-in ones have none. What several plugins use is loaded once.
 * @throws {PackageMissing} @throws {DamagedArtifact}
 */
export async function packagesOf(
  plugins: Iterable<Pick<PluginEntity, "id" | "name" | "ws_id" | "config">>,
  { registry, workspaceOf, limitsOf, idOf, installed, tried }: PackageSources,
): Promise<Record<string, InstalledPackage>> {
  const packages: Record<string, InstalledPackage> = {};
  const loaded = new Map<string, Promise<Uint8Array>>();
  const codeOf = ({ emitted, ...stored }: StoredPackage, before: InstalledPackage | undefined) => {
    let code = loaded.get(emitted);
    if (code === undefined) {
      const known = [before, before?.canary?.installed].find((one) => one?.digest === emitted);
      code =
        known === undefined
          ? registry.load({ ...stored, emitted }).then(sharedBytes)
          : Promise.resolve(known.code);
      loaded.set(emitted, code);
    }
    return code;
  };
  for (const plugin of plugins) {
    if (!isPackaged(plugin)) continue;
    const workspace = workspaceOf(plugin.ws_id);
    if (workspace === undefined) throw new Error(`plugin ${plugin.id} belongs to no workspace`);
    const { stored, config } = meant(plugin, workspace, registry);
    const before = installed(plugin.id);
    const limits = limitsOf(workspace);
    const made = async (stored: StoredPackage, config: unknown): Promise<InstalledPackage> => ({
      id: stored.id,
      workspace: stored.workspace,
      // Nobody's id is a name.
      workspaceId: idOf(stored.workspace) ?? stored.workspace,
      manifest: stored.manifest,
      digest: stored.emitted,
      code: await codeOf(stored, before),
      limits,
      ...(config === undefined ? {} : { config }),
    });
    const running = await made(stored, config);
    const canary = tried?.(plugin, workspace, stored) ?? null;
    packages[plugin.id] =
      canary === null
        ? running
        : {
            ...running,
            canary: {
              rollout: canary.rollout.id,
              header: "header" in canary.rollout.split ? canary.rollout.split.header : null,
              tally: canary.tally,
              installed: await made(canary.stored, asWritten(plugin, canary.config)),
            },
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
  return { stored: found.stored, config: asWritten(plugin, found.config) };
}

/** Undefined for a config that is as the entity has it; one with references is inspected again once they are resolved. */
function asWritten(plugin: Pick<PluginEntity, "config">, config: unknown): unknown {
  return equalJson(config, plugin.config) || hasReferences("plugins", plugin) ? undefined : config;
}
