/** What `/status` tells: counters and conditions of this node, in the shape of Kong's `GET /status`. */
import type { Fence } from "../sandbox/fence/fence.ts";
import type { Supervisor } from "../sandbox/supervisor/supervisor.ts";
import type { CapColumns } from "../threads/connection-caps.ts";
import type { Collected } from "../threads/threads.ts";

interface Node {
  readonly configurationHash: string;
  readonly dataThreads: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly fence: Fence;
  readonly sandbox: ReturnType<Supervisor["status"]>;
  /** Connections that found no seat. */
  readonly refused: CapColumns["refused"];
}

export function statusReport(
  { stats, losses }: Pick<Collected, "stats" | "losses">,
  { configurationHash, dataThreads, startedAt, fence, sandbox, refused }: Node,
): object {
  const { heapUsed, rss } = process.memoryUsage();
  const { total, address } = refused;
  return {
    server: {
      connections_accepted: stats.accepted,
      connections_handled: stats.accepted - total - address,
      connections_refused: total + address,
      connections_active: stats.active,
      connections_reading: stats.reading,
      connections_writing: stats.active - stats.reading - stats.waiting,
      connections_waiting: stats.waiting,
      total_requests: stats.requests,
    },
    memory: { rss_bytes: rss, main_heap_bytes: heapUsed },
    configuration_hash: configurationHash,
    data_threads: dataThreads,
    lost_data_threads: {
      crashed: losses.threads.crash,
      hung: losses.threads.hang,
      connections: losses.connections,
      requests: losses.requests,
    },
    uptime_seconds: Math.round((Date.now() - startedAt) / 1000),
    fence: {
      in_force: fence.inForce,
      by: fence.by,
      why: fence.why,
      means: fence.means,
      missing: fence.missing,
    },
    cordons: sandbox.cordons,
    lost_cordons: sandbox.deaths,
    held_back_plugins: sandbox.heldBack.map(({ blame, apart, untilMs }) => ({
      ...blame,
      own_cordon: apart,
      suspended_until: untilMs === null ? null : new Date(untilMs).toISOString(),
    })),
  };
}
