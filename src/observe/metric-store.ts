/**
 * Counters and histograms that plugins name, within bounds: a label may come from a request, so the number of
 * metrics, of series and of label characters that are kept is limited. What is beyond is dropped and reported.
 */
import { Counter, Histogram, Registry } from "prom-client";

export type Labels = Readonly<Record<string, string>>;

export interface MetricBounds {
  readonly metrics: number;
  /** Label sets of one metric. */
  readonly seriesOfMetric: number;
  /** Characters of names and values of all labels. */
  readonly labelCharacters: number;
}

/**
 * Lines of all metrics: a counter's label set is one, a histogram's one for each bucket and three more. `take` tells
 * whether there is room for more.
 */
export interface LineRoom {
  take(lines: number): boolean;
  give(lines: number): void;
}

/** Beyond it a sum of doubles is not exact, and many of these would be infinite, which JSON cannot say. */
const LARGEST = Number.MAX_SAFE_INTEGER;

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]{0,199}$/;

interface Known<M> {
  readonly metric: M;
  readonly labels: string;
  readonly series: Set<string>;
  readonly linesEach: number;
}

export class MetricStore {
  readonly registry = new Registry();
  readonly #bounds: MetricBounds;
  readonly #room: LineRoom;
  readonly #onDropped: () => void;
  readonly #counters = new Map<string, Known<Counter>>();
  readonly #histograms = new Map<string, Known<Histogram>>();
  #labelCharacters = 0;

  constructor(bounds: MetricBounds, room: LineRoom, onDropped: () => void) {
    this.#bounds = bounds;
    this.#room = room;
    this.#onDropped = onDropped;
  }

  count(name: string, help: string, labels: Labels, by: number): void {
    if (!(by >= 0)) return;
    if (by > LARGEST) return void this.#drop();
    const names = Object.keys(labels);
    const known = this.#known(this.#counters, name, names, 1, () => {
      return new Counter({ name, help, labelNames: names, registers: [this.registry] });
    });
    if (known !== null && this.#admits(known, labels)) known.metric.inc(labels, by);
  }

  observe(name: string, help: string, buckets: readonly number[], labels: Labels, value: number): void {
    if (!(Math.abs(value) <= LARGEST)) return void this.#drop();
    const names = Object.keys(labels);
    const known = this.#known(this.#histograms, name, names, buckets.length + 3, () => {
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

  #known<M>(
    all: Map<string, Known<M>>,
    name: string,
    labels: readonly string[],
    linesEach: number,
    make: () => M,
  ): Known<M> | null {
    const known = all.get(name);
    const signature = labels.join(",");
    if (known !== undefined) return known.labels === signature ? known : this.#drop();
    const total = this.#counters.size + this.#histograms.size;
    if (total >= this.#bounds.metrics || !NAME.test(name) || !labels.every((label) => NAME.test(label)))
      return this.#drop();
    if (this.registry.getSingleMetric(name) !== undefined) return this.#drop();
    const made = { metric: make(), labels: signature, series: new Set<string>(), linesEach };
    all.set(name, made);
    return made;
  }

  #admits(known: Known<unknown>, labels: Labels): boolean {
    const key = Object.values(labels).join("\u0000");
    if (known.series.has(key)) return true;
    const { seriesOfMetric, labelCharacters } = this.#bounds;
    const characters = known.labels.length + key.length;
    if (
      known.series.size >= seriesOfMetric ||
      this.#labelCharacters + characters > labelCharacters ||
      !this.#room.take(known.linesEach)
    )
      return this.#drop() !== null;
    this.#labelCharacters += characters;
    known.series.add(key);
    return true;
  }

  /**
   * Drops every series in which a label has a value.
   * @returns how many.
   */
  forget(label: string, value: string): number {
    let dropped = 0;
    for (const known of [...this.#counters.values(), ...this.#histograms.values()]) {
      const names = known.labels.split(",");
      const at = names.indexOf(label);
      if (at < 0) continue;
      for (const key of known.series) {
        const values = key.split("\u0000");
        if (values[at] !== value || values.length !== names.length) continue;
        known.metric.remove(Object.fromEntries(names.map((name, i) => [name, values[i] as string])));
        known.series.delete(key);
        this.#room.give(known.linesEach);
        this.#labelCharacters -= known.labels.length + key.length;
        dropped++;
      }
    }
    return dropped;
  }

  /** How many series there are. */
  get size(): number {
    let size = 0;
    for (const { series } of [...this.#counters.values(), ...this.#histograms.values()]) size += series.size;
    return size;
  }

  #drop(): null {
    this.#onDropped();
    return null;
  }
}
