/** What is told of an upstream beside its entities: all of its targets, and how they are. */
import { ENTITIES } from "../entities/entities.ts";
import type { Entity } from "../entities/relations.ts";
import { found, shown, shownPage, workspaceId } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Call, Route } from "./routes.ts";

/** No target is looked after: upstreams with health checks are refused when they are written. */
const OFF = "HEALTHCHECKS_OFF";

export function upstreamRoutes(port: AdminPort, nodeId: string): Route[] {
  const upstreamOf = (call: Call): Entity =>
    found(port.entities(), ENTITIES.upstreams, workspaceId(port, call), call.params.id);
  const targetsOf = ({ id }: Entity) => port.entities().children("targets", "upstream", id);
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/upstreams/:id/targets/all`,
      GET: (call) => ({
        status: 200,
        body: shownPage(ENTITIES.targets, targetsOf(upstreamOf(call)), port.entities(), call, true),
      }),
    },
    {
      path: `${prefix}/upstreams/:id/health`,
      GET(call) {
        const upstream = upstreamOf(call);
        if (call.query.balancer_health === "1")
          return {
            status: 200,
            body: { data: { id: upstream.id, health: OFF }, next: null, node_id: nodeId },
          };
        const data = targetsOf(upstream).map((target) => ({
          ...shown(ENTITIES.targets, target, port.entities()),
          health: OFF,
        }));
        return { status: 200, body: { data, next: null, node_id: nodeId, total: data.length } };
      },
    },
  ]);
}
