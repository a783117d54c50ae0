/**
 * Whether a new version does worse than the one that runs.
 *
 * Rates are held against rates: what harms both versions (an upstream that is down) is no fault of the new one. Where the
 * running version fails at times itself, the new one is given three standard errors more, so that chance condemns nobody.
 * A rate counts as if there had been `minCalls` calls at least: a version is condemned early by what the calls to come
 * could not make good, and never by its first mishap alone. Times are compared only where both versions have had so many
 * calls, and only by what is more than the clocks' noise.
 */
import { between, type Figures, figuresJson } from "./figures.ts";
import type { Watch } from "./rollout.ts";

export interface Verdict {
  readonly kind: "wait" | "clean" | "worse";
  /** For whoever asks: what was found, or what is waited for. */
  readonly why: string;
}

/** Standard errors that a rate may be off by chance. */
const ERRORS = 3;

/** Both versions over the same time. */
export interface Compared {
  readonly running: Figures;
  readonly canary: Figures;
}

/** How the new version fails more than the one that runs; null if it does not. */
export function failsMore({ running, canary }: Compared, watch: Watch): string | null {
  const { minCalls, maxErrorRate, maxViolationRate } = watch;
  const rates = [
    ["violations", "of its calls break the contract", "violations", "calls", maxViolationRate],
    ["errors", "of its calls fail", "failedCalls", "calls", maxErrorRate],
    ["errors", "of its requests are answered with an error", "failed", "requests", maxErrorRate],
  ] as const;
  for (const [kind, what, part, whole, most] of rates) {
    const count = Math.max(canary[whole], minCalls);
    const usual = running[whole] > 0 ? running[part] / running[whole] : 0;
    const allowed = usual + most + ERRORS * Math.sqrt((usual * (1 - usual)) / count);
    if (canary[part] / count <= allowed) continue;
    const own = `${percent(canary[part] / canary[whole])} ${what} (${canary[part]} of ${canary[whole]})`;
    return `${kind}: ${own}, ${percent(usual)} of the running version's`;
  }
  return null;
}

/** How it costs more; null if it does not, or nobody can tell yet. */
export function costsMore({ running, canary }: Compared, watch: Watch): string | null {
  const { minCalls, maxLatencyRatio, maxFuelRatio } = watch;
  if (canary.calls < minCalls || running.calls < minCalls) return null;
  // Fuel is exact, and where there is any the CPU time says nothing more.
  const work = canary.fuel > 0 && running.fuel > 0 ? FUEL : CPU;
  for (const [kind, sum, unit, least, ratio] of [
    [...LATENCY, maxLatencyRatio],
    [...work, maxFuelRatio],
  ] as const) {
    const [own, usual] = [canary[sum] / canary.calls, running[sum] / running.calls];
    if (own > usual * ratio && own - usual >= least)
      return `${kind}: ${rounded(own)} ${unit} per call, ${rounded(usual)} of the running version`;
  }
  return null;
}

/** Kind, sum, unit, and the difference of means that says nothing. */
const LATENCY = ["latency", "wallMs", "ms", 1] as const;
const FUEL = ["fuel", "fuel", "units", 1] as const;
const CPU = ["CPU time", "cpuMs", "ms of CPU", 0.25] as const;

const percent = (part: number): string => `${rounded(part * 100)} %`;
const rounded = (value: number): number => Number(value.toPrecision(3));

/** Sums at one moment. */
export interface Sample extends Compared {
  /** Milliseconds of a clock that never goes back. */
  readonly at: number;
}

/** Of the latest time that is judged for itself: a version that has gone bad is not saved by its past. */
const LATEST_MS = 10_000;

/** One roll-out under watch, on one gateway. Figures count from the moment in which it is made. */
export class Observation {
  readonly #watch: Watch;
  readonly #usual: Figures;
  readonly #first: Sample;
  /** From when costs count: the calls before it had started the new version's cordon. */
  #warm: Sample | null = null;
  /** Of the latest time, the oldest first. */
  #recent: Sample[] = [];
  #last: Sample;

  /** @param usual what the running version had done before, for a roll-out that leaves it no requests. */
  constructor(watch: Watch, first: Sample, usual: Figures) {
    this.#watch = watch;
    this.#first = first;
    this.#last = first;
    this.#usual = usual;
  }

  /** Both versions since it began. */
  get compared(): Compared {
    return difference(this.#first, this.#last);
  }

  /** Takes sums of now, and judges. */
  look(now: Sample): Verdict {
    const started = now.canary.calls > this.#first.canary.calls;
    this.#last = now;
    if (this.#warm === null && started) this.#warm = now;
    this.#recent = [...this.#recent.filter(({ at }) => now.at - at <= LATEST_MS), now];
    const latest = this.#recent[0] as Sample;
    const over = (since: Sample) => this.#withUsual(difference(since, now));
    const all = over(this.#first);
    const warm = this.#warm;
    const reasons = [
      failsMore(all, this.#watch),
      failsMore(over(latest), this.#watch),
      warm === null ? null : costsMore(over(warm), this.#watch),
      warm === null || latest.at < warm.at ? null : costsMore(over(latest), this.#watch),
    ];
    const why = reasons.find((reason) => reason !== null);
    if (why !== undefined) return { kind: "worse", why };
    return this.#clean(all.canary, now.at);
  }

  #clean({ calls }: Figures, now: number): Verdict {
    const { minCalls, windowSeconds } = this.#watch;
    const leftMs = windowSeconds * 1000 - (now - this.#first.at);
    if (leftMs > 0) return { kind: "wait", why: `it is watched for ${Math.ceil(leftMs / 1000)} s more` };
    if (calls < minCalls)
      return { kind: "wait", why: `it has had ${calls} calls, and ${minCalls} tell enough (min_calls)` };
    return { kind: "clean", why: `${calls} calls within ${windowSeconds} s, and nothing worse than before` };
  }

  /** Where the running version gets too few calls to compare with, what it did before counts. */
  #withUsual({ running, canary }: Compared): Compared {
    const isFew = running.calls < this.#watch.minCalls && running.calls < this.#usual.calls;
    return { running: isFew ? this.#usual : running, canary };
  }
}

const difference = (from: Compared, to: Compared): Compared => ({
  running: between(from.running, to.running),
  canary: between(from.canary, to.canary),
});

export const comparedJson = ({ running, canary }: Compared): Record<string, unknown> => ({
  running: figuresJson(running),
  canary: figuresJson(canary),
});
