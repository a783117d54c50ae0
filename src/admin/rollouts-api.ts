/**
 * `/plugin-packages/{name}/rollouts` and, in one word, `/plugin-packages/{name}/promote` and `/rollback`: a channel on its
 * way from one version of a plugin to another. An answer comes when every data thread serves by what it says.
 */
import { record, string } from "@gatehouse/sdk";
import { type Line, RegistryRefusal } from "../registry/desk.ts";
import type { Registry } from "../registry/registry.ts";
import { requestOf, rolloutSchema, weightSchema } from "../rollout/request.ts";
import { isOpen, type Rollout } from "../rollout/rollout.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import { notFound } from "./answers.ts";
import { checkBodyType } from "./body.ts";
import { workspaceId } from "./entity-view.ts";
import { checkFollowers } from "./plugin-lines-api.ts";
import type { AdminPort } from "./port.ts";
import { asked, MAX_REGISTRY_BODY, ownLine, readFields } from "./registry-answers.ts";
import { rolloutJson } from "./rollout-view.ts";
import type { Call, Route } from "./routes.ts";

const endSchema = record({
  channel: string({
    lenMax: 256,
    description: "Default: that of the roll-out that has not ended, or 'stable'.",
  }),
  why: string({ lenMax: 500, description: "For the channel's history." }),
});

export function rolloutRoutes(port: AdminPort, registry: Registry, rollouts: Rollouts): Route[] {
  const shown = (rollout: Rollout) => rolloutJson(rollout, rollouts);
  const lineOf = (call: Call): Line => {
    const line = ownLine(port, call);
    if (registry.tables.packages.line(line.workspace, line.name).length === 0) throw notFound();
    return line;
  };
  const before = (call: Call, method: string) => {
    workspaceId(port, call);
    if (method !== "GET") checkBodyType(call);
  };
  const find = (call: Call): Rollout => {
    const found = rollouts.list(lineOf(call)).find(({ id }) => id === call.params.rollout);
    if (found === undefined) throw notFound();
    return found;
  };
  return ["", "/:workspace"].flatMap((prefix): Route[] => {
    const path = `${prefix}/plugin-packages/:id`;
    return [
      {
        path: `${path}/rollouts`,
        maxBodyBytes: MAX_REGISTRY_BODY,
        before,
        GET: (call) => ({ status: 200, body: { data: rollouts.list(lineOf(call)).map(shown), next: null } }),
        async POST(call) {
          const line = lineOf(call);
          const request = requestOf(await readFields(call, rolloutSchema));
          const target = registry.get(line.workspace, `${line.name}@${request.version}`);
          if (target !== undefined) checkFollowers(port, registry, line, request.channel, target);
          const begun = await asked(() => rollouts.begin(line, request, call.author));
          return { status: 201, body: shown(begun) };
        },
      },
      {
        path: `${path}/rollouts/:rollout`,
        maxBodyBytes: MAX_REGISTRY_BODY,
        before,
        GET: (call) => ({ status: 200, body: shown(find(call)) }),
        async PATCH(call) {
          const { id } = find(call);
          const { weight } = await readFields(call, weightSchema);
          return { status: 200, body: shown(await asked(() => rollouts.weigh(id, weight, call.author))) };
        },
      },
      {
        path: `${path}/promote`,
        maxBodyBytes: MAX_REGISTRY_BODY,
        before,
        async POST(call) {
          const line = lineOf(call);
          const { channel, why } = await readFields(call, endSchema);
          const promoted = await asked(async () => {
            const open = openOf(rollouts.list(line), channel);
            if (open !== undefined) return rollouts.promote(open.id, call.author, why ?? undefined);
            throw new RegistryRefusal(
              "conflict",
              "no roll-out of this plugin waits to be promoted; deploy one",
            );
          });
          return { status: 200, body: shown(promoted) };
        },
      },
      {
        path: `${path}/rollback`,
        maxBodyBytes: MAX_REGISTRY_BODY,
        before,
        async POST(call) {
          const line = lineOf(call);
          const { channel, why } = await readFields(call, endSchema);
          const back = await asked(async () => {
            const open = openOf(rollouts.list(line), channel);
            if (open !== undefined) return rollouts.rollBack(open.id, call.author, why ?? undefined);
            return rollouts.moveBack(line, channel ?? "stable", call.author, why ?? undefined);
          });
          return { status: 200, body: shown(back) };
        },
      },
    ];
  });
}

function openOf(list: readonly Rollout[], channel: string | null): Rollout | undefined {
  const open = list.filter((one) => isOpen(one) && (channel === null || one.channel === channel));
  if (open.length > 1)
    throw new RegistryRefusal(
      "conflict",
      `roll-outs to the channels ${open.map((one) => `'${one.channel}'`).join(", ")} have not ended; say which by 'channel'`,
    );
  return open[0];
}
