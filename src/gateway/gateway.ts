/**
 * The main thread: configuration, registry, Admin and Status APIs, metrics, and the only parent of processes.
 * It never touches a live request. Parts are made in the order in which they need each other and closed in the
 * reverse one.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Logger } from "pino";
import { createAdmin } from "../admin/admin.ts";
import type { ApiServer } from "../admin/server.ts";
import { createStatusApi } from "../admin/status-api.ts";
import { Control } from "../control/control.ts";
import { spillDirectory } from "../data-thread/plane-settings.ts";
import { listenersOf, type OwnListener, OwnListeners, serverListeners } from "../egress/own-listeners.ts";
import type { PluginCatalogue } from "../entities/entities.ts";
import { GuestStore } from "../guest-store/guest-store.ts";
import { LineWriter } from "../observe/line-writer.ts";
import { type AccessLog, createAccessLog, createLogger } from "../observe/logger.ts";
import { renderMetrics } from "../observe/metrics.ts";
import { openSpillDirectory } from "../pipeline/body-store.ts";
import { Registry } from "../registry/registry.ts";
import type { Concerns } from "../registry/tables.ts";
import { Recordings } from "../replay/recordings.ts";
import { Replays } from "../replay/replays.ts";
import { Rollouts, rolloutTable } from "../rollout/rollouts.ts";
import { Sandbox } from "../sandbox/sandbox.ts";
import { Vaults } from "../secrets/vaults.ts";
import type { Listen, Settings } from "../settings.ts";
import { openRegistryBytes, openRegistryStore, openStore } from "../stores/open-store.ts";
import { TailDesk } from "../tail/tail-desk.ts";
import { Tenants } from "../tenancy/tenants.ts";
import { type CapColumns, openCaps } from "../threads/connection-caps.ts";
import { counterTableSpec } from "../threads/counter-table.ts";
import { DataThreads } from "../threads/threads.ts";
import { warnOfEnds } from "../tls/expiry.ts";
import { VERSION } from "../version.ts";
import { AdminAccess } from "./admin-access.ts";
import { adminPort } from "./admin-port.ts";
import { fencedCatalogue } from "./catalogue.ts";
import { fileStamp, watchFile } from "./config-file.ts";
import { placesOf } from "./departed.ts";
import { LogLevel } from "./log-level.ts";
import { listening, startable } from "./start-error.ts";
import { statusReport } from "./status-report.ts";
import { storeKind } from "./store-kind.ts";
import { adminTls, clientPair, MaterialError, TlsMaterial, upstreamAuthorities } from "./tls-material.ts";

/** Rate-limiting windows that can be counted at once; 26 bytes each. */
const COUNTER_WINDOWS = 262_144;
/** How long the end waits for whoever reads the log. */
const LAST_LINES_MS = 2000;
/** How often certificates in force are looked at for their end. */
const EXPIRY_LOOK_MS = 86_400_000;

export class Gateway {
  readonly #settings: Settings;
  readonly #stdout = new LineWriter(1);
  readonly #log: Logger;
  readonly #accessLog: AccessLog | null;
  readonly #nodeId = randomUUID();
  readonly #startedAt = Date.now();
  /** Where it listens itself. */
  readonly #own: OwnListeners;
  #registry!: Registry;
  #rollouts!: Rollouts;
  #sandbox!: Sandbox;
  #store!: GuestStore;
  #recordings!: Recordings;
  #replays!: Replays;
  #threads!: DataThreads;
  #logLevel!: LogLevel;
  #control!: Control;
  /** Null where workspaces come from a file: what is kept of one outlives a moment in which the file has it not. */
  #tenants: Tenants | null = null;
  #catalogue!: PluginCatalogue;
  #access!: AdminAccess;
  readonly #tails = new TailDesk({ watch: (watches) => this.#threads.tail(watches) });
  /** Null if no listener speaks TLS. */
  #tls: TlsMaterial | null = null;
  #rotation: NodeJS.Timeout | undefined;
  #expiryLook: NodeJS.Timeout | undefined;
  #caps!: CapColumns;
  #admin: ApiServer | null = null;
  #status: ApiServer | null = null;
  #unwatch: (() => void) | null = null;
  /** Where stores are that are servers. */
  #servers: readonly OwnListener[] = [];
  #ready = false;
  #draining = false;
  #started: Promise<void> = Promise.resolve();

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#own = new OwnListeners(listenersOf(settings));
    this.#log = createLogger(settings, this.#stdout);
    this.#accessLog = createAccessLog(settings, this.#stdout);
  }

  /**
   * Starts everything. Resolves when traffic is served.
   * @throws {StartError} with everything that is wrong; nothing is left running.
   */
  start(): Promise<void> {
    this.#started = this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const settings = this.#settings;
    await mkdir(settings.prefix, { recursive: true });
    await openSpillDirectory(spillDirectory(settings));
    this.#sandbox = await Sandbox.open(settings, this.#log, (workspace) => this.#control.limitsOf(workspace));
    this.#store = new GuestStore({
      store: storeKind(settings),
      log: (level, message, fields) => this.#log[level](fields, message),
    });
    this.#recordings = new Recordings({
      path: join(settings.prefix, "recordings", "recordings.sqlite"),
      maxBytes: settings.recordingsMaxBytes,
      log: (level, message, fields) => this.#log[level](fields, message),
    });
    const rollouts = rolloutTable(({ id }) =>
      this.#log.error({ id }, "a roll-out in the store is not sound, and counts as not there"),
    );
    this.#registry = await Registry.open({
      tables: [rollouts],
      dir: join(settings.prefix, "artifacts"),
      store: await startable(openRegistryStore(settings)),
      bytes: await startable(openRegistryBytes(settings, join(settings.prefix, "artifacts", "sha256"))),
      idOf: (workspace) => this.#control.index.named("workspaces", "", workspace)?.id,
      requiresSignature: (workspace) =>
        this.#control.index.named("workspaces", "", workspace)?.require_signature === true,
      onMoved: (concerns) => void this.#follow(concerns),
      limitsOf: (workspace) => this.#control.limitsOf(workspace),
      forge: (input) => this.#sandbox.forge(input),
      onGone: (workspace, plugin) => {
        const owner = this.#control.index.named("workspaces", "", workspace);
        if (owner !== undefined) this.#store.forget(owner.id, plugin);
      },
      log: (level, message, details) => this.#log[level](details ?? {}, message),
    });
    this.#servers = await serverListeners(settings);
    this.#own.replace([...listenersOf(settings), ...this.#servers]);
    const file = settings.declarativeConfig;
    const stamp = file === null ? "" : await fileStamp(file);
    this.#caps = openCaps(settings, this.#log);
    if (settings.proxyListen.some(({ ssl }) => ssl)) await this.#openTls();
    this.#threads = new DataThreads({
      nodeId: this.#nodeId,
      settings,
      caps: this.#caps,
      counters: counterTableSpec(COUNTER_WINDOWS, [
        randomBytes(4).readInt32LE(),
        randomBytes(4).readInt32LE(),
      ]),
      ca: await startable(upstreamAuthorities(settings)),
      clientPair: await startable(clientPair(settings)),
      tls: () => this.#tls?.current ?? null,
      own: [...listenersOf(settings), ...this.#servers],
      log: this.#log,
      onAccess: (records) => this.#accessLog?.write(records),
      onTail: (events) => this.#tails.publish(events),
      connectSandbox: (post) => this.#sandbox.connect(post),
      connectStore: () => this.#store.connect(),
      connectRecordings: () => this.#recordings.connect(),
    });
    this.#logLevel = new LogLevel(this.#log, this.#threads, settings.logLevel);
    this.#catalogue = fencedCatalogue(this.#registry, this.#sandbox.fence, settings);
    this.#replays = new Replays({
      registry: this.#registry,
      catalogue: this.#catalogue,
      recordings: this.#recordings,
      sandbox: this.#sandbox,
      entities: () => this.#control.index,
      limitsOf: (workspace) => this.#control.limitsOf(workspace),
    });
    this.#access = new AdminAccess({
      settings,
      catalogue: this.#catalogue,
      control: () => this.#control,
      log: this.#log,
    });
    this.#rollouts = new Rollouts({
      registry: this.#registry,
      table: rollouts,
      index: () => this.#control.index,
      ledger: () => this.#threads.ledger(),
      deploy: ({ workspace, name }) =>
        this.#follow((owner, plugin) => owner === workspace && plugin === name),
      note: (deed, by) => this.#access.audit.note(deed, by),
      log: (level, message, fields) => this.#log[level](fields, message),
    });
    const entityStore = settings.database === "off" ? null : await startable(openStore(settings));
    if (entityStore !== null) {
      this.#tenants = await Tenants.open({
        directory: join(settings.prefix, "store"),
        places: placesOf({
          sandbox: this.#sandbox,
          tails: this.#tails,
          threads: this.#threads,
          registry: this.#registry,
          rollouts: this.#rollouts,
          values: this.#store,
          recordings: this.#recordings,
          store: entityStore,
        }),
        log: (level, message, fields) => this.#log[level](fields, message),
      });
    }
    this.#control = new Control({
      settings,
      beside: this.#access.table,
      auditOf: this.#access.audit.entriesOf,
      registry: this.#registry,
      rollouts: this.#rollouts,
      catalogue: this.#catalogue,
      store: entityStore,
      threads: this.#threads,
      ...(this.#tenants === null ? {} : { tenants: this.#tenants }),
      own: this.#own,
      log: this.#log,
      vaults: new Vaults({ environment: process.env, directory: settings.secretsDir }),
      onLimits: () => this.#sandbox.limitsMoved(),
      readSettingsFiles: () => this.#readTls(),
    });
    // Threads load their modules while this one reads the configuration.
    const started = this.#threads.start();
    started.catch(() => {});
    await this.#control.open(started);
    void this.#tenants?.settle((id) => this.#control.index.find("workspaces", id) !== undefined);
    this.#rollouts.start();
    this.#sandbox.expectGuests(this.#registry.runtimes());
    const ports: Record<string, number | number[]> = {};
    // The proxy last: whoever is refused another address has not answered a single request.
    const admin = await listening("admin_listen", this.#openAdmin());
    // The first of each kind.
    settings.adminListen.forEach(({ ssl }, i) => {
      ports[ssl ? "admin_ssl" : "admin"] ??= admin[i]?.port ?? 0;
    });
    const status = await listening("status_listen", this.#openStatus());
    if (status[0] !== undefined) ports.status = status[0].port;
    const apis = [...named("admin_listen", admin), ...named("status_listen", status)];
    this.#announce([...apis, ...named("proxy_listen", settings.proxyListen)]);
    await listening("proxy_listen", refuseTaken(settings.proxyListen));
    const proxy = await listening("proxy_listen", this.#threads.listen(settings.proxyListen));
    const proxies = settings.proxyListen.map(({ host }, i) => ({ host, port: proxy[i] as number }));
    this.#announce([...apis, ...named("proxy_listen", proxies)]);
    // The first of each kind, and all in the order of the setting.
    settings.proxyListen.forEach(({ ssl }, i) => {
      ports[ssl ? "proxy_ssl" : "proxy"] ??= proxy[i] as number;
    });
    ports.proxy_ports = [...proxy];
    await writeAtomically(join(settings.prefix, "ports.json"), `${JSON.stringify(ports)}\n`);
    if (file !== null) this.#unwatch = watchFile(file, stamp, () => this.#control.reload(file));
    this.#watchExpiry();
    this.#ready = true;
    this.#log.info(
      {
        ports,
        version: VERSION,
        data_threads: settings.dataThreads,
        config_hash: this.#control.hash,
        prefix: settings.prefix,
        fence: this.#sandbox.fence.by,
      },
      "ready",
    );
  }

  /**
   * Stops: in-flight requests finish, new connections are refused.
   * @returns whether every thread has ended: a process with one that has not can only be killed.
   */
  async stop(): Promise<boolean> {
    if (this.#draining) return true;
    this.#draining = true;
    this.#log.info({}, "draining");
    this.#sandbox?.drain();
    // Told to stop while it starts, it stops what has started by then.
    await this.#started.catch(() => {});
    this.#unwatch?.();
    clearInterval(this.#rotation);
    clearInterval(this.#expiryLook);
    this.#access?.audit.close();
    this.#tails.close();
    const ended = (await this.#threads?.drain(this.#settings.drainTimeoutMs)) ?? true;
    await Promise.all([this.#admin?.close(), this.#status?.close()]);
    await rm(join(this.#settings.prefix, "ports.json"), { force: true });
    this.#tenants?.close();
    await this.#replays?.close();
    await this.#sandbox?.close();
    await this.#store?.close();
    await this.#recordings?.close();
    await this.#control?.close();
    this.#rollouts?.close();
    await this.#registry?.close();
    await this.#accessLog?.close();
    this.#log.info({}, "stopped");
    await this.flushLog();
    return ended;
  }

  /** Resolves when the last lines of the log are with whoever reads it, or after a moment. */
  async flushLog(): Promise<void> {
    await this.#stdout.flush(LAST_LINES_MS);
  }

  /** Ticket keys are as old as tickets may become, and go. */
  async #openTls(): Promise<void> {
    const tls = await startable(TlsMaterial.open(this.#settings));
    this.#tls = tls;
    this.#rotation = setInterval(() => {
      tls.rotate();
      this.#threads.replaceTls(tls.current);
    }, this.#settings.sslSessionTimeout * 1000);
    this.#rotation.unref();
    warnOfEnds(this.#log, tls.endings);
  }

  /** Those in force come nearer to their end while the gateway runs. */
  #watchExpiry(): void {
    this.#expiryLook = setInterval(() => {
      warnOfEnds(this.#log, [...(this.#tls?.endings ?? []), ...this.#control.certificates]);
    }, EXPIRY_LOOK_MS);
    this.#expiryLook.unref();
  }

  /** The certificate files of the settings are read whenever the configuration is. */
  async #readTls(): Promise<void> {
    try {
      if (this.#tls === null || !(await this.#tls.read())) return;
      this.#threads.replaceTls(this.#tls.current);
      this.#log.info({}, "the certificates of ssl_cert are new");
      warnOfEnds(this.#log, this.#tls.endings);
    } catch (error) {
      if (!(error instanceof MaterialError)) throw error;
      this.#log.error(
        { reason: error.message },
        "the certificates of ssl_cert could not be read; the old ones stay",
      );
    }
  }

  /** Connections that lead back to the gateway are refused to tenants, on the threads and when a file is loaded. */
  #announce(listeners: readonly OwnListener[]): void {
    const all = [...listeners, ...this.#servers];
    this.#own.replace(all);
    this.#threads.announce(all);
  }

  async #openAdmin(): Promise<readonly Bound[]> {
    const { adminListen, adminAllowedHosts, adminAllowedOrigins, unfencedUploads } = this.#settings;
    if (adminListen.length === 0) return [];
    this.#admin = createAdmin({
      port: adminPort({
        settings: this.#settings,
        control: this.#control,
        access: this.#access,
        tenants: this.#tenants,
        catalogue: this.#catalogue,
        registry: this.#registry,
        rollouts: this.#rollouts,
        fence: this.#sandbox.fence,
        threads: this.#threads,
        tails: this.#tails,
        recordings: this.#recordings,
        replays: this.#replays,
        logLevel: this.#logLevel,
        status: () => this.#statusReport(),
        log: this.#log,
      }),
      access: await this.#access.open(),
      tls: await startable(adminTls(this.#settings)),
      registry: this.#registry,
      rollouts: this.#rollouts,
      allowedHosts: adminAllowedHosts,
      allowedOrigins: adminAllowedOrigins,
      unfencedUploads,
      version: VERSION,
      nodeId: this.#nodeId,
      log: (level, message, details) => this.#log[level](details ?? {}, message),
    });
    return this.#admin.listen(adminListen);
  }

  async #openStatus(): Promise<readonly Bound[]> {
    const { statusListen } = this.#settings;
    if (statusListen.length === 0) return [];
    this.#status = createStatusApi({
      status: () => this.#statusReport(),
      notReady: () => this.#notReady(),
      metrics: async () =>
        renderMetrics(await this.#threads.collect(), {
          nodeId: this.#nodeId,
          version: VERSION,
          cordons: this.#sandbox.status().cordons.length,
          cpuAccounts: this.#sandbox.cpuAccounts(),
          refused: this.#caps.refused,
        }),
      version: VERSION,
      log: (level, message, details) => this.#log[level](details ?? {}, message),
    });
    return this.#status.listen(statusListen);
  }

  #notReady(): string | null {
    if (this.#draining) return "draining";
    if (!this.#ready) return "starting";
    if (this.#threads.stuck) return "a data thread hangs and cannot be ended: restart the gateway";
    return this.#threads.serving ? null : "a data thread is being replaced";
  }

  /** Names of packages that move may mean others: what they mean is put in force, and what cannot be is told. */
  async #follow(concerns: Concerns): Promise<void> {
    try {
      // Until there is a control plane, nothing is in force that could move.
      const changed = (await this.#control?.packagesMoved(concerns)) ?? 0;
      if (changed > 0)
        this.#log.info({ plugins: changed }, "plugins have moved to other versions of their packages");
    } catch (error) {
      this.#log.error(
        { reason: (error as Error).message },
        "plugins stay with the versions that they have: the ones that they should have are not in force",
      );
    }
  }

  async #statusReport(): Promise<object> {
    return statusReport(await this.#threads.collect(), {
      configurationHash: this.#control.hash,
      dataThreads: this.#settings.dataThreads,
      startedAt: this.#startedAt,
      fence: this.#sandbox.fence,
      sandbox: this.#sandbox.status(),
      refused: this.#caps.refused,
    });
  }
}

type Bound = Pick<OwnListener, "host" | "port">;

const named = (name: OwnListener["name"], list: readonly Bound[]): OwnListener[] =>
  list.map(({ host, port }) => ({ name, host, port }));

/**
 * Data threads share their ports, and any process of the same user could share them too: a second gateway would
 * take a part of the first one's traffic. So each port is bound alone once, before it is shared.
 */
async function refuseTaken(listeners: readonly Listen[]): Promise<void> {
  for (const { host, port } of listeners) {
    if (port === 0) continue;
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => server.close(() => resolve()));
    });
  }
}

async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}
