/**
 * The Admin API: what the gateway serves, read and replaced over HTTP in Kong's shapes. Generated from the
 * entity table; packages of plugins are its own addition.
 *
 * Every request passes what a web page could not send (`guard.ts`), then says who makes it where that is asked for
 * (`access/access.ts`), then is held against what they may do (`access/roles.ts`).
 */
import { randomUUID } from "node:crypto";
import type { ServerOptions as TlsOptions } from "node:https";
import type { FastifyRequest } from "fastify";
import { type Access, ANYBODY, type Asker } from "../access/access.ts";
import type { Registry } from "../registry/registry.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import { adminTokenRoutes } from "./admin-tokens-api.ts";
import { Refusal } from "./answers.ts";
import { auditRoutes } from "./audit-api.ts";
import { authorKeyRoutes } from "./author-keys-api.ts";
import { bearerOf } from "./bearer.ts";
import { configRoutes } from "./config-api.ts";
import { configPlanRoutes } from "./config-plan-api.ts";
import { consumerGroupRoutes } from "./consumer-groups-api.ts";
import { DocumentTurns } from "./document-turns.ts";
import { entityRoutes } from "./entities-api.ts";
import { explainRoutes } from "./explain-api.ts";
import { checkSource, isPreflight } from "./guard.ts";
import { endpointsRoute, nodeRoutes } from "./node-api.ts";
import { packageRoutes } from "./packages-api.ts";
import { pluginLineRoutes } from "./plugin-lines-api.ts";
import { pluginShareRoutes } from "./plugin-shares-api.ts";
import type { AdminPort } from "./port.ts";
import { recordingRoutes } from "./recordings-api.ts";
import { rolloutRoutes } from "./rollouts-api.ts";
import { addRoutes, type Route } from "./routes.ts";
import { schemaRoutes } from "./schemas-api.ts";
import { type ApiLog, type ApiServer, createApp, serve } from "./server.ts";
import { tagRoutes } from "./tags-api.ts";
import { tailRoutes } from "./tail-api.ts";
import { upstreamRoutes } from "./upstreams-api.ts";
import { usageRoutes } from "./usage-api.ts";
import { withTurns } from "./write-turns.ts";

export type { AdminPort } from "./port.ts";
export type { ApiLog, ApiServer } from "./server.ts";

export interface AdminOptions {
  readonly port: AdminPort;
  readonly registry: Registry;
  /** Absent where nobody rolls anything out. */
  readonly rollouts?: Rollouts;
  /** Who may ask; without it anybody may ask everything. */
  readonly access?: Access;
  /** How addresses with `ssl` speak TLS; null if there are none. */
  readonly tls?: TlsOptions | null;
  /** Setting `admin_allowed_hosts`. */
  readonly allowedHosts: readonly string[];
  /** Setting `admin_allowed_origins`. */
  readonly allowedOrigins: readonly string[];
  /** Setting `unfenced_uploads`. */
  readonly unfencedUploads: readonly string[];
  /** Of the gateway. */
  readonly version: string;
  /** Stable for the life of the process; made up when absent. */
  readonly nodeId?: string;
  readonly log: ApiLog;
}

export function createAdmin(options: AdminOptions): ApiServer {
  const { version, access, log } = options;
  const app = createApp(log);
  const askers = new WeakMap<FastifyRequest, Asker>();
  const began = new WeakMap<object, number>();
  app.addHook("onRequest", async (request, reply) => {
    began.set(request, performance.now());
    reply.headers({ server: `gatehouse/${version}`, "x-content-type-options": "nosniff" });
    reply.headers(checkSource(request.raw, options));
    // A browser asks first, and without a token, what it may ask; the answer is the same for everybody.
    if (access === undefined || isPreflight(request.raw)) return;
    const admitted = await access.admit(bearerOf(request.raw));
    if ("refusal" in admitted) {
      const { status, message, headers } = admitted.refusal;
      throw new Refusal(status, { message }, headers);
    }
    askers.set(request, admitted.asker);
  });
  app.addHook("onSend", async (request, reply) => {
    const now = performance.now();
    reply.header("x-kong-admin-latency", String(Math.round(now - (began.get(request) ?? now))));
  });
  addRoutes(app, adminRoutes(options), {
    askerOf(request) {
      if (access === undefined) return ANYBODY;
      const asker = askers.get(request);
      if (asker === undefined) throw new Error("a request was not asked who makes it");
      return asker;
    },
    counts: (author) => access?.counts(author) ?? true,
    tenantBodyBytes: (workspace) => options.port.quotas(workspace).bodyBytes,
  });
  return serve(app, options.tls);
}

/** Everything that the Admin API answers. */
export function adminRoutes(options: AdminOptions): Route[] {
  const { version, nodeId = randomUUID() } = options;
  const port = withTurns(options.port);
  const turns = new DocumentTurns();
  const routes = [
    ...nodeRoutes(port, { version, nodeId }),
    ...configRoutes(port, turns),
    ...configPlanRoutes(port, turns),
    ...explainRoutes(port),
    ...schemaRoutes(port),
    ...packageRoutes(port, options),
    ...recordingRoutes(port),
    ...pluginLineRoutes(port, options),
    ...authorKeyRoutes(port, options),
    ...pluginShareRoutes(port, options),
    ...(options.rollouts === undefined ? [] : rolloutRoutes(port, options.registry, options.rollouts)),
    ...usageRoutes(port),
    ...tailRoutes(port),
    ...adminTokenRoutes(port),
    ...auditRoutes(port),
    ...tagRoutes(port),
    ...upstreamRoutes(port, nodeId),
    ...consumerGroupRoutes(port),
    ...entityRoutes(port),
  ];
  return [...routes, endpointsRoute(routes)];
}
