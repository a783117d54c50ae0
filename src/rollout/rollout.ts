/**
 * A roll-out: a channel of a plugin on its way from one version to another. While it runs a part of the requests gets the
 * new version; it ends with the channel moved (promoted) or left where it was (rolled back). What is kept of it is a row
 * beside the channel's own, written together with it: whatever happens to a gateway, both say the same.
 */
import { isObject } from "@gatehouse/sdk";
import { isVersion } from "../registry/manifest.ts";
import { CHANNEL } from "../registry/package-name.ts";
import type { Row } from "../stores/store.ts";

export const ROLLOUT_KIND = "rollouts";

/** Roll-outs of a workspace that have not ended: each may have a cordon of its own. */
export const MAX_RUNNING = 4;
/** Roll-outs of one plugin that have ended and are remembered. */
export const MAX_ENDED = 20;
const MAX_WHY = 500;

/** `waiting_consent`: the version asks for more than was consented to, and no request gets it before that is. */
export type RolloutState = "waiting_consent" | "running" | "promoted" | "rolled_back";

/** Which requests get the new version: a part of all, from 0 to 1, or those with a field (in lower case) of a value. */
export type Split =
  | { readonly weight: number }
  | { readonly header: { readonly name: string; readonly value: string } };

/** By what the new version is judged, against the one that runs. */
export interface Watch {
  /** How long it has to do well. */
  readonly windowSeconds: number;
  /** Calls of it, fewer of which say too little. */
  readonly minCalls: number;
  /** How much more often its calls may fail, and its requests be answered with an error: parts of all. */
  readonly maxErrorRate: number;
  /** How much more often its answers may break the plugins' contract. */
  readonly maxViolationRate: number;
  /** How many times as long a call may take; the same for the fuel, or CPU time, that it uses. */
  readonly maxLatencyRatio: number;
  readonly maxFuelRatio: number;
  readonly promote: "auto" | "manual";
}

export interface Rollout {
  readonly id: string;
  readonly workspace: string;
  /** Id of that workspace. */
  readonly workspaceId: string;
  /** Of the plugin. */
  readonly name: string;
  readonly channel: string;
  /** Version that the channel points to when it begins. */
  readonly from: string;
  readonly to: string;
  readonly split: Split;
  /** Null for one that is not watched: it waits for somebody to end it. */
  readonly watch: Watch | null;
  readonly state: RolloutState;
  /** Who began it; null where nobody says who they are. */
  readonly by: string | null;
  /** Seconds since the epoch, as `endedAt`. */
  readonly createdAt: number;
  /** Null while it has not ended. */
  readonly endedAt: number | null;
  /** Why it ended, or what it waits for. */
  readonly why: string;
  /** What was measured when it ended, where it was watched. */
  readonly figures: Readonly<Record<string, unknown>> | null;
}

export const isOpen = ({ state }: Pick<Rollout, "state">): boolean =>
  state === "running" || state === "waiting_consent";

/** A roll-out that somebody, or the watch, has ended. */
export function ended(
  rollout: Rollout,
  state: "promoted" | "rolled_back",
  end: { readonly at: number; readonly why: string; readonly figures?: Rollout["figures"] },
): Rollout {
  const { at: endedAt, why, figures = null } = end;
  return { ...rollout, state, endedAt, why: why.slice(0, MAX_WHY), figures };
}

/**
 * Those of a plugin that are forgotten for one more to end: the oldest that have.
 * @param all roll-outs of the plugin
 */
export function forgotten(all: readonly Rollout[]): Rollout[] {
  const over = all.filter((one) => !isOpen(one));
  return over
    .sort((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0))
    .slice(0, Math.max(0, over.length - MAX_ENDED + 1));
}

/** Of its row: after the plugin, for whoever wants to know which plugins a change of rows concerns. */
const keyOf = ({ workspace, name, id }: Pick<Rollout, "workspace" | "name" | "id">): string =>
  `${workspace}/${name}!${id}`;

export function rowOfRollout({ workspaceId, ...rollout }: Rollout): Row {
  return { kind: ROLLOUT_KIND, id: keyOf(rollout), workspace: workspaceId, body: rollout };
}

/** Null for a row that is no roll-out: it may have been written by another version, or by a hand. */
export function rolloutOfRow({ id: key, workspace: workspaceId, body }: Row): Rollout | null {
  const { id, workspace, name, channel, from, to, split, watch, state } = body;
  const { by, createdAt, endedAt, why, figures } = body;
  if (typeof workspace !== "string" || typeof name !== "string" || typeof why !== "string") return null;
  if (typeof id !== "string" || key !== keyOf({ workspace, name, id })) return null;
  if (typeof channel !== "string" || !CHANNEL.test(channel)) return null;
  if (!isExact(from) || !isExact(to) || !isSplit(split)) return null;
  if (watch !== null && !isWatch(watch)) return null;
  if (!isState(state) || (by !== null && typeof by !== "string")) return null;
  if (typeof createdAt !== "number" || (endedAt !== null && typeof endedAt !== "number")) return null;
  if (figures !== null && !isObject(figures)) return null;
  const place = { id, workspace, workspaceId, name, channel, from, to };
  return { ...place, split, watch, state, by, createdAt, endedAt, why, figures };
}

const isExact = (value: unknown): value is string => typeof value === "string" && isVersion(value);

const isState = (value: unknown): value is RolloutState =>
  ["waiting_consent", "running", "promoted", "rolled_back"].includes(String(value));

const isPart = (value: unknown): value is number => typeof value === "number" && value >= 0 && value <= 1;

function isSplit(value: unknown): value is Split {
  if (!isObject(value)) return false;
  if (!isObject(value.header)) return isPart(value.weight);
  return typeof value.header.name === "string" && typeof value.header.value === "string";
}

const RATIOS = ["windowSeconds", "minCalls", "maxLatencyRatio", "maxFuelRatio"];

function isWatch(value: unknown): value is Watch {
  return (
    isObject(value) &&
    RATIOS.every((name) => typeof value[name] === "number" && value[name] > 0) &&
    isPart(value.maxErrorRate) &&
    isPart(value.maxViolationRate) &&
    (value.promote === "auto" || value.promote === "manual")
  );
}
