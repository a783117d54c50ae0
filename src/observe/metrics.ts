/** The Prometheus page: the sum of what all data threads counted, and what the node knows of itself. */
import { AggregatorRegistry, Gauge, Registry } from "prom-client";
import type { ThreadStats } from "../gateway/messages.ts";
import type { MetricsJson } from "./thread-metrics.ts";

export interface NodeFacts {
  readonly nodeId: string;
  readonly version: string;
  readonly cordons: number;
}

export async function renderMetrics(
  collected: { metrics: readonly MetricsJson[]; stats: ThreadStats },
  { nodeId, version, cordons }: NodeFacts,
): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string, labels: Record<string, string>, value: number) => {
    const known = registry.getSingleMetric(name) as Gauge | undefined;
    const made = known ?? new Gauge({ name, help, labelNames: Object.keys(labels), registers: [registry] });
    made.set(labels, value);
  };
  const { stats } = collected;
  const node = { node_id: nodeId };
  const http = { ...node, subsystem: "http" };
  gauge("kong_node_info", "Gateway node metadata.", { ...node, version }, 1);
  gauge("kong_nginx_requests_total", "Requests since start.", http, stats.requests);
  const connections = "Connections by state.";
  gauge("kong_nginx_connections_total", connections, { ...http, state: "accepted" }, stats.accepted);
  gauge("kong_nginx_connections_total", connections, { ...http, state: "handled" }, stats.accepted);
  gauge("kong_nginx_connections_total", connections, { ...http, state: "active" }, stats.active);
  gauge("gatehouse_cordons", "Processes that run guests.", node, cordons);
  gauge(
    "gatehouse_resident_memory_bytes",
    "Resident memory of the gateway process.",
    node,
    process.memoryUsage.rss(),
  );
  const own = await registry.metrics();
  const threads = await AggregatorRegistry.aggregate(collected.metrics as object[][]).metrics();
  return `${own}\n${threads}`;
}
