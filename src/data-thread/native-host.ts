/** What plugins may ask of the gateway, answered in the data thread (the SDK's `Host`). */
import { randomBytes, randomUUID } from "node:crypto";
import type {
  Consumer,
  Credential,
  FetchAnswer,
  FetchRequest,
  Host,
  KeyValues,
  MaybePromise,
  RecordingSink,
  Window,
} from "@gatehouse/sdk";
import type { MetricSink } from "../observe/thread-metrics.ts";
import type { Snapshot } from "../pipeline/snapshot.ts";
import { windowFault } from "../sandbox/calls/host-calls.ts";
import { type CounterTable, EXHAUSTED } from "../threads/counter-table.ts";
import type { PluginServices } from "./plugin-services.ts";

export const LEVELS = ["debug", "info", "warn", "error"];

/** Where the setting `log_level` stands among the levels that plugins log at. Kong's `notice` is our info. */
export function logFrom(logLevel: string): number {
  const at = LEVELS.indexOf(logLevel === "notice" ? "info" : logLevel);
  return at < 0 ? LEVELS.length : at;
}

export interface HostParts {
  readonly counters: CounterTable;
  readonly metrics: MetricSink;
  /** Index in LEVELS from which on messages are logged. */
  readonly logFrom: number;
  readonly services: PluginServices;
  /** Where a built-in records requests. */
  readonly recordings?: RecordingSink;
  snapshot(): Snapshot;
  log(level: string, message: string, fields: Record<string, unknown>): void;
}

export class NativeHost implements Host {
  readonly pluginId: string;
  readonly #workspaceId: string;
  readonly #plugin: string;
  readonly #parts: HostParts;
  readonly #scope: string;
  readonly #owner: number;

  constructor(plugin: { id: string; name: string; ws_id: string }, parts: HostParts) {
    this.pluginId = plugin.id;
    this.#plugin = plugin.name;
    this.#workspaceId = plugin.ws_id;
    this.#parts = parts;
    // A counter is named within its plugin and workspace: nobody can count on another's.
    this.#scope = `${plugin.ws_id}|${plugin.name}|`;
    this.#owner = parts.counters.owner(plugin.ws_id);
  }

  log(level: "debug" | "info" | "warn" | "error", message: string): void {
    if (LEVELS.indexOf(level) < this.#parts.logFrom) return;
    this.#parts.log(level, message, { plugin: this.#plugin, plugin_id: this.pluginId });
  }

  now(): number {
    return Date.now();
  }

  uuid(): string {
    return randomUUID();
  }

  random(length: number): Uint8Array {
    return randomBytes(length);
  }

  get recordings(): RecordingSink | undefined {
    return this.#parts.recordings;
  }

  get kv(): KeyValues {
    return this.#parts.services.kv;
  }

  fetch(request: FetchRequest, signal?: AbortSignal): MaybePromise<FetchAnswer> {
    return this.#parts.services.fetch(request, signal);
  }

  secret(name: string): MaybePromise<string | null> {
    return this.#parts.services.secret(name);
  }

  findCredential(type: string, key: string): Credential | null {
    return this.#parts.snapshot().findCredential(this.#workspaceId, type, key);
  }

  findConsumer(idOrName: string): Consumer | null {
    return this.#parts.snapshot().findConsumer(this.#workspaceId, idOrName);
  }

  takeFromWindows(windows: readonly Window[]): number[] {
    const { counters } = this.#parts;
    const now = Date.now();
    for (const window of windows) {
      const fault = windowFault(window, now);
      if (fault !== null) throw new RangeError(`${this.#plugin}: ${fault}`);
    }
    const remaining: number[] = [];
    for (let i = 0; i < windows.length; i++) {
      const { key, limit, endsAt } = windows[i] as Window;
      const left = counters.take(this.#scope + key, limit, endsAt, now, this.#owner);
      remaining.push(left);
      if (left !== EXHAUSTED) continue;
      // One is exhausted: nothing is taken from the others, which show what they would have had.
      for (let j = 0; j < i; j++) {
        const taken = windows[j] as Window;
        counters.giveBack(this.#scope + taken.key, taken.endsAt);
        (remaining[j] as number)++;
      }
      for (let j = i + 1; j < windows.length; j++) {
        const later = windows[j] as Window;
        const would = counters.take(this.#scope + later.key, later.limit, later.endsAt, now, this.#owner);
        if (would !== EXHAUSTED) counters.giveBack(this.#scope + later.key, later.endsAt);
        remaining.push(would === EXHAUSTED ? EXHAUSTED : would + 1);
      }
      break;
    }
    return remaining;
  }

  count(metric: string, help: string, labels: Readonly<Record<string, string>>, by: number): void {
    this.#parts.metrics.count(metric, help, labels, by);
  }

  observe(
    metric: string,
    help: string,
    buckets: readonly number[],
    labels: Readonly<Record<string, string>>,
    value: number,
  ): void {
    this.#parts.metrics.observe(metric, help, buckets, labels, value);
  }
}
