/** What a sitting holds: every run with its raw values; and medians, and ratios within rounds, of them. */
import type { ChangeReport } from "./load/changes.ts";
import type { Machine } from "./tools.ts";

/** One fresh process, warmed and measured once. */
export interface Run {
  case: string;
  variant: string;
  round: number;
  /** Why the run does not count; its values are not used then. */
  invalid?: string;
  requests: number;
  seconds: number;
  requestsPerSecond: number;
  /** CPU time of the variant's whole process tree over requests completed. */
  cpuUsPerRequest: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  maxUs: number;
  /** Share of the window in which the variant's tree used a CPU; 1 = its core is the limit. */
  subjectBusy: number;
  /** Share of the subject's core used by anything else: noise. */
  subjectCoreOther: number;
  /** Share of the load's core in use; near 1, load and upstream may be the limit. */
  loadCoreBusy: number;
  /** CPU time of a fixed piece of work on the subject's core just before (yardstick.ts). */
  yardstickMs: number;
  /** Open-loop only (load/constant-rate.ts): the rate asked for, how late the client sent, and so on. */
  askedPerSecond?: number;
  sentLateP99Us?: number;
  quantilesUs?: number[];
  lost?: number;
  reopened?: number;
  changes?: ChangeReport;
}

export interface Sitting {
  date: string;
  commit: string;
  command: string;
  machine: Machine;
  /** Minutes from the first run to the last. */
  minutes: number;
  runs: Run[];
}

export type Metric = "requestsPerSecond" | "cpuUsPerRequest" | "p50Us" | "p99Us";

export function median(values: number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The runs of a variant that count. */
export function valid(sitting: Sitting, case_: string, variant: string): Run[] {
  return sitting.runs.filter(
    (run) => run.case === case_ && run.variant === variant && run.invalid === undefined,
  );
}

/** The median over rounds of what `combine` makes of the two variants' values in the same round. */
export function paired(
  sitting: Sitting,
  case_: string,
  subject: string,
  other: string,
  metric: Metric,
  combine: (subject: number, other: number) => number,
): number | undefined {
  const others = valid(sitting, case_, other);
  const values: number[] = [];
  for (const run of valid(sitting, case_, subject)) {
    const partner = others.find((candidate) => candidate.round === run.round);
    if (partner) values.push(combine(run[metric], partner[metric]));
  }
  return median(values);
}
