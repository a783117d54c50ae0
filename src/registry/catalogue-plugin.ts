/** Packages as the plugin catalogue knows them. */
import type { CataloguePlugin } from "../entities/plugins.ts";
import { schemaOf } from "./fitting.ts";
import { mayMove } from "./package-name.ts";
import type { Packages } from "./resolver.ts";
import { nameOf, type StoredPackage } from "./stored-package.ts";

/**
 * What a name means in a workspace, as the plugin catalogue knows it.
 * @param packages null for a version that is not to be another, whatever the config.
 */
export function cataloguePlugin(
  stored: StoredPackage,
  packages: Packages | null = null,
  written = nameOf(stored),
  workspace = stored.workspace,
): CataloguePlugin {
  const { name, version, priority } = stored.manifest;
  const plugin = { name, version, priority, schema: schemaOf(stored) };
  const fit = packages?.fit;
  if (fit === undefined || !mayMove(written)) return plugin;
  return {
    ...plugin,
    fit(config, compile) {
      const found = fit.call(packages, written, workspace, config, { compile });
      const best = "missing" in found ? { stored, config } : found;
      return { plugin: cataloguePlugin(best.stored), config: best.config };
    },
  };
}
