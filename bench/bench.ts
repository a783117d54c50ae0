/**
 * `npm run bench`: measures the gateway on one core against its peers, in the same sitting.
 *
 * Every run is a fresh process, proven to do the work of its case, warmed, then measured. A round runs every
 * variant once; the next round runs them in reverse, so that whatever drifts in the machine hurts all alike.
 * README.md tells the method in plain words.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CASES, type Case, estimatedMinutes, GROUPS } from "./cases.ts";
import { drawCharts } from "./charts.ts";
import { capacity, loadOf, measure } from "./measure.ts";
import { moveTo } from "./processes.ts";
import type { Run, Sitting } from "./results.ts";
import { markdown } from "./table.ts";
import { commit, installMissing, machine } from "./tools.ts";
import { openSite, type Site } from "./variants.ts";

const USAGE = `npm run bench -- [--cases a,b] [--variants "a,b"] [--rounds N] [--seconds S] [--rate R] [--quick] [--dry]
  --cases     groups (${GROUPS.join(", ")}) or
              cases (${CASES.map((case_) => case_.name).join(", ")}); default all
  --variants  only these variants, for example "gateway,nginx"
  --rounds    paired rounds, in place of each case's own
  --seconds   measured time of one run, in place of each case's own
  --rate      requests/s of the open-loop cases, in place of half of what the slowest variant can do
  --quick     1 round of 2 s
  --dry       print the table, write no results
npm run bench -- --render FILE   table and charts of the runs in a file of results, written beside it`;

const RESULTS = join(import.meta.dirname, "results");
/** Without a measured capacity; such a case has no valid run anyway. */
const FALLBACK_RATE = 1000;
const PROBE_SECONDS = 2;

interface Options {
  cases: Case[];
  rate: number | undefined;
  dry: boolean;
  render: string | undefined;
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      rate: { type: "string" },
      cases: { type: "string" },
      variants: { type: "string" },
      render: { type: "string" },
      quick: { type: "boolean", default: false },
      dry: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit();
  }
  const whole = (name: "rounds" | "seconds" | "rate") => {
    if (values[name] === undefined) return undefined;
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1 up`);
    return value;
  };
  const asked = values.cases?.split(",") ?? [...GROUPS];
  const known: readonly string[] = [...GROUPS, ...CASES.map((case_) => case_.name)];
  const unknown = asked.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`No case ${unknown.join(", ")}; there are ${known.join(", ")}`);
  const only = values.variants?.split(",");
  const rounds = whole("rounds") ?? (values.quick ? 1 : undefined);
  const seconds = whole("seconds") ?? (values.quick ? 2 : undefined);
  const cases = CASES.filter((case_) => asked.includes(case_.name) || asked.includes(case_.group))
    .map((case_) => ({
      ...case_,
      rounds: rounds ?? case_.rounds,
      seconds: seconds ?? case_.seconds,
      variants: case_.variants.filter((variant) => only?.includes(variant.name) ?? true),
    }))
    .filter((case_) => case_.variants.length > 0);
  if (cases.length === 0) throw new Error(`None of the cases has a variant named ${values.variants}`);
  return { cases, rate: whole("rate"), dry: values.dry, render: values.render };
}

async function measureCase(site: Site, case_: Case, rate: number | undefined, runs: Run[]): Promise<void> {
  let perSecond = rate;
  if (case_.load === "half" && perSecond === undefined) {
    const capacities: number[] = [];
    for (const variant of case_.variants.filter(({ changing }) => !changing)) {
      const probe = await measure(site, case_, variant, 0, capacity(site, PROBE_SECONDS));
      if (probe.invalid === undefined) capacities.push(probe.requestsPerSecond);
      else report(probe);
    }
    perSecond = capacities.length === 0 ? FALLBACK_RATE : Math.floor(Math.min(...capacities) / 2);
    console.error(`${case_.name}: constant rate of ${perSecond} requests/s`);
  }
  const load = loadOf(site, case_, perSecond ?? 0);
  for (let round = 1; round <= case_.rounds; round++) {
    const order = round % 2 === 1 ? case_.variants : case_.variants.toReversed();
    for (const variant of order) {
      const run = await measure(site, case_, variant, round, load);
      if (case_.load === "half") run.askedPerSecond = perSecond;
      runs.push(run);
      report(run);
    }
  }
}

function report(run: Run): void {
  const where = `${run.case} · round ${run.round} · ${run.variant}`;
  if (run.invalid !== undefined) {
    console.error(`!!! ${where}: DOES NOT COUNT: ${run.invalid}`);
    return;
  }
  const late = run.sentLateP99Us === undefined ? "" : `, sent late p99 ${run.sentLateP99Us} µs`;
  console.error(
    `${where}: ${Math.round(run.requestsPerSecond)} requests/s, ${run.cpuUsPerRequest.toFixed(1)} µs CPU, ` +
      `p50 ${run.p50Us} µs, p99 ${run.p99Us} µs${late}, core ${Math.round(run.subjectBusy * 100)} % own ` +
      `${Math.round(run.subjectCoreOther * 100)} % others, load core ${Math.round(run.loadCoreBusy * 100)} %, ` +
      `yardstick ${Math.round(run.yardstickMs)} ms`,
  );
}

/** The sitting's table; with `write`, its charts too. */
function render(sitting: Sitting, cases: readonly Case[], write: boolean): string {
  const charts = drawCharts(sitting, cases);
  const table = markdown(sitting, cases, write ? charts.map(({ file }) => file) : []);
  if (write) {
    // Charts of an earlier sitting would stay beside a table that does not know them.
    for (const name of readdirSync(RESULTS)) if (name.endsWith(".svg")) rmSync(join(RESULTS, name));
    for (const { file, svg } of charts) writeFileSync(join(RESULTS, file), svg);
    writeFileSync(join(RESULTS, "latest.md"), table);
  }
  return table;
}

/** The cases of a file of results: those that it has runs of, with the rounds and variants it has. */
function casesIn({ runs }: Sitting): Case[] {
  return CASES.map((case_) => {
    const own = runs.filter((run) => run.case === case_.name);
    const names = new Set(own.map((run) => run.variant));
    return {
      ...case_,
      rounds: Math.max(0, ...own.map((run) => run.round)),
      seconds: Math.round(own.find((run) => run.seconds > 0)?.seconds ?? case_.seconds),
      variants: case_.variants.filter((variant) => names.has(variant.name)),
    };
  }).filter((case_) => case_.variants.length > 0);
}

async function main(): Promise<void> {
  const { cases, rate, dry, render: file } = options();
  if (file !== undefined) {
    const sitting = JSON.parse(readFileSync(file, "utf8")) as Sitting;
    console.log(render(sitting, casesIn(sitting), !dry));
    return;
  }
  if (process.platform !== "linux")
    throw new Error("The bench needs Linux: it pins processes and reads /proc.");
  if (cpus().length < 2) throw new Error("The bench needs two cores: one for the subject, one for the load.");
  installMissing();

  const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

  const { site, close } = await openSite(folder);
  // What the bench itself does between and during runs is not to be on the subject's core.
  moveTo(site.loadCore, process.pid);
  const sitting: Sitting = {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    command: ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(
      " ",
    ),
    machine: machine(),
    minutes: 0,
    runs: [],
  };
  const started = performance.now();
  const name = `${sitting.date}-${sitting.commit}.json`;
  console.error(`${cases.length} cases, about ${Math.ceil(estimatedMinutes(cases))} minutes`);
  mkdirSync(RESULTS, { recursive: true });
  for (const case_ of cases) {
    await measureCase(site, case_, rate, sitting.runs);
    sitting.minutes = Math.round((performance.now() - started) / 6000) / 10;
    // After each case: a sitting that is cut short keeps what it has, and --render makes its table.
    if (!dry) writeFileSync(join(RESULTS, name), `${JSON.stringify(sitting, null, 1)}\n`);
  }
  await close();

  console.log(render(sitting, cases, !dry));
  if (!dry) console.error(`Written to bench/results: ${name}, latest.md and the charts`);
  if (sitting.runs.some((run) => run.invalid !== undefined)) process.exitCode = 1;
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
