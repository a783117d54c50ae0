/**
 * A data thread: its own listeners (the ports are shared by SO_REUSEPORT), router, plugin chains and upstream
 * connections. It knows the world through messages from the main thread alone.
 */
import { isIP } from "node:net";
import { deserialize } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";
import { BUILT_INS } from "../../plugins/index.ts";
import { type ConfigChange, joined } from "../entities/change.ts";
import type { PluginEntity, Service, Target, Upstream } from "../entities/entities.ts";
import { parseHost } from "../entities/hosts.ts";
import type { ErrorCode, GatewayError } from "../errors.ts";
import { Deadlines } from "../http1/deadlines.ts";
import type { PlainWire } from "../http1/plain-wire.ts";
import { type RequestHandler, ServerConnection, type ServerLimits } from "../http1/server-connection.ts";
import type { TlsSession, Wire } from "../http1/wire.ts";
import { ThreadMetrics } from "../observe/thread-metrics.ts";
import { BodyStore, SpillBudget } from "../pipeline/body-store.ts";
import { Trust } from "../pipeline/client-address.ts";
import { type DataPlane, RequestIds } from "../pipeline/data-plane.ts";
import type { Exchange } from "../pipeline/exchange.ts";
import { requestHandler } from "../pipeline/handle.ts";
import { HostOwners } from "../pipeline/host-owners.ts";
import { inSlices } from "../pipeline/slices.ts";
import { type PluginInstance, Replaced, Snapshot } from "../pipeline/snapshot.ts";
import type { ProxiedFrom } from "../proxy-protocol/header.ts";
import { ProxyHeaders } from "../proxy-protocol/header-reader.ts";
import { GuestFailure } from "../sandbox/client.ts";
import type { ProxyListen } from "../settings.ts";
import type { Certificates } from "../tls/certificates.ts";
import { Terminator } from "../tls/terminator.ts";
import { UpstreamKeys } from "../tls/upstream-keys.ts";
import { UpstreamTls } from "../tls/upstream-tls.ts";
import { Balancer, type TargetSpec } from "../upstream/balancer.ts";
import { Pool } from "../upstream/pool.ts";
import { Resolver } from "../upstream/resolver.ts";
import { Complaints } from "./complaints.ts";
import { ConnectionCaps } from "./connection-caps.ts";
import { CounterTable } from "./counter-table.ts";
import { FailureLog } from "./failure-log.ts";
import { Guests } from "./guests.ts";
import { Listeners } from "./listeners.ts";
import { LogBudget } from "./log-budget.ts";
import type {
  AccessRecord,
  ConnectionStates,
  Deployment,
  FromThread,
  ThreadData,
  ToThread,
} from "./messages.ts";
import { LEVELS, logFrom, NativeHost } from "./native-host.ts";
import type { InstalledPackage } from "./packages.ts";
import { planeSettings, spillDirectory } from "./plane-settings.ts";
import { Vitals } from "./vitals.ts";

const {
  settings,
  vitals: vitalsMemory,
  counters: counterSpec,
  caps: capsSpec,
  capColumn,
  spill,
  ca,
  tls,
  clientPair,
} = workerData as ThreadData;
const port = parentPort as NonNullable<typeof parentPort>;
const post = (message: FromThread) => port.postMessage(message);

const vitals = new Vitals(vitalsMemory);
vitals.begin();
const deadlines = new Deadlines();
const metrics = new ThreadMetrics();
const caps = new ConnectionCaps(capsSpec, capColumn);
const counters = new CounterTable(counterSpec);
const connections = new Set<ServerConnection>();
let draining = false;
const pluginLogFrom = logFrom(settings.logLevel);

const resolver = new Resolver({
  servers: settings.dnsResolver.length > 0 ? settings.dnsResolver.map(address) : null,
  hostsFile: "/etc/hosts",
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
    budget: new SpillBudget(spill, capColumn, settings.bodyBufferDiskBytes),
  }),
  owners: HostOwners.none,
  onFinished,
  onError,
  onCut: (connection, code, detail) => complain(connection, code, detail, null),
};
const limits: ServerLimits = plane.settings.limits;
const pool = new Pool(
  {
    limits,
    size: settings.upstreamKeepalivePoolSize,
    maxRequests: settings.upstreamKeepaliveMaxRequests || Number.POSITIVE_INFINITY,
    idleTimeoutMs: settings.upstreamKeepaliveIdleTimeout * 1000 || Number.POSITIVE_INFINITY,
  },
  deadlines,
);
const failures = new FailureLog((message, fields) => post({ kind: "log", level: "warn", message, fields }));
const guests = new Guests(
  (message) => post({ kind: "sandbox", message }),
  (failure) => failures.add(failure),
);
const pipeline = requestHandler(plane, (connection) => {
  if (connections.delete(connection)) caps.leave(connection.seat);
  vitals.open = connections.size;
  finishDraining();
});
const handler: RequestHandler = {
  onRequest(connection) {
    vitals.onBegun();
    pipeline.onRequest(connection);
  },
  onRefused(connection, code, detail) {
    vitals.onBegun();
    pipeline.onRefused(connection, code, detail);
  },
  onCut: pipeline.onCut,
  onClosed: pipeline.onClosed,
};

// Configuration: prepared first, served when every thread has prepared it.

interface Prepared {
  readonly snapshot: Snapshot;
  readonly certificates: Certificates | null;
  readonly keys: UpstreamKeys;
  readonly owners: HostOwners;
}

/** Certificates that services name. */
let upstreamKeys = UpstreamKeys.none;

let prepared: (Prepared & { readonly version: number }) | null = null;
const replaced = new Replaced();
/** The change that is on its way, as far as it is there. */
let arriving: { readonly version: number; readonly pieces: Uint8Array[] } = { version: 0, pieces: [] };

function receive(version: number, piece: Uint8Array): void {
  // One that broke off on its way never mixes with the next.
  if (version !== arriving.version) arriving = { version, pieces: [] };
  arriving.pieces.push(piece);
}

async function prepare(version: number, packages: Deployment["packages"]): Promise<void> {
  const change = arriving.pieces;
  arriving = { version, pieces: [] };
  try {
    prepared = { version, ...(await inSlices(next(change, packages))) };
    post({ kind: "prepared", version, error: null });
  } catch (error) {
    post({ kind: "prepared", version, error: error instanceof Error ? error.message : String(error) });
  }
}

function* next(bytes: readonly Uint8Array[], packages: Deployment["packages"]): Generator<void, Prepared> {
  const parts: ConfigChange[] = [];
  for (const piece of bytes) yield void parts.push(deserialize(piece) as ConfigChange);
  const change = joined(parts);
  const certificates = terminator?.certificates.next(change) ?? null;
  const keys = upstreamKeys.next(change);
  const snapshot = yield* plane.snapshot.next(change, {
    instantiate: (plugin, workspace) => instantiate(plugin, workspace, packages[plugin.id]),
    balancer: (service, upstream, targets) => balancer(service, upstream, targets, keys),
  });
  return { snapshot, certificates, keys, owners: plane.owners.next(change) };
}

function commit(version: number): void {
  if (prepared?.version !== version) return;
  const old = plane.snapshot;
  plane.snapshot = prepared.snapshot;
  plane.owners = prepared.owners;
  upstreamKeys = prepared.keys;
  if (terminator !== null && prepared.certificates !== null) terminator.certificates = prepared.certificates;
  prepared = null;
  replaced.add(old, plane.snapshot);
  post({ kind: "live", version });
}

function discard(): void {
  prepared?.snapshot.discard();
  prepared = null;
}

function instantiate(
  plugin: PluginEntity,
  workspace: string,
  installed: InstalledPackage | undefined,
): PluginInstance {
  const host = new NativeHost(plugin, {
    counters,
    metrics: installed === undefined ? metrics : metrics.guest(workspace, installed.manifest.name),
    logFrom: pluginLogFrom,
    snapshot: () => plane.snapshot,
    log: (level, message, fields) => {
      if (pluginLines.admits(workspace, { workspace }))
        post({ kind: "log", level: level as "info", message, fields: { ...fields, workspace } });
    },
  });
  if (installed !== undefined) return guests.instantiate(plugin, workspace, installed, host);
  const definition = BUILT_INS.find(({ name }) => name === plugin.name);
  if (definition === undefined) throw new Error(`plugin '${plugin.name}' is not there`);
  return { priority: definition.priority, hooks: definition.create(plugin.config, host), dispose() {} };
}

function balancer(
  service: Service,
  upstream: Upstream | null,
  list: readonly Target[],
  keys: UpstreamKeys,
): Balancer {
  const targets: readonly TargetSpec[] =
    upstream === null
      ? [{ host: service.host, port: service.port, weight: 1 }]
      : list.map(({ target, weight }) => ({ ...splitTarget(target), weight }));
  const secure = service.protocol === "https";
  const { client_certificate: own, ca_certificates: authorities } = service;
  const trust = {
    verify: service.tls_verify ?? true,
    depth: service.tls_verify_depth,
    ca: authorities === null || authorities.length === 0 ? ca : keys.authorities(authorities),
    client: own === null ? clientPair : keys.certificate(own.id),
  };
  return new Balancer(targets, resolver, secure ? 443 : 80, (ip, target) =>
    pool.origin({
      address: ip,
      port: target.port,
      tls: secure
        ? new UpstreamTls({ ...trust, servername: nameOf(upstream?.host_header ?? target.host) })
        : null,
    }),
  );
}

/** The name that an upstream is asked for by SNI: that of a `host[:port]`; null for an address. */
function nameOf(host: string): string | null {
  const parts = parseHost(host);
  return typeof parts === "string" || parts.kind !== "name" ? null : parts.host;
}

function splitTarget(target: string): { host: string; port: number } {
  const colon = target.lastIndexOf(":");
  const host = target.substring(0, colon);
  return { host: host.startsWith("[") ? host.slice(1, -1) : host, port: Number(target.substring(colon + 1)) };
}

function address({ host, port: number }: { host: string; port: number }): string {
  return isIP(host) === 6 ? `[${host}]:${number}` : `${host}:${number}`;
}

// Listeners.

const listeners = new Listeners(accept, onAcceptFailed);

async function listen(wanted: readonly ProxyListen[]): Promise<void> {
  try {
    post({ kind: "listening", ports: await listeners.open(wanted) });
  } catch (error) {
    post({ kind: "listen-failed", message: (error as Error).message });
  }
}

/** TLS, where a listener speaks it. */
const terminator =
  tls === null
    ? null
    : new Terminator(tls, deadlines, limits.headTimeoutMs, (client, reason) => {
        if (LEVELS.indexOf("info") >= pluginLogFrom) complaints.shake(client, reason);
      });

/** PROXY headers, where a listener expects them. */
const proxyHeaders = new ProxyHeaders(deadlines, limits.headTimeoutMs, (client, reason) => {
  if (LEVELS.indexOf("info") >= pluginLogFrom) complaints.unproxied(client, reason);
});

/** What is known of a connection before HTTP is spoken on it. */
interface Arrival {
  readonly trusted: boolean;
  /** The client that the peer speaks for, by the PROXY protocol. */
  readonly proxied: ProxiedFrom | null;
  readonly seat: number;
}

function accept(wire: PlainWire, listener: ProxyListen): void {
  vitals.onAccepted();
  const trusted = plane.trust.trusts(wire.remoteAddress);
  const seat = enter(wire, wire.remoteAddress, trusted);
  if (seat === null) return;
  if (!listener.proxyProtocol) return secure(wire, listener, { trusted, proxied: null, seat }, null);
  proxyHeaders.read(
    wire,
    (proxied, rest) => {
      const arrival = seated(wire, { trusted, proxied, seat });
      if (arrival !== null) secure(wire, listener, arrival, rest);
    },
    () => caps.leave(seat),
  );
}

/** The seat of a connection; null if there is none, and then it is closed. */
function enter(wire: Wire, client: string, exempt: boolean): number | null {
  const seat = caps.enter(client, exempt);
  if (typeof seat !== "string") return seat;
  complaints.refuse(client, seat);
  wire.reset(); // costs least, and leaves nothing behind
  return null;
}

/** Where a trusted peer's word stands for the client's address, the seat is that client's. */
function seated(wire: Wire, { trusted, proxied, seat }: Arrival): Arrival | null {
  const client = trusted ? plane.trust.proxiedClient(proxied) : null;
  if (client === null) return { trusted, proxied, seat };
  caps.leave(seat);
  const own = enter(wire, client.address, plane.trust.trusts(client.address));
  return own === null ? null : { trusted, proxied, seat: own };
}

/** TLS where the listener speaks it. `first` was read already. */
function secure(wire: PlainWire, listener: ProxyListen, arrival: Arrival, first: Buffer | null): void {
  if (!listener.ssl || terminator === null) return serve(wire, arrival, null, first);
  terminator.shake(
    wire,
    first,
    (secured, session) => serve(secured, arrival, session, null),
    () => caps.leave(arrival.seat),
  );
}

function serve(wire: Wire, arrival: Arrival, session: TlsSession | null, first: Buffer | null): void {
  const connection = new ServerConnection(wire, handler, deadlines, limits);
  connection.trusted = arrival.trusted;
  connection.proxied = arrival.proxied;
  connection.seat = arrival.seat;
  connection.tls = session;
  connections.add(connection);
  vitals.open = connections.size;
  if (draining) connection.drain();
  if (first !== null && first.length > 0) connection.onRead(first);
}

/** Descriptors have run out: a connection that does nothing makes room. */
function onAcceptFailed(reason: string): void {
  complaints.starved(reason);
  for (const connection of connections) {
    if (connection.idle) return connection.wire.destroy();
  }
}

function connectionStates(): ConnectionStates {
  const now = { active: connections.size, waiting: 0, reading: 0 };
  for (const connection of connections) {
    if (connection.idle) now.waiting++;
    else if (connection.readingHead) now.reading++;
  }
  return now;
}

function drain(): void {
  draining = true;
  listeners.close();
  proxyHeaders.close();
  terminator?.close();
  for (const connection of connections) connection.drain();
  finishDraining();
}

function finishDraining(): void {
  if (!draining || connections.size > 0) return;
  flushAccess();
  pool.close();
  guests.close();
  post({ kind: "drained" });
}

// Logs: records are gathered and posted in batches, so that a request pays for none of the writing.

const ACCESS_BATCH = 256;
const ACCESS_DELAY_MS = 50;
/** How often lines that were suppressed are told of. */
const LOG_INTERVAL_MS = 10_000;
let access: AccessRecord[] = [];
let accessTimer: NodeJS.Timeout | null = null;
const logsAccess = settings.proxyAccessLog !== null;

function onFinished(x: Exchange): void {
  vitals.onFinished();
  if (--x.snapshot.inFlight === 0 && x.snapshot !== plane.snapshot) replaced.sweep();
  if (!logsAccess) return;
  const { request, response, measures } = x;
  access.push([
    request.startedAt,
    request.clientIp,
    request.method,
    request.path,
    response.status,
    measures.requestBytes,
    measures.responseBytes,
    measures.totalMs,
    measures.upstreamMs,
    request.id,
    x.workspace,
    x.route === null ? null : (x.route.name ?? x.route.id),
    x.service === null ? null : (x.service.name ?? x.service.id),
    x.consumer === null ? null : (x.consumer.username ?? x.consumer.id),
    response.source,
  ]);
  if (access.length >= ACCESS_BATCH) flushAccess();
  else accessTimer ??= setTimeout(flushAccess, ACCESS_DELAY_MS);
}

function flushAccess(): void {
  if (accessTimer !== null) clearTimeout(accessTimer);
  accessTimer = null;
  if (access.length === 0) return;
  post({ kind: "access", records: access });
  access = [];
}

/** Lines that plugins of one workspace log. */
const pluginLines = new LogBudget(
  { perSecond: 100, burst: 200, intervalMs: LOG_INTERVAL_MS },
  (suppressed, fields) => suppress("lines of plugins", suppressed, fields),
);
/** Lines about one error on one route. */
const errorLines = new LogBudget(
  { perSecond: 10, burst: 50, intervalMs: LOG_INTERVAL_MS },
  (suppressed, fields) => suppress("lines about this error", suppressed, fields),
);

/** Lines about clients. */
const complaints = new Complaints(
  (message, fields) => post({ kind: "log", level: "info", message, fields }),
  (suppressed, fields) => suppress("lines about clients like that", suppressed, fields),
  { perSecond: 1, burst: 20, intervalMs: LOG_INTERVAL_MS },
);

function complain(
  connection: ServerConnection,
  code: ErrorCode,
  detail: string,
  requestId: string | null,
): void {
  if (LEVELS.indexOf("info") >= pluginLogFrom) complaints.add(connection, code, detail, requestId);
}

function suppress(what: string, suppressed: number, fields: Readonly<Record<string, unknown>>): void {
  const message = `${suppressed} more ${what} suppressed`;
  post({ kind: "log", level: "warn", message, fields: { ...fields, suppressed } });
}

/** What anybody can cause at will is for `debug`: failures of guests are in the log once already, bounded. */
function onError(x: Exchange, error: GatewayError): void {
  const { source, status } = error.kind;
  if (source === "downstream") complain(x.client, error.code, error.message, x.request.id);
  const common = source === "downstream" || error.code === "no_route" || error.cause instanceof GuestFailure;
  const level = common ? "debug" : status === 500 ? "error" : "warn";
  if (LEVELS.indexOf(level) < pluginLogFrom) return;
  const { workspace } = x;
  const route = x.route === null ? null : (x.route.name ?? x.route.id);
  const fields = { code: error.code, source, workspace, route };
  if (!errorLines.admits(`${error.code} ${x.route?.id}`, fields)) return;
  post({ kind: "log", level, message: error.message, fields: { ...fields, request_id: x.request.id } });
}

port.on("message", (message: ToThread) => {
  switch (message.kind) {
    case "piece":
      return receive(message.version, message.bytes);
    case "prepare":
      return void prepare(message.version, message.packages);
    case "commit":
      return commit(message.version);
    case "discard":
      return discard();
    case "listen":
      return void listen(message.listeners);
    case "tls":
      return terminator?.replace(message.tls);
    case "drain":
      return drain();
    case "metrics":
      return void metrics.json().then((json) =>
        post({
          kind: "metrics",
          id: message.id,
          metrics: json,
          connections: connectionStates(),
          ledger: guests.ledger(),
        }),
      );
    case "sandbox":
      return guests.onMessage(message.message);
  }
});

void guests.listen().then(() => post({ kind: "started" }));
