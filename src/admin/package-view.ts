/** Packages, and plugins with all their versions, as the Admin API shows them. */
import { type Channel, versionsOf } from "../registry/channels.ts";
import type { Line } from "../registry/desk.ts";
import { excessOf } from "../registry/grants-asked.ts";
import { grantsToJson, manifestToJson } from "../registry/manifest.ts";
import { LATEST, parsePackageName } from "../registry/package-name.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { type PluginUse, usesOf } from "../registry/uses.ts";
import { isOpen } from "../rollout/rollout.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import type { Query } from "./page.ts";
import type { AdminPort } from "./port.ts";
import { rolloutJson } from "./rollout-view.ts";

/** Versions and uses that are told of at once. */
const MAX_TOLD = 1000;

export function packageJson({ id, manifest, report }: StoredPackage): object {
  const { name, version, runtime, phases, grants } = manifest;
  return { id, name, version, runtime, phases, grants: grantsToJson(grants), forge: report };
}

/** With what a list has no room for. */
export function wholePackageJson(stored: StoredPackage, registry: Registry): object {
  const { manifest, createdAt, bytes, yanked } = stored;
  return {
    ...packageJson(stored),
    created_at: createdAt,
    bytes,
    yanked: yanked && { at: yanked.at, by: yanked.by, reason: yanked.reason },
    signatures: registry.desk.signaturesOf(stored),
    manifest: manifestToJson(manifest),
  };
}

/** @param isAtHome whether to tell who moved it. */
export function channelJson(
  { channel, version, history, workspace, name }: Channel,
  isAtHome: boolean,
): object {
  const moves = isAtHome ? history : history.map((move) => ({ ...move, by: null }));
  return { name: channel, plugin: name, workspace, version, history: moves };
}

/** Packages of a workspace by `name`, `search` (a part of the name) and `channel` (versions that it points to). */
export function matching(
  registry: Registry,
  workspace: string,
  { name, search, channel }: Query,
): readonly StoredPackage[] {
  const { packages } = registry.tables;
  if (name === undefined && search === undefined && channel === undefined) return packages.byId(workspace);
  const wanted = typeof search === "string" ? search.toLowerCase() : "";
  const lines =
    typeof name === "string" ? [name] : packages.lines(workspace).filter((line) => line.includes(wanted));
  const versions = lines
    .filter((line) => line.includes(wanted))
    .flatMap((line) =>
      typeof channel === "string"
        ? pointedAt(registry, workspace, line, channel)
        : packages.line(workspace, line).map(({ stored }) => stored),
    );
  return versions.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function pointedAt(registry: Registry, workspace: string, name: string, channel: string): StoredPackage[] {
  const [first] = registry.resolver.meant(parsePackageName(`${name}@${channel}`), workspace);
  return first === undefined ? [] : [first];
}

/**
 * A plugin: its versions, channels, what its users have consented to and what waits for that, and who uses it.
 * @param workspace that asks.
 * @param isOperator whether uses in other workspaces are told too.
 * @param rollouts absent where nobody rolls anything out.
 */
export async function lineJson(
  port: AdminPort,
  registry: Registry,
  line: Line,
  workspace: string,
  isOperator: boolean,
  rollouts?: Rollouts,
): Promise<object> {
  const { desk, tables, resolver } = registry;
  const versions = tables.packages.line(line.workspace, line.name);
  const channels = desk.channels(line);
  const [latest] = resolver.meant(parsePackageName(`${line.name}@${LATEST}`), line.workspace);
  const pointing = (version: string) =>
    channels.filter((one) => one.version === version).map(({ channel }) => channel);
  const isAtHome = isOperator || line.workspace === workspace;
  const uses = [...usesOf(port.entities(), line)].filter((use) => isOperator || use.workspace === workspace);
  const users = [...new Set([workspace, ...uses.map((use) => use.workspace)])];
  return {
    name: line.name,
    workspace: line.workspace,
    versions: versions.slice(0, MAX_TOLD).map(({ stored }) => ({
      version: stored.manifest.version,
      id: stored.id,
      runtime: stored.manifest.runtime,
      created_at: stored.createdAt,
      yanked: stored.yanked && { ...stored.yanked, by: isAtHome ? stored.yanked.by : null },
      signed_by: desk.signaturesOf(stored).map(({ key }) => key),
      channels: [...pointing(stored.manifest.version), ...(stored === latest ? [LATEST] : [])],
    })),
    versions_total: versions.length,
    channels: channels.map((channel) => channelJson(channel, isAtHome)),
    // What was measured of it is its publisher's: it is measured everywhere that it is used.
    ...(rollouts === undefined || !isAtHome
      ? {}
      : {
          rollouts: rollouts
            .list(line)
            .filter(isOpen)
            .map((rollout) => rolloutJson(rollout, rollouts)),
        }),
    consents: users.flatMap((user) => {
      const consent = desk.consent(user, line.workspace, line.name);
      return consent === undefined
        ? []
        : [{ workspace: user, at: consent.at, grants: grantsToJson(consent.grants) }];
    }),
    used_by: uses.slice(0, MAX_TOLD).map((use) => useJson(use, registry)),
    used_by_total: uses.length,
    usage: (await port.pluginUsage()).filter(
      (row) => row.plugin === line.name && (isOperator || row.workspace === workspace),
    ),
    ...(isOperator ? { shared_to: desk.share(line.workspace, line.name)?.workspaces ?? [] } : {}),
  };
}

/** What an entity uses, and what it would use if more had been consented to. */
function useJson({ entity, workspace, name }: PluginUse, registry: Registry): object {
  const written = String(entity.name);
  const found = registry.fit(written, workspace, entity.config);
  const owner = name.owner ?? workspace;
  const [best] = name.wanted?.kind === "version" ? [] : registry.resolver.meant(name, owner);
  const consent = registry.desk.consent(workspace, owner, name.name);
  const excess =
    best === undefined || consent === undefined ? [] : excessOf(best.manifest.grants, consent.grants);
  return {
    id: entity.id,
    workspace,
    name: written,
    version: "missing" in found ? null : found.stored.manifest.version,
    ...("missing" in found ? { why: found.missing } : {}),
    ...(!("missing" in found) && found.stored.yanked !== null
      ? { warning: `yanked: ${found.stored.yanked.reason}` }
      : {}),
    waits_for_consent:
      excess.length === 0 ? null : { version: (best as StoredPackage).manifest.version, asks: excess },
  };
}

/** Whether any channel leads to a version, or back to it. */
export function channelTo(registry: Registry, { workspace, manifest }: StoredPackage): Channel | undefined {
  return registry.desk
    .channels({ workspace, name: manifest.name })
    .find((channel) => versionsOf(channel)[0] === manifest.version);
}
