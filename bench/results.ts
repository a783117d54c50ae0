/**
 * From runs to what people read: medians per variant, medians of the ratios within each round, the bars, and
 * the Markdown table.
 */
import { BARS, type Bar, type Case } from "./cases.ts";
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
  /** Open-loop only: the rate asked for, and how late the client itself sent (99th percentile). */
  askedPerSecond?: number;
  sentLateP99Us?: number;
}

export interface Sitting {
  date: string;
  commit: string;
  command: string;
  machine: Machine;
  rounds: number;
  secondsPerRun: number;
  runs: Run[];
}

type Metric = "requestsPerSecond" | "cpuUsPerRequest" | "p50Us" | "p99Us";

export function median(values: number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function valid(sitting: Sitting, case_: string, variant: string): Run[] {
  return sitting.runs.filter(
    (run) => run.case === case_ && run.variant === variant && run.invalid === undefined,
  );
}

/** The median over rounds of what `combine` makes of the two variants' values in the same round. */
function paired(
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

const over = (subject: number, other: number) => subject / other;
const minus = (subject: number, other: number) => subject - other;

export function barValue(sitting: Sitting, subject: string, bar: Bar): number | undefined {
  const pair = [sitting, bar.case, subject, bar.against] as const;
  if (bar.metric === "rps-ratio") return paired(...pair, "requestsPerSecond", over);
  if (bar.metric === "p99-ratio") return paired(...pair, "p99Us", over);
  return paired(...pair, "p50Us", minus);
}

/** The table of a sitting in Markdown. */
export function markdown(sitting: Sitting, cases: Case[]): string {
  const { machine } = sitting;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const lines = [
    `# Bench of ${sitting.date}, commit ${sitting.commit}`,
    "",
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, ${machine.arch}.`,
    `${versions.join(", ")}.`,
    `\`${sitting.command}\`: ${sitting.rounds} rounds of ${sitting.secondsPerRun} s per run.`,
    "One core for each variant, load and upstream on another. Medians; a ratio is the median of the ratios within",
    "each round. How to read it: [../README.md](../README.md).",
    quietness(sitting),
  ];
  for (const case_ of cases) lines.push("", ...caseTable(sitting, case_));
  const bars = barTable(sitting, cases);
  if (bars.length > 0) lines.push("", "## Bars", "", ...bars);
  const invalid = sitting.runs.filter((run) => run.invalid !== undefined);
  if (invalid.length > 0) {
    lines.push("", "## Runs that do not count", "");
    for (const run of invalid)
      lines.push(`- ${run.case}, ${run.variant}, round ${run.round}: ${run.invalid}`);
  }
  return `${lines.join("\n")}\n`;
}

/** One sentence on how far the machine was the bench's own. */
function quietness({ runs }: Sitting): string {
  const counted = runs.filter((run) => run.invalid === undefined);
  if (counted.length === 0) return "No run counts.";
  const disturbed = counted.filter((run) => run.subjectCoreOther > DISTURBED_SHARE).length;
  const yardsticks = counted.map((run) => run.yardstickMs);
  const spread = Math.max(...yardsticks) / Math.min(...yardsticks);
  return (
    `Noise: in ${disturbed} of ${counted.length} runs other work took more than ${percent(DISTURBED_SHARE)} of the ` +
    `variant's core; the same fixed work took up to ${spread.toFixed(2)} times its shortest CPU time.`
  );
}

const DISTURBED_SHARE = 0.05;

function caseTable(sitting: Sitting, case_: Case): string[] {
  // A partial run (--variants) may lack the subject; the first variant stands in, and no bar is judged.
  const names = case_.variants.map((variant) => variant.name);
  const subject = names.includes(case_.subject) ? case_.subject : names[0]!;
  const lines = [
    `## ${case_.name}: ${case_.title}`,
    "",
    `| variant | requests/s | CPU µs/request | p50 ms | p99 ms | own core busy | load core busy | requests/s: ${subject} ÷ this | CPU: ${subject} ÷ this | p99: ${subject} ÷ this |`,
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
  ];
  for (const name of names) {
    const runs = valid(sitting, case_.name, name);
    if (runs.length === 0) {
      lines.push(`| ${name} | not measured | | | | | | | | |`);
      continue;
    }
    const middle = (metric: keyof Run) => median(runs.map((run) => run[metric] as number))!;
    const ratio = (metric: Metric) => {
      if (name === subject) return "";
      return fixed(paired(sitting, case_.name, subject, name, metric, over), 2);
    };
    const cells = [
      name,
      Math.round(middle("requestsPerSecond")).toLocaleString("en-US"),
      fixed(middle("cpuUsPerRequest"), 1),
      fixed(middle("p50Us") / 1000, 3),
      fixed(middle("p99Us") / 1000, 3),
      percent(middle("subjectBusy")),
      percent(middle("loadCoreBusy")),
      ratio("requestsPerSecond"),
      ratio("cpuUsPerRequest"),
      ratio("p99Us"),
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines;
}

function barTable(sitting: Sitting, cases: Case[]): string[] {
  const lines: string[] = [];
  for (const bar of BARS) {
    const case_ = cases.find((candidate) => candidate.name === bar.case);
    if (!case_) continue;
    const value = barValue(sitting, case_.subject, bar);
    const wanted = bar.atLeast !== undefined ? `≥ ${bar.atLeast}` : `≤ ${bar.atMost}`;
    const met =
      value === undefined
        ? "not measured"
        : value >= (bar.atLeast ?? Number.NEGATIVE_INFINITY) &&
            value <= (bar.atMost ?? Number.POSITIVE_INFINITY)
          ? "met"
          : "missed";
    const what = {
      "rps-ratio": "requests/s ratio",
      "p99-ratio": "p99 ratio",
      "p50-added-us": "p50 added, µs",
    }[bar.metric];
    lines.push(`| ${bar.case} | ${what} to ${bar.against} | ${wanted} | ${fixed(value, 2)} | ${met} |`);
  }
  if (lines.length === 0) return [];
  return ["| case | what | bar | measured | |", "| --- | --- | --: | --: | --- |", ...lines];
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? "" : value.toFixed(digits);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
