/** The Prometheus page: the sum of what all data threads counted, and what the node knows of itself. */
import { AggregatorRegistry, Counter, Gauge, Registry } from "prom-client";
import { type LedgerRow, OTHER, sumRows } from "../sandbox/ledger.ts";
import type { CpuAccount } from "../sandbox/supervisor/budget.ts";
import type { Refusal } from "../threads/connection-caps.ts";
import type { Losses } from "../threads/past-threads.ts";
import type { Collected } from "../threads/threads.ts";
import type { MetricsJson } from "./thread-metrics.ts";

export interface NodeFacts {
  readonly nodeId: string;
  readonly version: string;
  readonly cordons: number;
  /** CPU time of each workspace's guests, as the kernel counts it, and what their host calls take. */
  readonly cpuAccounts: readonly CpuAccount[];
  /** Connections that were closed at once, by the cap that they met. */
  readonly refused: Readonly<Record<Refusal, number>>;
}

/** Prometheus text (format 0.0.4). Kong's names where Kong has them; ours begin with `gatehouse_`. */
export async function renderMetrics(collected: Collected, facts: NodeFacts): Promise<string> {
  const own = new Registry();
  nodeMetrics(own, collected, facts);
  lossMetrics(own, collected.losses, facts.nodeId);
  ledgerMetrics(own, collected.ledger);
  budgetMetrics(own, facts.cpuAccounts);
  return `${await own.metrics()}\n${await sums(collected.metrics)}`;
}

/** Samples that are summed up before others may use the thread: it watches over cordons. */
const SAMPLES_AT_ONCE = 1000;

/** What all threads counted, one metric after the other. */
async function sums(threads: Collected["metrics"]): Promise<string> {
  const byName = new Map<string, MetricsJson[number][]>();
  for (const metric of threads.flat()) {
    const same = byName.get(metric.name);
    if (same === undefined) byName.set(metric.name, [metric]);
    else same.push(metric);
  }
  const texts: string[] = [];
  let samples = 0;
  for (const metrics of byName.values()) {
    texts.push(await AggregatorRegistry.aggregate(metrics.map((metric) => [metric])).metrics());
    for (const { values } of metrics) samples += values.length;
    if (samples < SAMPLES_AT_ONCE) continue;
    samples = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return texts.join("\n");
}

function nodeMetrics(
  registry: Registry,
  { stats, spilled }: Collected,
  { nodeId, version, cordons, refused }: NodeFacts,
): void {
  const gauge = (name: string, help: string, rows: [Record<string, string>, number][]) => {
    const labelNames = Object.keys(rows[0]?.[0] ?? {});
    const made = new Gauge({ name, help, labelNames, registers: [registry] });
    for (const [labels, value] of rows) made.set(labels, value);
  };
  const node = { node_id: nodeId };
  const http = { ...node, subsystem: "http" };
  gauge("kong_node_info", "Gateway node metadata.", [[{ ...node, version }, 1]]);
  gauge("kong_nginx_requests_total", "Requests since start.", [[http, stats.requests]]);
  gauge("kong_nginx_connections_total", "Connections by state.", [
    [{ ...http, state: "accepted" }, stats.accepted],
    [{ ...http, state: "handled" }, stats.accepted - refused.total - refused.address],
    [{ ...http, state: "total" }, stats.requests],
    [{ ...http, state: "active" }, stats.active],
    [{ ...http, state: "reading" }, stats.reading],
    [{ ...http, state: "writing" }, stats.active - stats.reading - stats.waiting],
    [{ ...http, state: "waiting" }, stats.waiting],
  ]);
  gauge("gatehouse_connections_refused_total", "Connections closed at once, by the cap that they met.", [
    [{ ...node, cap: "total" }, refused.total],
    [{ ...node, cap: "address" }, refused.address],
  ]);
  gauge("gatehouse_spilled_bodies", "Bodies held for plugins that are on disk now.", [
    [node, spilled.bodies],
  ]);
  gauge("gatehouse_spilled_bytes", "Bytes that they take there.", [[node, spilled.bytes]]);
  gauge("gatehouse_cordons", "Processes that run guests.", [[node, cordons]]);
  gauge("gatehouse_resident_memory_bytes", "Resident memory of the gateway process.", [
    [node, process.memoryUsage.rss()],
  ]);
}

/** Data threads that were lost, and what was cut off with them. */
function lossMetrics(registry: Registry, { threads, connections, requests }: Losses, nodeId: string): void {
  const node = { node_id: nodeId };
  const counter = (name: string, help: string, more: string[] = []) =>
    new Counter({ name, help, labelNames: ["node_id", ...more], registers: [registry] });
  const replaced = counter("gatehouse_data_thread_replacements_total", "Data threads lost and replaced.", [
    "reason",
  ]);
  for (const [reason, count] of Object.entries(threads)) replaced.inc({ ...node, reason }, count);
  counter(
    "gatehouse_data_thread_lost_connections_total",
    "Clients' open connections that were cut off with a data thread.",
  ).inc(node, connections);
  counter(
    "gatehouse_data_thread_lost_requests_total",
    "Requests in progress that were cut off with a data thread.",
  ).inc(node, requests);
}

/** Plugins and versions that have series of their own; what is beyond is one row. */
const MAX_LEDGER_ROWS = 1000;

/** What guests have cost. The workspace's rows are bounded in the ledger, those of all workspaces here. */
function ledgerMetrics(registry: Registry, rows: readonly LedgerRow[]): void {
  const counter = (name: string, help: string, more: string[] = []) =>
    new Counter({
      name: `gatehouse_plugin_${name}`,
      help,
      labelNames: ["workspace", "plugin", "version", ...more],
      registers: [registry],
    });
  const calls = counter("calls_total", "Calls of guests.");
  const cpu = counter("cpu_seconds_total", "CPU time of guests, as their engines measured it.");
  const wall = counter("wall_seconds_total", "Time that calls of guests took, waiting included.");
  const fuel = counter("fuel_total", "Units of fuel that WASM guests burnt.");
  const hostCalls = counter("host_calls_total", "Calls of guests to the gateway.");
  const bytes = counter("bytes_total", "Bytes that crossed to guests (in) and from them (out).", [
    "direction",
  ]);
  const failures = counter("failures_total", "Calls that failed, by kind.", ["kind"]);
  const memory = new Gauge({
    name: "gatehouse_plugin_memory_peak_bytes",
    help: "Most memory that a guest held.",
    labelNames: ["workspace", "plugin", "version"],
    registers: [registry],
  });
  for (const row of bounded(sumRows(rows), MAX_LEDGER_ROWS)) {
    const labels = { workspace: row.workspace, plugin: row.plugin, version: row.version };
    calls.inc(labels, row.calls);
    cpu.inc(labels, row.cpuMicros / 1e6);
    wall.inc(labels, row.wallMs / 1e3);
    fuel.inc(labels, row.fuel);
    hostCalls.inc(labels, row.hostCalls);
    bytes.inc({ ...labels, direction: "in" }, row.bytesIn);
    bytes.inc({ ...labels, direction: "out" }, row.bytesOut);
    memory.set(labels, row.memoryBytes);
    for (const [kind, count] of Object.entries(row.failures)) failures.inc({ ...labels, kind }, count);
  }
}

/** What the kernel says that guests have used. The operator's configuration bounds the number of workspaces. */
function budgetMetrics(registry: Registry, accounts: readonly CpuAccount[]): void {
  const common = { labelNames: ["workspace"], registers: [registry] };
  const cpu = new Counter({
    ...common,
    name: "gatehouse_workspace_cpu_seconds_total",
    help: "CPU time of the processes that run a workspace's guests.",
  });
  const exhausted = new Counter({
    ...common,
    name: "gatehouse_workspace_cpu_exhausted_total",
    help: "How often a workspace's guests have used up their CPU time.",
  });
  for (const { workspace, usedMs, exhausted: times } of accounts) {
    cpu.inc({ workspace }, usedMs / 1e3);
    exhausted.inc({ workspace }, times);
  }
}

/** At most `max` rows and one more, in which the others are summed. */
function bounded(rows: readonly LedgerRow[], max: number): LedgerRow[] {
  if (rows.length <= max) return [...rows];
  const others = rows.slice(max).map((row) => ({ ...row, workspace: OTHER, plugin: OTHER, version: OTHER }));
  return [...rows.slice(0, max), ...sumRows(others)];
}
