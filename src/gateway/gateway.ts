/**
 * The main thread: configuration, registry, Admin and Status APIs, metrics, and the only parent of processes.
 * It never touches a live request. Parts are made in the order in which they need each other and closed in the
 * reverse one.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Logger } from "pino";
import { createAdmin } from "../admin/admin.ts";
import type { AdminPort } from "../admin/port.ts";
import type { ApiServer } from "../admin/server.ts";
import { createStatusApi } from "../admin/status-api.ts";
import {
  type ConfigError,
  emptyConfig,
  formatConfigErrors,
  loadDeclarative,
  noConfig,
} from "../declarative/declarative.ts";
import { changeBetween, sizeOf, wholeChange } from "../entities/change.ts";
import type { GatewayConfig } from "../entities/entities.ts";
import { LineWriter } from "../observe/line-writer.ts";
import { type AccessLog, createAccessLog, createLogger } from "../observe/logger.ts";
import { renderMetrics } from "../observe/metrics.ts";
import { openSpillDirectory } from "../pipeline/body-store.ts";
import { Registry } from "../registry/registry.ts";
import type { Listen, Settings } from "../settings.ts";
import { expiring } from "../tls/expiry.ts";
import { VERSION } from "../version.ts";
import { createCatalogue, nativePlugins } from "./catalogue.ts";
import { fileStamp, watchFile } from "./config-file.ts";
import { type CapColumns, openCaps } from "./connection-caps.ts";
import { counterTableSpec } from "./counter-table.ts";
import { Explainer } from "./explain.ts";
import { ExplainInputError, readExplainRequest } from "./explain-input.ts";
import { type InstalledPackage, identityOf } from "./packages.ts";
import { spillDirectory } from "./plane-settings.ts";
import { Sandbox } from "./sandbox.ts";
import { DataThreads } from "./threads.ts";
import { clientPair, MaterialError, TlsMaterial } from "./tls-material.ts";

/** Rate-limiting windows that can be counted at once; 26 bytes each. */
const COUNTER_WINDOWS = 262_144;
/** How long the end waits for whoever reads the log. */
const LAST_LINES_MS = 2000;

/** A gateway cannot start or go on; the message is for the operator and complete. */
export class StartError extends Error {
  override name = "StartError";
}

export class Gateway {
  readonly #settings: Settings;
  readonly #stdout = new LineWriter(1);
  readonly #log: Logger;
  readonly #accessLog: AccessLog | null;
  readonly #nodeId = randomUUID();
  readonly #startedAt = Date.now();
  /** What is in force on the threads; they start with nothing. */
  #config: GatewayConfig = noConfig();
  #packages: Readonly<Record<string, InstalledPackage>> = {};
  #registry!: Registry;
  #sandbox!: Sandbox;
  #threads!: DataThreads;
  /** Null if no listener speaks TLS. */
  #tls: TlsMaterial | null = null;
  #rotation: NodeJS.Timeout | undefined;
  #caps!: CapColumns;
  #admin: ApiServer | null = null;
  /** Made when somebody asks. */
  #explainer: Explainer | null = null;
  #status: ApiServer | null = null;
  #unwatch: (() => void) | null = null;
  #ready = false;
  #draining = false;
  #started: Promise<void> = Promise.resolve();
  /** Changes follow each other. */
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(settings: Settings) {
    this.#settings = settings;
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
    this.#sandbox = await Sandbox.open(settings, this.#log);
    this.#registry = await Registry.open({
      dir: join(settings.prefix, "artifacts"),
      forge: (input) => this.#sandbox.forge(input),
      log: (level, message, details) => this.#log[level](details ?? {}, message),
    });
    const file = settings.declarativeConfig;
    const stamp = file === null ? "" : await fileStamp(file);
    this.#caps = openCaps(settings, this.#log);
    if (settings.proxyListen.some(({ ssl }) => ssl)) await this.#openTls();
    this.#threads = new DataThreads({
      settings,
      caps: this.#caps,
      counters: counterTableSpec(COUNTER_WINDOWS, [
        randomBytes(4).readInt32LE(),
        randomBytes(4).readInt32LE(),
      ]),
      ca: await readAuthorities(settings),
      clientPair: await startable(clientPair(settings)),
      tls: () => this.#tls?.current ?? null,
      log: this.#log,
      onAccess: (records) => this.#accessLog?.write(records),
      connectSandbox: (post) => this.#sandbox.connect(post),
    });
    // Threads load their modules while this one reads the configuration.
    const started = this.#threads.start();
    started.catch(() => {});
    const config = await this.#initial();
    await started;
    await this.#deploy(config);
    const ports: Record<string, number> = {};
    // The proxy last: whoever is refused another address has not answered a single request.
    const admin = await listening("admin_listen", this.#openAdmin());
    if (admin !== undefined) ports.admin = admin;
    const status = await listening("status_listen", this.#openStatus());
    if (status !== undefined) ports.status = status;
    await listening("proxy_listen", refuseTaken(settings.proxyListen));
    const proxy = await listening("proxy_listen", this.#threads.listen(settings.proxyListen));
    // The first of each kind.
    settings.proxyListen.forEach(({ ssl }, i) => {
      ports[ssl ? "proxy_ssl" : "proxy"] ??= proxy[i] as number;
    });
    await writeAtomically(join(settings.prefix, "ports.json"), `${JSON.stringify(ports)}\n`);
    if (file !== null) this.#unwatch = watchFile(file, stamp, () => this.#reload(file));
    this.#ready = true;
    this.#log.info(
      {
        ports,
        version: VERSION,
        data_threads: settings.dataThreads,
        config_hash: this.#config.hash,
        prefix: settings.prefix,
        fence: this.#sandbox.fence,
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
    // Told to stop while it starts, it stops what has started by then.
    await this.#started.catch(() => {});
    this.#unwatch?.();
    clearInterval(this.#rotation);
    const ended = (await this.#threads?.drain(this.#settings.drainTimeoutMs)) ?? true;
    await Promise.all([this.#admin?.close(), this.#status?.close()]);
    await rm(join(this.#settings.prefix, "ports.json"), { force: true });
    await this.#sandbox?.close();
    await this.#accessLog?.close();
    this.#log.info({}, "stopped");
    await this.flushLog();
    return ended;
  }

  /** Resolves when the last lines of the log are with whoever reads it, or after a moment. */
  async flushLog(): Promise<void> {
    await this.#stdout.flush(LAST_LINES_MS);
  }

  async #initial(): Promise<GatewayConfig> {
    const file = this.#settings.declarativeConfig;
    if (file === null) return emptyConfig();
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      throw new StartError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
    const loaded = this.#load(text, file);
    if (!loaded.ok) throw new StartError(formatConfigErrors(loaded.errors));
    return loaded.config;
  }

  #load(text: string, file?: string) {
    return loadDeclarative(text, {
      plugins: this.#catalogue(),
      previous: this.#config,
      routerFlavor: this.#settings.routerFlavor,
      ...(file === undefined ? {} : { file }),
    });
  }

  /**
   * The plugins that a configuration may name. What may not be uploaded may not be used either: a package
   * outlives a restart, and the fence may not.
   */
  #catalogue() {
    return createCatalogue(this.#registry, ({ workspace, manifest }) => {
      if (workspace === "default" || this.#sandbox.fence.inForce) return null;
      if (this.#settings.unfencedUploads.includes(workspace)) return null;
      return (
        `'${manifest.name}@${manifest.version}' belongs to workspace '${workspace}', and the operating system's ` +
        `fence around guests is not in force here (${this.#sandbox.fence.why}); start the gateway so that it ` +
        "is, or name the workspace in unfenced_uploads"
      );
    });
  }

  /** The packages that a configuration uses, by plugin entity. */
  async #packagesOf(config: GatewayConfig): Promise<Record<string, InstalledPackage>> {
    const workspaces = new Map(config.workspaces.map(({ id, name }) => [id, name]));
    const packages: Record<string, InstalledPackage> = {};
    const loaded = new Map<string, Promise<Uint8Array>>();
    for (const plugin of config.plugins) {
      if (!plugin.name.includes("@")) continue;
      const stored = this.#registry.find(plugin.name, workspaces.get(plugin.ws_id) ?? "default");
      if ("missing" in stored) throw new Error(stored.missing);
      let code = loaded.get(stored.emitted);
      if (code === undefined) {
        code = this.#registry.load(stored).then(shared);
        loaded.set(stored.emitted, code);
      }
      const { id, manifest, emitted: digest } = stored;
      packages[plugin.id] = { id, manifest, digest, code: await code };
    }
    return packages;
  }

  /**
   * Puts a configuration in force; threads hear what differs from the one before.
   * @returns how many entities do.
   */
  async #deploy(config: GatewayConfig): Promise<number> {
    const packages = await this.#packagesOf(config);
    const change = changeBetween(
      this.#config,
      config,
      (plugin) =>
        // A plugin whose package was published anew is another one, though its entity says the same.
        identityOf(packages[plugin.id]) === identityOf(this.#packages[plugin.id]),
    );
    const put = Object.fromEntries(
      change.put.plugins.flatMap(({ id }) => (packages[id] === undefined ? [] : [[id, packages[id]]])),
    );
    await this.#threads.deploy({ change, packages: put }, () => ({ change: wholeChange(config), packages }));
    this.#config = config;
    this.#packages = packages;
    for (const one of expiring(change.put.certificates))
      this.#log.warn({ ...one }, one.expired ? "a certificate has expired" : "a certificate expires soon");
    return sizeOf(change);
  }

  /** Puts a configuration in force, or tells what is wrong with it. */
  #apply(
    text: string,
    options: { file?: string; ifChanged: boolean },
  ): Promise<{ ok: true; changed: boolean } | { ok: false; errors: readonly ConfigError[] }> {
    const change = this.#lastChange.then(async () => {
      await this.#readTls();
      const loaded = this.#load(text, options.file);
      if (!loaded.ok) return loaded;
      if (options.ifChanged && loaded.config.hash === this.#config.hash)
        return { ok: true as const, changed: false };
      const loadedAt = performance.now();
      const changed = await this.#deploy(loaded.config);
      this.#log.info(
        {
          config_hash: loaded.config.hash,
          changed_entities: changed,
          deploy_ms: Math.round(performance.now() - loadedAt),
        },
        "configuration is live on all threads",
      );
      return { ok: true as const, changed: true };
    });
    this.#lastChange = change.catch(() => {});
    return change;
  }

  async #reload(file: string): Promise<void> {
    try {
      const result = await this.#apply(await readFile(file, "utf8"), { file, ifChanged: true });
      if (!result.ok)
        this.#log.error(
          { file, errors: formatConfigErrors(result.errors).split("\n") },
          "the changed configuration is refused; the old one keeps serving",
        );
    } catch (error) {
      this.#log.error(
        { file, reason: (error as Error).message },
        "the changed configuration could not be loaded; the old one keeps serving",
      );
    }
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
  }

  /** The certificate files of the settings are read whenever the configuration is. */
  async #readTls(): Promise<void> {
    try {
      if (this.#tls === null || !(await this.#tls.read())) return;
      this.#threads.replaceTls(this.#tls.current);
      this.#log.info({}, "the certificates of ssl_cert are new");
    } catch (error) {
      if (!(error instanceof MaterialError)) throw error;
      this.#log.error(
        { reason: error.message },
        "the certificates of ssl_cert could not be read; the old ones stay",
      );
    }
  }

  async #openAdmin(): Promise<number | undefined> {
    const { adminListen, adminAllowedHosts, adminAllowedOrigins, unfencedUploads } = this.#settings;
    if (adminListen.length === 0) return undefined;
    this.#admin = createAdmin({
      port: this.#adminPort(),
      registry: this.#registry,
      allowedHosts: adminAllowedHosts,
      allowedOrigins: adminAllowedOrigins,
      unfencedUploads,
      version: VERSION,
      nodeId: this.#nodeId,
      log: (level, message, details) => this.#log[level](details ?? {}, message),
    });
    return (await this.#admin.listen(adminListen))[0]?.port;
  }

  async #openStatus(): Promise<number | undefined> {
    const { statusListen } = this.#settings;
    if (statusListen.length === 0) return undefined;
    this.#status = createStatusApi({
      status: () => this.#statusReport(),
      notReady: () => this.#notReady(),
      metrics: async () =>
        renderMetrics(await this.#threads.collect(), {
          nodeId: this.#nodeId,
          version: VERSION,
          cordons: this.#sandbox.cordons().length,
          refused: this.#caps.refused,
        }),
      version: VERSION,
      log: (level, message, details) => this.#log[level](details ?? {}, message),
    });
    return (await this.#status.listen(statusListen))[0]?.port;
  }

  #notReady(): string | null {
    if (this.#draining) return "draining";
    if (!this.#ready) return "starting";
    if (this.#threads.stuck) return "a data thread hangs and cannot be ended: restart the gateway";
    return this.#threads.serving ? null : "a data thread is being replaced";
  }

  #adminPort(): AdminPort {
    const catalogue = this.#catalogue();
    return {
      config: () => this.#config,
      applyConfig: (text, { ifChanged }) => this.#apply(text, { ifChanged }),
      findPlugin: (name, workspace) => catalogue.find(name, workspace),
      plugins: () => nativePlugins(),
      explain: (request) => {
        try {
          const input = readExplainRequest(request);
          this.#explainer ??= new Explainer(this.#registry);
          return { explained: this.#explainer.explain(this.#config, input) };
        } catch (error) {
          if (error instanceof ExplainInputError) return { refused: error.message };
          throw error;
        }
      },
      routerFlavor: () => this.#settings.routerFlavor,
      fenceInForce: () => this.#sandbox.fence.inForce,
      status: () => this.#statusReport(),
      info: () => ({
        pids: { master: process.pid },
        configuration: {
          database: "off",
          router_flavor: this.#settings.routerFlavor,
          prefix: this.#settings.prefix,
          data_threads: this.#settings.dataThreads,
        },
      }),
    };
  }

  async #statusReport(): Promise<object> {
    const { stats, losses } = await this.#threads.collect();
    const { heapUsed, rss } = process.memoryUsage();
    const { total, address } = this.#caps.refused;
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
      configuration_hash: this.#config.hash,
      data_threads: this.#settings.dataThreads,
      lost_data_threads: {
        crashed: losses.threads.crash,
        hung: losses.threads.hang,
        connections: losses.connections,
        requests: losses.requests,
      },
      uptime_seconds: Math.round((Date.now() - this.#startedAt) / 1000),
      fence: this.#sandbox.fence,
      cordons: this.#sandbox.cordons(),
    };
  }
}

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

/** The same bytes in shared memory. */
function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** What is wrong with certificates and keys of the settings is for the operator. */
async function startable<T>(material: Promise<T>): Promise<T> {
  try {
    return await material;
  } catch (error) {
    throw error instanceof MaterialError ? new StartError(error.message) : error;
  }
}

/** Says which setting asked for an address that cannot be had. */
async function listening<T>(setting: string, opened: Promise<T>): Promise<T> {
  try {
    return await opened;
  } catch (error) {
    const reason = (error as Error).message.replace(/^listen /, "");
    throw new StartError(`${setting}: ${reason}; choose another address, or end what listens there`);
  }
}

async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

/** PEM of the authorities to trust upstream; null when the runtime's own suffice. */
async function readAuthorities(settings: Settings): Promise<string[] | null> {
  const entries = settings.luaSslTrustedCertificate;
  if (entries.length === 1 && entries[0] === "system") return null;
  const { getCACertificates } = await import("node:tls");
  const out: string[] = [];
  for (const entry of entries) {
    if (entry === "system") {
      out.push(...getCACertificates("system"));
      continue;
    }
    try {
      out.push(await readFile(entry, "utf8"));
    } catch (error) {
      throw new StartError(
        `lua_ssl_trusted_certificate: ${entry} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      );
    }
  }
  return out;
}
