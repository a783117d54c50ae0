/** The table of a sitting in Markdown: bars first, then each group's cases, then what does not count. */
import { BARS, barValue, judge } from "./bars.ts";
import { type Case, GROUPS } from "./cases.ts";
import { type Metric, median, paired, type Run, type Sitting, valid } from "./results.ts";

const DISTURBED_SHARE = 0.05;

export function markdown(sitting: Sitting, cases: readonly Case[], charts: readonly string[]): string {
  const { machine } = sitting;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const lines = [
    `# Bench of ${sitting.date}, commit ${sitting.commit}`,
    "",
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}, ${machine.arch}.`,
    `${versions.join(", ")}.`,
    `\`${sitting.command}\`, ${Math.round(sitting.minutes)} minutes.`,
    "One core for each variant, load and upstream on another. Medians; a ratio is the median of the ratios within",
    "each round. How to read it: [../README.md](../README.md).",
    quietness(sitting),
  ];
  const bars = barTable(sitting, cases);
  if (bars.length > 0) lines.push("", "## Bars", "", ...bars);
  for (const chart of charts) lines.push("", `![${chart.replace(/\.svg$/, "")}](${chart})`);
  for (const group of GROUPS) {
    const members = cases.filter((case_) => case_.group === group);
    if (members.length > 0) lines.push("", `## Group: ${group}`);
    for (const case_ of members) lines.push("", ...caseTable(sitting, case_));
  }
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

function barTable(sitting: Sitting, cases: readonly Case[]): string[] {
  const lines: string[] = [];
  for (const bar of BARS) {
    const case_ = cases.find((candidate) => candidate.name === bar.case);
    if (!case_) continue;
    const value = barValue(sitting, case_.subject, bar);
    const wanted = bar.atLeast !== undefined ? `≥ ${trimmed(bar.atLeast)}` : `≤ ${trimmed(bar.atMost!)}`;
    const what = [bar.measure, bar.against ?? ""].join(" ").trim();
    lines.push(`| ${bar.case} | ${what} | ${wanted} | ${fixed(value, 2)} | ${judge(bar, value)} |`);
  }
  if (lines.length === 0) return [];
  return ["| case | what | bar | measured | |", "| --- | --- | --: | --: | --- |", ...lines];
}

function caseTable(sitting: Sitting, case_: Case): string[] {
  // A partial run (--variants) may lack the subject; the first variant stands in, and no bar is judged.
  const names = case_.variants.map((variant) => variant.name);
  const subject = names.includes(case_.subject) ? case_.subject : names[0]!;
  const open = case_.load === "half";
  const heads = ["requests/s", "CPU µs/request", "p50 ms", "p99 ms"];
  if (open) heads.push("p99.9 ms", "sent late p99 ms");
  heads.push("own core", "load core", "requests/s ÷", "CPU ÷", "p99 ÷");
  const lines = [
    `### ${case_.name}`,
    "",
    `${case_.title}. ${case_.rounds} rounds of ${case_.seconds} s. ÷: ${subject} over this.`,
    ...(case_.cpuOnly === undefined ? [] : [`Read the CPU only: ${case_.cpuOnly}.`]),
    "",
    `| variant | ${heads.join(" | ")} |`,
    `| --- |${" --: |".repeat(heads.length)}`,
  ];
  for (const name of names) {
    const runs = valid(sitting, case_.name, name);
    if (runs.length === 0) {
      lines.push(`| ${name} | not measured |${" |".repeat(heads.length - 1)}`);
      continue;
    }
    const middle = (metric: keyof Run) => median(runs.map((run) => run[metric] as number))!;
    const ms = (metric: keyof Run) => fixed(middle(metric) / 1000, 3);
    const ratio = (metric: Metric) =>
      name === subject
        ? ""
        : fixed(
            paired(sitting, case_.name, subject, name, metric, (own, other) => own / other),
            2,
          );
    const cells = [
      name,
      Math.round(middle("requestsPerSecond")).toLocaleString("en-US"),
      fixed(middle("cpuUsPerRequest"), 1),
      ms("p50Us"),
      ms("p99Us"),
      ...(open ? [ms("p999Us"), ms("sentLateP99Us")] : []),
      percent(middle("subjectBusy")),
      percent(middle("loadCoreBusy")),
      ratio("requestsPerSecond"),
      ratio("cpuUsPerRequest"),
      ratio("p99Us"),
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  const changes = names.flatMap((name) => changeLine(name, valid(sitting, case_.name, name)));
  if (changes.length > 0) lines.push("", ...changes);
  return lines;
}

/** What the changes of configuration did, for a variant that had any. */
function changeLine(name: string, runs: Run[]): string[] {
  const made = runs.reduce((sum, run) => sum + (run.changes?.made ?? 0), 0);
  if (made === 0) return [];
  const total = (metric: "lost" | "reopened") => runs.reduce((sum, run) => sum + (run[metric] ?? 0), 0);
  const live = runs.flatMap((run) => run.changes?.liveMs ?? []);
  const times =
    live.length === 0
      ? ""
      : `; live after ${fixed(median(live), 0)} ms, the slowest after ${fixed(Math.max(...live), 0)} ms`;
  return [
    `- ${name}: ${made} changes, ${total("lost")} requests lost, ${total("reopened")} idle connections closed${times}.`,
  ];
}

function fixed(value: number | undefined, digits: number): string {
  return value === undefined ? "" : value.toFixed(digits);
}

/** Two digits at most, and none that say nothing. */
function trimmed(value: number): string {
  return String(Number(value.toFixed(2)));
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
