/**
 * Metrics of one data thread, kept by prom-client and handed to the main thread when somebody scrapes.
 *
 * Built-ins and the operator's plugins name their metrics freely. Guests are not believed: their metrics begin
 * with `gatehouse_guest_`, the gateway adds whose they are, and each workspace has a store and a quota of its
 * own, so that none can take another's names, series or labels.
 */
import type { Host } from "@gatehouse/sdk";
import { Counter, type MetricObjectWithValues, type MetricValue } from "prom-client";
import { Shares } from "../tenancy/shares.ts";
import { type Labels, type LineRoom, type MetricBounds, MetricStore } from "./metric-store.ts";

export type MetricsJson = MetricObjectWithValues<MetricValue<string>>[];

/** Where a plugin counts and measures. */
export type MetricSink = Pick<Host, "count" | "observe">;

const OWN: MetricBounds = {
  metrics: 200,
  seriesOfMetric: 10_000,
  labelCharacters: Number.POSITIVE_INFINITY,
};
const UNBOUNDED: LineRoom = { take: () => true, give() {} };
/** Of all guests of one workspace on one thread. */
export const WORKSPACE_METRICS = {
  metrics: 100,
  seriesOfMetric: 2000,
  labelCharacters: 256 * 1024,
  lines: 2000,
};
/**
 * Lines of all workspaces' guests on one thread, shared out between them. At each scrape a data thread writes them, and
 * nobody is served meanwhile: this many take it some ten milliseconds.
 */
export const GUEST_LINES = 10_000;

export class ThreadMetrics implements MetricSink {
  readonly #own = new MetricStore(OWN, UNBOUNDED, () => this.#dropped(""));
  readonly #lines = new Shares(GUEST_LINES, WORKSPACE_METRICS.lines);
  /** By workspace; kept as long as the thread or the workspace, as counters must be. */
  readonly #guests = new Map<string, MetricStore>();
  #overflow: Counter<"workspace"> | null = null;

  count(name: string, help: string, labels: Labels, by: number): void {
    this.#own.count(name, help, labels, by);
  }

  observe(name: string, help: string, buckets: readonly number[], labels: Labels, value: number): void {
    this.#own.observe(name, help, buckets, labels, value);
  }

  /** Where a guest counts: `greetings` shows as `gatehouse_guest_greetings_total{workspace, plugin, ...}`. */
  guest(workspace: string, plugin: string): MetricSink {
    let store = this.#guests.get(workspace);
    if (store === undefined) {
      const room = {
        take: (lines: number) => this.#lines.take(workspace, lines),
        give: (lines: number) => this.#lines.give(workspace, lines),
      };
      store = new MetricStore(WORKSPACE_METRICS, room, () => this.#dropped(workspace));
      this.#guests.set(workspace, store);
    }
    return new GuestSink(store, workspace, plugin, () => this.#dropped(workspace));
  }

  /**
   * A workspace is no more, and its series are not either. What guests of it count from now on counts for nothing.
   * @returns how many series it had.
   */
  forget(workspace: string): number {
    const own = this.#own.forget("workspace", workspace);
    const guests = this.#guests.get(workspace)?.size ?? 0;
    this.#guests.delete(workspace);
    this.#lines.give(workspace, this.#lines.of(workspace));
    this.#overflow?.remove({ workspace });
    return own + guests;
  }

  /** `MetricsJson` as text: to clone as many small objects takes a thread several times as long. */
  async json(): Promise<string> {
    const stores = [this.#own, ...this.#guests.values()];
    const parts = await Promise.all(stores.map(({ registry }) => registry.getMetricsAsJSON()));
    return JSON.stringify(parts.flat());
  }

  #dropped(workspace: string): void {
    this.#overflow ??= new Counter({
      name: "gatehouse_metric_overflow_total",
      help: "Samples of plugins dropped because there are too many series, or a name or label is not acceptable.",
      labelNames: ["workspace"],
      registers: [this.#own.registry],
    });
    this.#overflow.inc({ workspace });
  }
}

const PREFIX = "gatehouse_guest_";
/** A guest's own words would show at other workspaces' metrics of that name. */
const HELP = "What guests count or measure; the labels workspace and plugin say whose it is.";
const RESERVED = /^(?:le$|quantile$|__)/;

class GuestSink implements MetricSink {
  readonly #store: MetricStore;
  readonly #workspace: string;
  readonly #plugin: string;
  readonly #onDropped: () => void;

  constructor(store: MetricStore, workspace: string, plugin: string, onDropped: () => void) {
    this.#store = store;
    this.#workspace = workspace;
    this.#plugin = plugin;
    this.#onDropped = onDropped;
  }

  /** Counters end in `_total` and histograms do not, so that no workspace can turn another's name into the other kind. */
  count(name: string, _help: string, labels: Labels, by: number): void {
    const own = this.#labels(labels);
    const total = name.endsWith("_total") ? name : `${name}_total`;
    if (own === null) this.#onDropped();
    else this.#store.count(PREFIX + total, HELP, own, by);
  }

  observe(name: string, _help: string, buckets: readonly number[], labels: Labels, value: number): void {
    const own = this.#labels(labels);
    if (own === null || name.endsWith("_total")) this.#onDropped();
    else
      this.#store.observe(
        PREFIX + name,
        HELP,
        [...new Set(buckets)].sort((a, b) => a - b),
        own,
        value,
      );
  }

  /** In one order, with the gateway's word for whose they are; null if they cannot be used. */
  #labels(labels: Labels): Labels | null {
    const given = { ...labels, workspace: this.#workspace, plugin: this.#plugin };
    const own: Record<string, string> = {};
    for (const name of Object.keys(given).sort()) {
      const value = given[name as keyof typeof given];
      // The main thread sums samples by their labels, written one after the other, and NUL separates them here:
      // a value that reads like a label could pass for another workspace's.
      if (RESERVED.test(name) || value.includes("\0") || value.includes(",workspace:")) return null;
      own[name] = value;
    }
    return own;
  }
}
