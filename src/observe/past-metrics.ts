/**
 * Metrics of data threads that are gone, as they were last scraped: added to those of the living, so that no
 * counter that somebody has seen ever goes backwards. What a thread counted after its last scrape is lost,
 * but for what guests have cost, which it tells of every second.
 */
import { Ledger, type LedgerRow } from "../sandbox/ledger.ts";
import type { MetricsJson } from "./thread-metrics.ts";

type Metric = MetricsJson[number];
type Sample = Metric["values"][number];

/** Most samples that are kept: threads that die again and again, with other labels each time, fill no memory. */
const MAX_SAMPLES = 200_000;

interface Kept {
  readonly metric: Omit<Metric, "values">;
  readonly samples: Map<string, Sample>;
}

export class PastMetrics {
  readonly #kept = new Map<string, Kept>();
  readonly #ledger = new Ledger();
  readonly #maxSamples: number;
  #samples = 0;

  constructor(maxSamples = MAX_SAMPLES) {
    this.#maxSamples = maxSamples;
  }

  /** Adds what a thread had counted when it was last asked. */
  add(metrics: MetricsJson, ledger: readonly LedgerRow[]): void {
    for (const metric of metrics) this.#addMetric(metric);
    for (const row of ledger) this.#ledger.add(row);
  }

  /** A workspace is no more. @returns how many samples it had. */
  forget(workspace: string): number {
    let dropped = 0;
    for (const { samples } of this.#kept.values())
      for (const [key, { labels }] of samples)
        if ((labels as Readonly<Record<string, unknown>>).workspace === workspace && samples.delete(key))
          dropped++;
    this.#samples -= dropped;
    this.#ledger.forget(workspace);
    return dropped;
  }

  get metrics(): MetricsJson {
    return Array.from(this.#kept.values(), ({ metric, samples }) => ({
      ...metric,
      values: [...samples.values()],
    })) as MetricsJson;
  }

  get ledger(): readonly LedgerRow[] {
    return this.#ledger.rows();
  }

  #addMetric({ values, ...metric }: Metric): void {
    let kept = this.#kept.get(metric.name);
    if (kept === undefined) {
      if (this.#samples >= this.#maxSamples) return;
      kept = { metric, samples: new Map() };
      this.#kept.set(metric.name, kept);
    }
    for (const value of values) {
      // The parts of a histogram are samples with names of their own.
      const name = "metricName" in value ? String(value.metricName) : "";
      const key = JSON.stringify([name, value.labels]);
      const sample = kept.samples.get(key);
      if (sample !== undefined) sample.value += value.value;
      else if (this.#samples < this.#maxSamples) {
        this.#samples++;
        kept.samples.set(key, { ...value });
      }
    }
  }
}
