/**
 * Channels: names such as `stable` that point to one version of a plugin, for plugin entities to follow. Each keeps
 * where it pointed before, so that whoever moved it wrongly can move it back.
 */
import { isObject } from "@gatehouse/sdk";
import type { Row } from "../stores/store.ts";
import { isVersion } from "./manifest.ts";
import { CHANNEL, LATEST } from "./package-name.ts";

export const CHANNEL_KIND = "channels";

/** Of one plugin, `latest` not counted. */
export const MAX_CHANNELS = 16;
/** Of all plugins of a workspace. */
export const MAX_WORKSPACE_CHANNELS = 1000;
/** Moves of one channel that are remembered. */
export const MAX_MOVES = 50;
/** Characters of why one was moved. */
export const MAX_WHY = 200;

export interface Move {
  readonly version: string;
  /** Seconds since the epoch. */
  readonly at: number;
  /** Who moved it; null for the gateway itself, or where nobody says who they are. */
  readonly by: string | null;
  readonly why: string;
}

export interface Channel {
  readonly workspace: string;
  /** Id of that workspace. */
  readonly workspaceId: string;
  /** Of the plugin. */
  readonly name: string;
  readonly channel: string;
  /** That it points to. */
  readonly version: string;
  /** Versions that a way back leads to, the last one first: what was moved back from is none of them. */
  readonly before: readonly string[];
  /** The newest first. */
  readonly history: readonly Move[];
}

export type ChannelPlace = Pick<Channel, "workspace" | "workspaceId" | "name" | "channel">;

export const channelKey = (workspace: string, name: string, channel: string): string =>
  `${workspace}/${name}#${channel}`;

/** Why a channel may not be called so; null if it may. */
export function channelNameFault(channel: string): string | null {
  if (channel === LATEST)
    return "'latest' is the highest release by itself; move a channel of your own, such as 'stable'";
  return CHANNEL.test(channel)
    ? null
    : "a channel's name has 1 to 32 lower-case letters, digits and '-', beginning with a letter";
}

/** A channel after it was moved to a version; made if it was not there. */
export function moved(old: Channel | undefined, place: ChannelPlace, move: Move): Channel {
  const before = old === undefined || old.version === move.version ? [] : [old.version];
  return {
    ...place,
    version: move.version,
    before: [...before, ...(old?.before ?? [])].slice(0, MAX_MOVES),
    history: [shortened(move), ...(old?.history ?? [])].slice(0, MAX_MOVES),
  };
}

/**
 * A channel after it was moved back to where it pointed before; null if there is no such version.
 * @param isUsable whether a version is one that may be pointed to.
 */
export function movedBack(
  old: Channel,
  move: Omit<Move, "version">,
  isUsable: (version: string) => boolean,
): Channel | null {
  const [version, ...before] = old.before.filter(isUsable);
  if (version === undefined) return null;
  return {
    ...old,
    version,
    before,
    history: [shortened({ ...move, version }), ...old.history].slice(0, MAX_MOVES),
  };
}

/** Where it points and pointed, each version once: what an entity gets that cannot take the first. */
export function versionsOf({ version, before, history }: Channel): string[] {
  return [...new Set([version, ...before, ...history.map((move) => move.version)])];
}

const shortened = (move: Move): Move => ({ ...move, why: move.why.slice(0, MAX_WHY) });

export function rowOfChannel({ workspaceId, ...channel }: Channel): Row {
  const id = channelKey(channel.workspace, channel.name, channel.channel);
  return { kind: CHANNEL_KIND, id, workspace: workspaceId, body: channel };
}

/** Null for a row that is no channel. */
export function channelOfRow({ id, workspace: workspaceId, body }: Row): Channel | null {
  const { workspace, name, channel, version, before, history } = body;
  if (typeof workspace !== "string" || typeof name !== "string" || typeof channel !== "string") return null;
  if (id !== channelKey(workspace, name, channel) || !CHANNEL.test(channel) || !isExact(version)) return null;
  if (!Array.isArray(before) || !before.every(isExact)) return null;
  if (!Array.isArray(history) || !history.every(isMove)) return null;
  return { workspace, workspaceId, name, channel, version, before, history };
}

const isExact = (value: unknown): value is string => typeof value === "string" && isVersion(value);

function isMove(value: unknown): value is Move {
  return (
    isObject(value) &&
    isExact(value.version) &&
    typeof value.at === "number" &&
    typeof value.why === "string" &&
    (value.by === null || typeof value.by === "string")
  );
}
