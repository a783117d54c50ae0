/**
 * The Admin API: what the gateway serves, read and replaced over HTTP in Kong's shapes. Generated from the
 * entity table; packages of plugins are its own addition.
 *
 * It has no authentication, so it listens on loopback and refuses what a web page could send (`guard.ts`).
 */
import { randomUUID } from "node:crypto";
import type { Registry } from "../registry/registry.ts";
import { configRoutes, Turns } from "./config-api.ts";
import { consumerGroupRoutes } from "./consumer-groups-api.ts";
import { entityRoutes } from "./entities-api.ts";
import { explainRoutes } from "./explain-api.ts";
import { checkSource } from "./guard.ts";
import { endpointsRoute, nodeRoutes } from "./node-api.ts";
import { packageRoutes } from "./packages-api.ts";
import type { AdminPort } from "./port.ts";
import { addRoutes, type Route } from "./routes.ts";
import { schemaRoutes } from "./schemas-api.ts";
import { type ApiLog, type ApiServer, createApp, serve } from "./server.ts";
import { tagRoutes } from "./tags-api.ts";
import { upstreamRoutes } from "./upstreams-api.ts";
import { usageRoutes } from "./usage-api.ts";

export type { AdminPort } from "./port.ts";
export type { ApiLog, ApiServer } from "./server.ts";

export interface AdminOptions {
  readonly port: AdminPort;
  readonly registry: Registry;
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
  const { version, log } = options;
  const app = createApp(log);
  const began = new WeakMap<object, number>();
  app.addHook("onRequest", async (request, reply) => {
    began.set(request, performance.now());
    reply.headers({ server: `gatehouse/${version}`, "x-content-type-options": "nosniff" });
    reply.headers(checkSource(request.raw, options));
  });
  app.addHook("onSend", async (request, reply) => {
    const now = performance.now();
    reply.header("x-kong-admin-latency", String(Math.round(now - (began.get(request) ?? now))));
  });
  addRoutes(app, adminRoutes(options));
  return serve(app);
}

/** Everything that the Admin API answers. */
export function adminRoutes(options: AdminOptions): Route[] {
  const { port, version, nodeId = randomUUID() } = options;
  const routes = [
    ...nodeRoutes(port, { version, nodeId }),
    ...configRoutes(port, new Turns()),
    ...explainRoutes(port),
    ...schemaRoutes(port),
    ...packageRoutes(port, options),
    ...usageRoutes(port),
    ...tagRoutes(port),
    ...upstreamRoutes(port, nodeId),
    ...consumerGroupRoutes(port),
    ...entityRoutes(port),
  ];
  return [...routes, endpointsRoute(routes)];
}
