/** Roll-outs as the Admin API shows them. */
import { watchJson } from "../rollout/request.ts";
import type { Rollout } from "../rollout/rollout.ts";
import type { Rollouts } from "../rollout/rollouts.ts";

export function rolloutJson(rollout: Rollout, rollouts: Rollouts): object {
  const { id, workspace, name, channel, from, to, split, watch, state, by, createdAt, endedAt } = rollout;
  const seen = state === "running" ? rollouts.seen(rollout) : null;
  return {
    ...{ id, workspace, plugin: name, channel, from, version: to, ...split, state },
    why: seen?.why ?? rollout.why,
    watch: watchJson(watch),
    // Of this gateway's requests while it runs.
    figures: seen?.figures ?? rollout.figures,
    ...(state === "waiting_consent" ? { asks_for: rollouts.excess(rollout) } : {}),
    ...{ by, created_at: createdAt, ended_at: endedAt },
  };
}
