/** Makes the plugin instances of a data thread: of what is built in, and, by its cordons, of what was uploaded. */
import { BUILT_INS } from "../../plugins/index.ts";
import type { PluginEntity } from "../entities/entities.ts";
import type { ThreadMetrics } from "../observe/thread-metrics.ts";
import type { PluginInstance, Snapshot } from "../pipeline/snapshot.ts";
import type { RecordingClient } from "../replay/recording-client.ts";
import { WorkspaceCredentials } from "../sandbox/calls/credential-names.ts";
import type { CounterTable } from "../threads/counter-table.ts";
import type { LogLevel } from "../threads/messages.ts";
import { type InstalledPackage, identityOf } from "../threads/packages.ts";
import { CanaryGate } from "./canary-gate.ts";
import type { Guests } from "./guests.ts";
import { NativeHost } from "./native-host.ts";
import { type ServiceParts, servicesFor } from "./plugin-services.ts";
import type { ThreadLog } from "./thread-log.ts";

interface InstanceParts {
  readonly counters: CounterTable;
  readonly metrics: ThreadMetrics;
  readonly guests: Guests;
  readonly log: ThreadLog;
  readonly services: ServiceParts;
  readonly recordings: RecordingClient;
  snapshot(): Snapshot;
}

export class PluginInstances {
  readonly #parts: InstanceParts;
  readonly #credentials = new WorkspaceCredentials();
  /** Of packages, by all that they are made of, with the number of snapshots' plugins that have each. */
  readonly #shared = new Map<string, { readonly instance: PluginInstance; users: number }>();

  constructor(parts: InstanceParts) {
    this.#parts = parts;
  }

  /** `installed` is the package of a plugin that is not built in. */
  make(plugin: PluginEntity, workspace: string, installed: InstalledPackage | undefined): PluginInstance {
    if (installed === undefined) return this.#make(plugin, workspace, undefined, false);
    const running = this.#shareable(plugin, workspace, installed, false);
    const canary = installed.canary;
    if (canary === undefined) return running;
    try {
      const { priority, hooks, dispose } = this.#shareable(plugin, workspace, canary.installed, true);
      return {
        ...running,
        canary: { gate: new CanaryGate(canary), priority, hooks },
        dispose() {
          running.dispose();
          dispose();
        },
      };
    } catch (error) {
      running.dispose();
      throw error;
    }
  }

  /**
   * An instance that is there already if nothing that it is made of is another: a roll-out that begins or ends beside it
   * costs it neither what it keeps nor a start.
   */
  #shareable(
    plugin: PluginEntity,
    workspace: string,
    installed: InstalledPackage,
    onTrial: boolean,
  ): PluginInstance {
    const { canary: _, ...alone } = installed;
    const { id, name, config } = plugin;
    const key = JSON.stringify([id, name, workspace, onTrial, identityOf(alone), alone.config ?? config]);
    const known = this.#shared.get(key);
    const shared = known ?? { instance: this.#make(plugin, workspace, alone, onTrial), users: 0 };
    shared.users++;
    this.#shared.set(key, shared);
    const { priority, hooks, dispose } = shared.instance;
    return {
      priority,
      hooks,
      dispose: () => {
        if (--shared.users > 0) return;
        this.#shared.delete(key);
        dispose();
      },
    };
  }

  #make(
    written: PluginEntity,
    workspace: string,
    installed: InstalledPackage | undefined,
    onTrial: boolean,
  ): PluginInstance {
    const plugin =
      installed?.config === undefined
        ? written
        : { ...written, config: installed.config as PluginEntity["config"] };
    const { counters, metrics, guests, log, services, recordings, snapshot } = this.#parts;
    const credentials = this.#credentials.of(workspace);
    const host = new NativeHost(plugin, {
      counters,
      metrics: installed === undefined ? metrics : metrics.guest(workspace, installed.manifest.name),
      // It moves while the gateway runs.
      get logFrom() {
        return log.from;
      },
      snapshot,
      services: servicesFor(services, plugin, workspace, installed),
      ...(installed === undefined ? { recordings: recordings.sink(plugin, workspace, credentials) } : {}),
      log: (level, message, fields) =>
        log.plugin(workspace, level as LogLevel, message, fields, installed?.limits.logLinesPerSecond),
    });
    if (installed !== undefined)
      return guests.instantiate(plugin, workspace, installed, host, credentials, onTrial);
    const definition = BUILT_INS.find(({ name }) => name === plugin.name);
    if (definition === undefined) throw new Error(`plugin '${plugin.name}' is not there`);
    const hooks = definition.create(plugin.config, host);
    const dispose = this.#credentials.add(workspace, definition.credentials?.(plugin.config) ?? []);
    return { priority: definition.priority, hooks, dispose };
  }
}
