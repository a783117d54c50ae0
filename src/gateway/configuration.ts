/**
 * The configuration in force: loaded from a text, checked, given to the data threads as what differs from the one
 * before, and loaded again when its file changes. A text that cannot be put in force changes nothing.
 */
import { readFile } from "node:fs/promises";
import type { Logger } from "pino";
import {
  type ConfigError,
  emptyConfig,
  formatConfigErrors,
  judgeDeclarative,
  type Loaded,
  noConfig,
} from "../declarative/declarative.ts";
import type { OwnListeners } from "../egress/own-listeners.ts";
import { Policies } from "../egress/policies.ts";
import { changeBetween, sizeOf, wholeChange } from "../entities/change.ts";
import type { GatewayConfig, PluginCatalogue } from "../entities/entities.ts";
import type { Registry } from "../registry/registry.ts";
import type { Fence } from "../sandbox/fence.ts";
import { limitsOf, type WorkspaceLimits } from "../sandbox/limits.ts";
import type { Settings } from "../settings.ts";
import { warnOfEnds } from "../tls/expiry.ts";
import { createCatalogue } from "./catalogue.ts";
import { type InstalledPackage, identityOf, packagesOf } from "./packages.ts";
import { politely } from "./polite.ts";
import { StartError } from "./start-error.ts";
import type { DataThreads } from "./threads.ts";

interface ConfigurationParts {
  readonly settings: Settings;
  readonly registry: Registry;
  readonly fence: Fence;
  readonly threads: Pick<DataThreads, "deploy">;
  /** Where the gateway itself listens. */
  readonly own: OwnListeners;
  readonly log: Logger;
  /** Called after each change: limits of workspaces may be others. */
  onLimits(): void;
  /** Called before each change: files that the settings name are read again whenever the configuration is. */
  readSettingsFiles(): Promise<void>;
}

export class Configuration {
  readonly #parts: ConfigurationParts;
  /** The plugins that a configuration may name. */
  readonly catalogue: PluginCatalogue;
  readonly #egress: Policies;
  /** What is in force on the threads; they start with nothing. */
  #current: GatewayConfig = noConfig();
  /** By workspace, as far as somebody has asked for them. */
  readonly #limits = new Map<string, WorkspaceLimits>();
  #packages: Readonly<Record<string, InstalledPackage>> = {};
  /** Changes follow each other. */
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(parts: ConfigurationParts) {
    this.#parts = parts;
    this.catalogue = fencedCatalogue(parts);
    this.#egress = Policies.of(parts.settings, parts.own);
  }

  /** The limits of a workspace's guests, by the configuration in force. */
  limitsOf(workspace: string): WorkspaceLimits {
    const known = this.#limits.get(workspace);
    if (known !== undefined) return known;
    const entity = this.#current.workspaces.find(({ name }) => name === workspace);
    const limits = limitsOf(workspace, entity?.plugin_limits ?? null, this.#parts.settings);
    if (entity !== undefined) this.#limits.set(workspace, limits);
    return limits;
  }

  get current(): GatewayConfig {
    return this.#current;
  }

  /**
   * The configuration to start with.
   * @throws {StartError} with everything that is wrong with its file
   */
  async initial(): Promise<GatewayConfig> {
    const file = this.#parts.settings.declarativeConfig;
    if (file === null) return emptyConfig();
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      throw new StartError(`${file}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
    const loaded = await this.#load(text, file);
    if (!loaded.ok) throw new StartError(formatConfigErrors(loaded.errors));
    return loaded.config;
  }

  /** Puts a configuration in force, or tells what is wrong with it. */
  apply(
    text: string,
    options: { readonly file?: string; readonly ifChanged: boolean },
  ): Promise<{ ok: true; changed: boolean } | { ok: false; errors: readonly ConfigError[] }> {
    const change = this.#lastChange.then(async () => {
      await this.#parts.readSettingsFiles();
      const loaded = await this.#load(text, options.file);
      if (!loaded.ok) return loaded;
      if (options.ifChanged && loaded.config.hash === this.#current.hash)
        return { ok: true as const, changed: false };
      const loadedAt = performance.now();
      const changed = await this.deploy(loaded.config);
      this.#parts.log.info(
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

  /** The file has changed. */
  async reload(file: string): Promise<void> {
    const { log } = this.#parts;
    try {
      const result = await this.apply(await readFile(file, "utf8"), { file, ifChanged: true });
      if (!result.ok)
        log.error(
          { file, errors: formatConfigErrors(result.errors).split("\n") },
          "the changed configuration is refused; the old one keeps serving",
        );
    } catch (error) {
      log.error(
        { file, reason: (error as Error).message },
        "the changed configuration could not be loaded; the old one keeps serving",
      );
    }
  }

  async #load(text: string, file?: string): Promise<Loaded> {
    const judged = politely(() =>
      judgeDeclarative(text, {
        plugins: this.catalogue,
        previous: this.#current,
        egress: this.#egress,
        routerFlavor: this.#parts.settings.routerFlavor,
        ...(file === undefined ? {} : { file }),
      }),
    );
    if (!judged.ok) return judged;
    await judged.hashPasswords();
    return { ok: true, config: politely(() => judged.seal()) };
  }

  /**
   * Puts a configuration in force; threads hear what differs from the one before.
   * @returns how many entities do.
   */
  async deploy(config: GatewayConfig): Promise<number> {
    const { registry, threads, log } = this.#parts;
    const packages = await packagesOf(config, registry, ({ name, plugin_limits }) =>
      limitsOf(name, plugin_limits, this.#parts.settings),
    );
    const change = changeBetween(
      this.#current,
      config,
      (plugin) =>
        // A plugin whose package was published anew is another one, though its entity says the same.
        identityOf(packages[plugin.id]) === identityOf(this.#packages[plugin.id]),
    );
    const put = Object.fromEntries(
      change.put.plugins.flatMap(({ id }) => (packages[id] === undefined ? [] : [[id, packages[id]]])),
    );
    await threads.deploy({ change, packages: put }, () => ({ change: wholeChange(config), packages }));
    this.#current = config;
    this.#limits.clear();
    this.#parts.onLimits();
    this.#packages = packages;
    warnOfEnds(log, change.put.certificates);
    return sizeOf(change);
  }
}

/**
 * What may not be uploaded may not be used either: a package outlives a restart, and the fence may not.
 */
function fencedCatalogue({ registry, fence, settings }: ConfigurationParts): PluginCatalogue {
  return createCatalogue(registry, ({ workspace, manifest }) => {
    if (workspace === "default" || fence.inForce) return null;
    if (settings.unfencedUploads.includes(workspace)) return null;
    return (
      `'${manifest.name}@${manifest.version}' belongs to workspace '${workspace}', and the operating system's ` +
      `fence around guests is not in force here (${fence.why}); start the gateway so that it ` +
      "is, or name the workspace in unfenced_uploads"
    );
  });
}
