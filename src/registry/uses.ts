/** Which plugin entities of a configuration use a plugin of the registry, and how they would get on with a version of it. */
import type { Violation } from "@gatehouse/sdk";
import type { EntityIndex } from "../entities/entity-index.ts";
import type { Entity } from "../entities/relations.ts";
import { boundedPatterns } from "./config-schema.ts";
import { fitted } from "./fitting.ts";
import { type PackageName, parsePackageName } from "./package-name.ts";
import type { StoredPackage } from "./stored-package.ts";

/** A plugin entity that names a version of a plugin. */
export interface PluginUse {
  readonly entity: Entity;
  /** Name of its workspace. */
  readonly workspace: string;
  readonly name: PackageName;
}

export interface LineName {
  /** Name of the workspace that publishes the plugin. */
  readonly workspace: string;
  readonly name: string;
}

/** All of them, in whatever workspace. */
export function* usesOf(
  index: EntityIndex,
  { workspace: owner, name: plugin }: LineName,
): Generator<PluginUse> {
  for (const entity of index.all("plugins")) {
    const written = String(entity.name);
    if (!written.includes(`${plugin}@`)) continue;
    const name = parsePackageName(written);
    const workspace = index.workspace(entity.ws_id)?.name ?? "";
    if (name.name === plugin && (name.owner ?? workspace) === owner) yield { entity, workspace, name };
  }
}

/** Those that follow a channel. */
export function* followersOf(index: EntityIndex, line: LineName, channel: string): Generator<PluginUse> {
  for (const use of usesOf(index, line))
    if (use.name.wanted?.kind === "channel" && use.name.wanted.channel === channel) yield use;
}

/** An entity whose config a version does not take, and what it has against it. */
export interface Misfit {
  readonly use: PluginUse;
  readonly violations: readonly Violation[];
}

/** @param line all versions of the plugin: a config may have been completed by any of them. */
export function misfits(
  uses: Iterable<PluginUse>,
  version: StoredPackage,
  line: readonly StoredPackage[],
): Misfit[] {
  const compile = boundedPatterns();
  return [...uses].flatMap((use) => {
    const { violations } = fitted(version, use.entity.config, line, compile);
    return violations.length === 0 ? [] : [{ use, violations }];
  });
}
