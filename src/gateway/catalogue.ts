/** One door to every plugin that a configuration may name: the built-ins, and what the registry holds. */
import { BUILT_INS } from "../../plugins/index.ts";
import type { CataloguePlugin, PluginCatalogue } from "../entities/entities.ts";
import { cataloguePlugin } from "../registry/catalogue-plugin.ts";
import type { StoredPackage } from "../registry/registry.ts";
import type { Packages } from "../registry/resolver.ts";
import type { Fence } from "../sandbox/fence/fence.ts";
import type { Settings } from "../settings.ts";

const NATIVE = new Map<string, CataloguePlugin>(
  BUILT_INS.map(({ name, version, priority, schema, forbids }) => [
    name,
    { name, version, priority, schema, ...(forbids === undefined ? {} : { forbids }) },
  ]),
);

export function nativePlugins(): readonly CataloguePlugin[] {
  return [...NATIVE.values()];
}

/** `refuses` says why a stored package may not run here; null if it may. */
export function createCatalogue(
  registry: Packages,
  refuses: (stored: StoredPackage) => string | null = () => null,
): PluginCatalogue {
  return {
    find(name, workspace) {
      const native = NATIVE.get(name);
      if (native !== undefined) return native;
      if (!name.includes("@")) return { missing: "" };
      const found = registry.find(name, workspace);
      if ("missing" in found) return found;
      const refusal = refuses(found);
      return refusal === null ? cataloguePlugin(found, registry, name, workspace) : { missing: refusal };
    },
    names(workspace) {
      return [...NATIVE.keys(), ...registry.names(workspace)];
    },
  };
}

/**
 * What may not be uploaded may not be used either: a package outlives a restart, and the fence may not.
 */
export function fencedCatalogue(
  registry: Packages,
  fence: Pick<Fence, "inForce" | "why">,
  { unfencedUploads }: Pick<Settings, "unfencedUploads">,
): PluginCatalogue {
  return createCatalogue(registry, ({ workspace, manifest }) => {
    if (workspace === "default" || fence.inForce) return null;
    if (unfencedUploads.includes(workspace)) return null;
    return (
      `'${manifest.name}@${manifest.version}' belongs to workspace '${workspace}', and the operating system's ` +
      `fence around guests is not in force here (${fence.why}); start the gateway so that it ` +
      "is, or name the workspace in unfenced_uploads"
    );
  });
}
