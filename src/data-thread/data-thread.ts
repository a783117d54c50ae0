/**
 * A data thread: its own listeners (the ports are shared by SO_REUSEPORT), router, plugin chains and upstream
 * connections. It knows the world through messages from the main thread alone. This file makes its parts in the order
 * in which they need each other; `connections.ts` is where a request begins.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Callouts } from "../callouts/callouts.ts";
import { Egress } from "../egress/egress.ts";
import { OwnListeners } from "../egress/own-listeners.ts";
import { Policies } from "../egress/policies.ts";
import type { Refusal } from "../egress/policy.ts";
import { StoreClient } from "../guest-store/store-client.ts";
import { Deadlines } from "../http1/deadlines.ts";
import { reportFaults } from "../http1/fault.ts";
import { PlaneMetrics } from "../observe/plane-metrics.ts";
import { ThreadMetrics } from "../observe/thread-metrics.ts";
import { BodyStore, SpillBudget } from "../pipeline/body-store.ts";
import { Trust } from "../pipeline/client-address.ts";
import { type DataPlane, RequestIds } from "../pipeline/data-plane.ts";
import type { Exchange } from "../pipeline/exchange.ts";
import { HostOwners } from "../pipeline/host-owners.ts";
import { Snapshot } from "../pipeline/snapshot.ts";
import { RecordingClient } from "../replay/recording-client.ts";
import { Secrets } from "../secrets/secrets.ts";
import type { ProxyListen } from "../settings.ts";
import { RequestQuotas } from "../tenancy/request-quotas.ts";
import { ConnectionCaps } from "../threads/connection-caps.ts";
import { CounterTable } from "../threads/counter-table.ts";
import type { Deployment, FromThread, ThreadData, ToThread } from "../threads/messages.ts";
import { Vitals } from "../threads/vitals.ts";
import { Terminator } from "../tls/terminator.ts";
import { Pool } from "../upstream/pool.ts";
import { nameServers, Resolver } from "../upstream/resolver.ts";
import { AccessBatches } from "./access-batches.ts";
import { Balancers } from "./balancers.ts";
import { Connections } from "./connections.ts";
import { Guests } from "./guests.ts";
import { LedgerReports } from "./ledger-reports.ts";
import { planeSettings, spillDirectory } from "./plane-settings.ts";
import { PluginInstances } from "./plugin-instances.ts";
import { standFirst } from "./stand-first.ts";
import { Tail } from "./tail.ts";
import { ThreadConfig } from "./thread-config.ts";
import { ThreadLog } from "./thread-log.ts";

const data = workerData as ThreadData;
const { settings, capColumn, ca, clientPair } = data;
const port = parentPort as NonNullable<typeof parentPort>;
const post = (message: FromThread) => port.postMessage(message);

standFirst();
const vitals = new Vitals(data.vitals);
vitals.begin();
const deadlines = new Deadlines();
const metrics = new ThreadMetrics();
const counts = new PlaneMetrics(metrics, data.nodeId);
const log = new ThreadLog(settings.logLevel, post);
const accesses =
  settings.proxyAccessLog === null ? null : new AccessBatches((records) => post({ kind: "access", records }));

reportFaults((error) => {
  counts.fault();
  log.fault(error);
});

const plane: DataPlane = {
  snapshot: Snapshot.empty,
  settings: planeSettings(settings),
  deadlines,
  requestIds: new RequestIds(),
  trust: new Trust(settings),
  bodies: new BodyStore({
    directory: spillDirectory(settings),
    bufferBytes: settings.bodyBufferMemoryBytes,
    memoryBytes: settings.bodyBufferThreadBytes,
    budget: new SpillBudget(data.spill, capColumn, settings.bodyBufferDiskBytes),
    onSpilled: (bodies, bytes) => counts.spilled(bodies, bytes),
  }),
  owners: HostOwners.none,
  quotas: null,
  onFinished,
  onError(x, error) {
    counts.refused(error.code);
    log.error(x, error);
  },
  onCut(connection, code, detail) {
    counts.refused(code);
    log.cut(connection, code, detail, null);
  },
};
const { limits } = plane.settings;

/** Hot: once for each request. */
function onFinished(x: Exchange): void {
  vitals.onFinished();
  config.release(x.snapshot);
  tail.finished(x);
  accesses?.add(x);
}

const pool = new Pool(
  {
    limits,
    size: settings.upstreamKeepalivePoolSize,
    maxRequests: settings.upstreamKeepaliveMaxRequests || Number.POSITIVE_INFINITY,
    idleTimeoutMs: settings.upstreamKeepaliveIdleTimeout * 1000 || Number.POSITIVE_INFINITY,
  },
  deadlines,
);
const own = new OwnListeners(data.own);
const resolver = new Resolver({ servers: nameServers(settings.dnsResolver), hostsFile: "/etc/hosts" });
const egress = new Egress({
  policies: Policies.of(settings, own),
  resolver,
  onRefused: (refusal, host, asker, first) => onRefused(refusal, { host, asker }, first),
});

function onRefused(refusal: Refusal, fields: Record<string, unknown>, first: boolean): void {
  const { workspace, purpose, rule } = refusal;
  const labels = { workspace, purpose, rule };
  metrics.count("gatehouse_egress_refused_total", "Addresses that the egress policy refused.", labels, 1);
  if (first) log.unreachable(refusal, fields);
}

const balancers = new Balancers({
  pool,
  resolver,
  ca,
  clientPair,
  onRefused: (refusal, host, { id, name }) => onRefused(refusal, { host, service: name ?? id }, true),
});
const guests = new Guests(
  (message) => post({ kind: "sandbox", message }),
  (failure) => log.failed(failure),
);
const tail = new Tail(
  (events) => post({ kind: "tail", events }),
  (witness) => guests.watch(witness),
);
const store = new StoreClient(() => post({ kind: "store" }));
const callouts = new Callouts(egress, ca);
const secrets = new Secrets({
  directory: settings.secretsDir,
  onRefused: (workspace, name, reason) => log.secret(workspace, name, reason),
});
const recordings = new RecordingClient({
  ask: () => post({ kind: "recordings" }),
  onDropped: (workspace) =>
    metrics.count(
      "gatehouse_recordings_dropped_total",
      "Requests that were to be recorded and were not.",
      { workspace },
      1,
    ),
});
const counters = new CounterTable(data.counters);
const instances = new PluginInstances({
  services: { store, callouts, secrets },
  recordings,
  counters,
  metrics,
  guests,
  log,
  snapshot: () => plane.snapshot,
});
const terminator =
  data.tls === null
    ? null
    : new Terminator(data.tls, deadlines, limits.headTimeoutMs, (client, failure) => {
        counts.handshakeFailed(failure.kind);
        log.unsecured(client, failure.reason);
      });
const config = new ThreadConfig({
  plane,
  terminator,
  egress,
  quotas: RequestQuotas.none({
    counters,
    settings: settings.workspaceQuotas,
    onRefused: (workspace) =>
      metrics.count(
        "gatehouse_requests_over_quota_total",
        "Requests beyond their workspace's quota.",
        { workspace },
        1,
      ),
  }),
  instantiate: (plugin, workspace, installed) => instances.make(plugin, workspace, installed),
  balancer: (service, upstream, targets, keys, policies) =>
    balancers.make(service, upstream, targets, keys, policies.of(service.ws_id, "configuration")),
});
const connections = new Connections({
  plane,
  caps: new ConnectionCaps(data.caps, capColumn),
  terminator,
  vitals,
  log,
  onDrained,
});

async function prepare(version: number, packages: Deployment["packages"]): Promise<void> {
  post({ kind: "prepared", version, error: await config.prepare(version, packages) });
}

async function listen(wanted: readonly ProxyListen[]): Promise<void> {
  try {
    post({ kind: "listening", ports: await connections.listen(wanted) });
  } catch (error) {
    post({ kind: "listen-failed", message: (error as Error).message });
  }
}

async function report(id: number): Promise<void> {
  const json = await metrics.json();
  post({ kind: "metrics", id, metrics: json, connections: connections.states(), ledger: guests.ledger() });
}

/** What its last requests count when they end goes the same way. */
function forget(id: number, workspace: string): void {
  const series = metrics.forget(workspace);
  const rows = guests.forgetWorkspace(workspace);
  secrets.forget(workspace);
  config.afterReplaced(() => {
    metrics.forget(workspace);
    guests.forgetWorkspace(workspace);
  });
  post({ kind: "forgotten", id, series, rows });
}

const reports = new LedgerReports(
  () => guests.ledger(),
  (rows) => post({ kind: "ledger", rows }),
);
reports.start();

function onDrained(): void {
  reports.stop();
  accesses?.flush();
  tail.flush();
  pool.close();
  guests.close();
  callouts.close();
  store.close();
  recordings.close();
  post({ kind: "drained" });
}

port.on("message", (message: ToThread) => {
  switch (message.kind) {
    case "piece":
      return config.receive(message.version, message.bytes);
    case "prepare":
      return void prepare(message.version, message.packages);
    case "commit":
      if (config.commit(message.version)) post({ kind: "live", version: message.version });
      return;
    case "discard":
      return config.discard();
    case "listen":
      return void listen(message.listeners);
    case "own":
      return own.replace(message.listeners);
    case "tls":
      return terminator?.replace(message.tls);
    case "log-level":
      return log.setLevel(message.level);
    case "tail":
      return tail.replace(message.watches);
    case "forget":
      return forget(message.id, message.workspace);
    case "drain":
      return connections.drain();
    case "metrics":
      return void report(message.id);
    case "sandbox":
      return guests.onMessage(message.message);
    case "store":
      return store.connect(message.port);
    case "recordings":
      return recordings.connect(message.port);
  }
});

void guests.listen().then(() => post({ kind: "started" }));
