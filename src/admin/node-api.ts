/** What this node is and how it is: `/`, `/status`, `/endpoints`, `/plugins/enabled`, `/debug/node/log-level`. */
import { hostname } from "node:os";
import { schemaToJson } from "@gatehouse/sdk";
import type { Entity } from "../entities/relations.ts";
import { notFound, numbered, Refusal } from "./answers.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Call, Route } from "./routes.ts";

/** The version of Kong whose Admin API this is: tools read it and decide what they may send. */
export const KONG_VERSION = "3.10.0";

/** Levels of Kong's `log_level`, from the most talkative on. */
export const LOG_LEVELS = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"] as const;
/** How long another level holds that is asked for without a time, in seconds. */
const LEVEL_SECONDS = 60;
const MAX_LEVEL_SECONDS = 86_400;

export interface NodeOptions {
  /** Of the gateway. */
  readonly version: string;
  readonly nodeId: string;
}

export function nodeRoutes(port: AdminPort, { version, nodeId }: NodeOptions): Route[] {
  const engine = () => port.store()?.engine ?? "off";
  const about = ["/", "/:workspace/kong"].map(
    (path): Route => ({
      path,
      GET(call) {
        workspaceId(port, call);
        const available = port
          .plugins()
          .map((plugin) => [plugin.name, { version: plugin.version, priority: plugin.priority }]);
        const enabled = new Set(Array.from(pluginsOf(port, call), ({ name }) => String(name)));
        // How the operator runs the gateway is no tenant's.
        const { configuration, ...info } = isTenant(call) ? { configuration: {} } : port.info();
        return {
          status: 200,
          body: {
            tagline: "Welcome to Gatehouse",
            version: KONG_VERSION,
            edition: "community",
            gatehouse: { version, database: engine() },
            hostname: isTenant(call) ? "" : hostname(),
            node_id: nodeId,
            lua_version: `none: Node.js ${process.version}`,
            timers: { running: 0, pending: 0 },
            plugins: {
              available_on_server: Object.fromEntries(available),
              enabled_in_cluster: [...enabled].sort(),
            },
            // Workers are threads of the one process.
            pids: isTenant(call) ? {} : { master: process.pid, workers: [] },
            ...info,
            // Tools know two kinds of databases: one that can be written to, and none.
            configuration: { ...configuration, database: port.store() === null ? "off" : "postgres" },
          },
        };
      },
    }),
  );
  return [
    // Kong's tools read the second where they are at home in a workspace.
    ...about,
    {
      path: "/status",
      async GET(call) {
        const store = port.store();
        const health = await store?.health();
        // Counters and conditions of the node, and the hash, move with what other tenants do.
        if (isTenant(call)) return { status: 200, body: { database: { reachable: health?.ok ?? true } } };
        return {
          status: 200,
          body: {
            ...(await port.status()),
            database: {
              reachable: health?.ok ?? true,
              ...(health === undefined || health.ok ? {} : { reason: health.why }),
              engine: engine(),
            },
            configuration_hash: port.hash(),
          },
        };
      },
    },
    ...logLevelRoutes(port),
    ...["", "/:workspace"].flatMap((prefix): Route[] => [
      {
        path: `${prefix}/plugins/enabled`,
        GET(call) {
          workspaceId(port, call);
          return { status: 200, body: { enabled_plugins: port.plugins().map(({ name }) => name) } };
        },
      },
      {
        path: `${prefix}/plugins/schema/:name`,
        GET(call) {
          workspaceId(port, call);
          const plugin = port.findPlugin(call.params.name ?? "", workspaceName(call));
          if ("missing" in plugin) throw notFound(`No plugin named '${call.params.name}'`);
          const { type: _, ...body } = schemaToJson(plugin.schema);
          return { status: 200, body };
        },
      },
    ]),
  ];
}

/** Whoever asks is at home in one workspace, and sees nothing of others. */
const isTenant = ({ author }: Call): boolean => author.workspace !== null;

function pluginsOf(port: AdminPort, call: Call): Iterable<Entity> {
  return isTenant(call)
    ? port.entities().list("plugins", workspaceId(port, call))
    : port.entities().all("plugins");
}

function logLevelRoutes(port: AdminPort): Route[] {
  return [
    {
      path: "/debug/node/log-level",
      GET: () => ({ status: 200, body: { message: `log level: ${port.logLevel()}` } }),
    },
    {
      path: "/debug/node/log-level/:level",
      PUT(call) {
        if (port.store() === null)
          throw numbered("unsupported", "cannot change log level when not using a database");
        const level = LOG_LEVELS.find((each) => each === call.params.level);
        if (level === undefined)
          throw new Refusal(400, { message: `unknown log level: ${call.params.level}`.slice(0, 200) });
        port.setLogLevel(level, secondsOf(call));
        return { status: 200, body: { message: "log level changed" } };
      },
    },
  ];
}

function secondsOf({ query: { timeout } }: Call): number {
  if (timeout === undefined) return LEVEL_SECONDS;
  const seconds = typeof timeout === "string" && /^\d{1,6}$/.test(timeout) ? Number(timeout) : -1;
  if (seconds < 0 || seconds > MAX_LEVEL_SECONDS)
    throw new Refusal(400, { message: "timeout must be greater than or equal to 0" });
  return seconds;
}

/** `/endpoints`: the paths of all others, with `{x}` where something is to be named. */
export function endpointsRoute(routes: readonly Route[]): Route {
  const paths = new Set<string>();
  for (const { path } of routes) {
    if (path.startsWith("/:workspace")) continue;
    const segments = path.split("/");
    paths.add(
      segments
        .map((segment, i) => (segment.startsWith(":") ? `{${templateName(segments, i)}}` : segment))
        .join("/"),
    );
  }
  const data = [...paths, "/endpoints"].sort();
  return { path: "/endpoints", GET: () => ({ status: 200, body: { data } }) };
}

/** An entity is named by its collection. */
function templateName(segments: readonly string[], i: number): string {
  const own = (segments[i] as string).slice(1);
  return own === "id" || own === "parent" ? (segments[i - 1] as string) : own;
}
