/**
 * Metrics of one data thread, kept by prom-client and handed to the main thread when somebody scrapes. Plugins
 * name their metrics and labels: both are bounded, because a label may come from a request.
 */
import { Counter, Histogram, type MetricObjectWithValues, type MetricValue, Registry } from "prom-client";

export type MetricsJson = MetricObjectWithValues<MetricValue<string>>[];

const MAX_METRICS = 200;
/** Distinct label sets of one metric; further ones are counted in `gatehouse_metric_overflow_total`. */
const MAX_SERIES = 10_000;
const NAME = /^[a-zA-Z_][a-zA-Z0-9_]{0,199}$/;

interface Known<M> {
  readonly metric: M;
  readonly labels: string;
  readonly series: Set<string>;
}

export class ThreadMetrics {
  readonly registry = new Registry();
  readonly #counters = new Map<string, Known<Counter>>();
  readonly #histograms = new Map<string, Known<Histogram>>();
  #overflow: Counter | null = null;

  count(name: string, help: string, labels: Readonly<Record<string, string>>, by: number): void {
    if (!(by >= 0)) return;
    const names = Object.keys(labels);
    const known = this.#known(this.#counters, name, names, () => {
      return new Counter({ name, help, labelNames: names, registers: [this.registry] });
    });
    if (known !== null && this.#admits(known, labels)) known.metric.inc(labels, by);
  }

  observe(
    name: string,
    help: string,
    buckets: readonly number[],
    labels: Readonly<Record<string, string>>,
    value: number,
  ): void {
    const names = Object.keys(labels);
    const known = this.#known(this.#histograms, name, names, () => {
      return new Histogram({
        name,
        help,
        buckets: [...buckets],
        labelNames: names,
        registers: [this.registry],
      });
    });
    if (known !== null && this.#admits(known, labels)) known.metric.observe(labels, value);
  }

  async json(): Promise<MetricsJson> {
    return (await this.registry.getMetricsAsJSON()) as MetricsJson;
  }

  #known<M>(
    all: Map<string, Known<M>>,
    name: string,
    labels: readonly string[],
    make: () => M,
  ): Known<M> | null {
    const known = all.get(name);
    const signature = labels.join(",");
    if (known !== undefined) return known.labels === signature ? known : this.#reject();
    const total = this.#counters.size + this.#histograms.size;
    if (total >= MAX_METRICS || !NAME.test(name) || !labels.every((label) => NAME.test(label)))
      return this.#reject();
    if (this.registry.getSingleMetric(name) !== undefined) return this.#reject();
    const made = { metric: make(), labels: signature, series: new Set<string>() };
    all.set(name, made);
    return made;
  }

  #admits(known: Known<unknown>, labels: Readonly<Record<string, string>>): boolean {
    const key = Object.values(labels).join("\u0000");
    if (known.series.has(key)) return true;
    if (known.series.size >= MAX_SERIES) return this.#reject() !== null;
    known.series.add(key);
    return true;
  }

  #reject(): null {
    this.#overflow ??= new Counter({
      name: "gatehouse_metric_overflow_total",
      help: "Samples dropped because a metric has too many series, or its name or labels are not acceptable.",
      registers: [this.registry],
    });
    this.#overflow.inc();
    return null;
  }
}
