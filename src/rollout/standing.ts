/** How a roll-out stands with what the registry says by now: who may try its version, and whether it has been overtaken. */
import type { Workspace } from "../entities/entities.ts";
import { boundedPatterns } from "../registry/config-schema.ts";
import { fitted } from "../registry/fitting.ts";
import { type Excess, excessOf } from "../registry/grants-asked.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import type { Rollout } from "./rollout.ts";

/** A workspace that uses the plugin. Where it is not told whether it takes signed packages only, the registry knows. */
export type User = Pick<Workspace, "name"> & Partial<Pick<Workspace, "require_signature">>;

/** A version as a plugin entity gets it. */
export interface VersionFor {
  readonly stored: StoredPackage;
  /** The entity's, with the version's own defaults. */
  readonly config: unknown;
}

/** What the version asks for that its workspace has not consented to. */
export function excessIn(
  registry: Registry,
  { workspace, name, to }: Pick<Rollout, "workspace" | "name" | "to">,
): Excess[] {
  const stored = registry.get(workspace, `${name}@${to}`);
  const consent = registry.desk.consent(workspace, workspace, name);
  if (stored === undefined || consent === undefined) return [];
  return excessOf(stored.manifest.grants, consent.grants);
}

/**
 * The new version for a plugin entity with this config; null if it may not have it: it is not shared to its workspace, or
 * unsigned, asks for more than was consented to there, or does not take the config.
 * @param running the version that the entity has.
 */
export function versionFor(
  registry: Registry,
  { name, to }: Rollout,
  config: unknown,
  { name: workspace, require_signature }: User,
  running: StoredPackage,
): VersionFor | null {
  const owner = running.workspace;
  const signedOnly = require_signature === undefined ? undefined : require_signature === true;
  const stored = registry.find(`${owner}/${name}@${to}`, workspace, signedOnly);
  if ("missing" in stored) return null;
  const consented = registry.desk.consent(workspace, owner, name)?.grants;
  if (excessOf(stored.manifest.grants, consented ?? running.manifest.grants).length > 0) return null;
  const line = registry.tables.packages.line(owner, name).map((release) => release.stored);
  const { value, violations } = fitted(stored, config, line, boundedPatterns());
  return violations.length > 0 ? null : { stored, config: value };
}

/** How what others have done ends a roll-out; null if it goes on. */
export function endBy(
  registry: Registry,
  { workspace, name, channel, from, to, state, watch, split }: Rollout,
): { readonly state: "promoted" | "rolled_back"; readonly why: string } | null {
  const back = (why: string) => ({ state: "rolled_back" as const, why });
  const stored = registry.get(workspace, `${name}@${to}`);
  if (stored === undefined) return back(`${name}@${to} was deleted`);
  if (stored.yanked !== null) return back(`${name}@${to} was yanked: ${stored.yanked.reason}`);
  const points = registry.desk.channel(workspace, name, channel)?.version;
  if (points === to) return { state: "promoted", why: `the channel was moved to ${to}` };
  if (points !== from) return back(`the channel was moved to ${points ?? "nothing"} meanwhile`);
  const isAtOnce = watch === null && "weight" in split && split.weight === 1;
  const isConsented = excessIn(registry, { workspace, name, to }).length === 0;
  return state === "waiting_consent" && isAtOnce && isConsented
    ? { state: "promoted", why: "it was consented to" }
    : null;
}
