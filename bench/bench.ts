/**
 * `npm run bench`: measures the gateway on one core against its peers, in the same sitting.
 *
 * Every run is a fresh process, proven to do the work of its case, warmed, then measured. A round runs every
 * variant once; the next round runs them in reverse, so that whatever drifts in the machine hurts all alike.
 * README.md tells the method in plain words.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { CASES, type Case } from "./cases.ts";
import { openLoop } from "./load/constant-rate.ts";
import { closedLoop, type LoadResult, type Target } from "./load/wrk.ts";
import { coreBusySeconds, cpuSeconds } from "./processes.ts";
import { prove } from "./proof.ts";
import { markdown, type Run, type Sitting } from "./results.ts";
import { commit, installMissing, machine } from "./tools.ts";
import { type Site, startUpstream, type Variant } from "./variants.ts";
import { yardstickMs } from "./yardstick.ts";

const USAGE = `npm run bench -- [--rounds N] [--seconds S] [--cases a,b] [--variants "a,b"] [--quick] [--dry]
  --rounds    paired rounds per case (default 5)
  --seconds   measured time of one run (default 8)
  --cases     ${CASES.map((case_) => case_.name).join(", ")} (default all)
  --variants  only these variants, for example "gateway,nginx"
  --quick     1 round of 2 s
  --dry       print the table, write no results`;

const ROOT = dirname(import.meta.dirname);
const RESULTS = join(import.meta.dirname, "results");

interface Options {
  rounds: number;
  seconds: number;
  cases: Case[];
  dry: boolean;
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      cases: { type: "string" },
      variants: { type: "string" },
      quick: { type: "boolean", default: false },
      dry: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit();
  }
  const whole = (name: "rounds" | "seconds", otherwise: number) => {
    const value = Number(values[name] ?? otherwise);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number from 1 up`);
    return value;
  };
  const known = CASES.map((case_) => case_.name);
  const names = values.cases?.split(",") ?? known;
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`No case ${unknown.join(", ")}; there are ${known.join(", ")}`);
  const only = values.variants?.split(",");
  const cases = CASES.filter((case_) => names.includes(case_.name))
    .map((case_) => ({ ...case_, variants: case_.variants.filter((v) => only?.includes(v.name) ?? true) }))
    .filter((case_) => case_.variants.length > 0);
  if (cases.length === 0) throw new Error(`None of the cases has a variant named ${values.variants}`);
  return {
    rounds: whole("rounds", values.quick ? 1 : 5),
    seconds: whole("seconds", values.quick ? 2 : 8),
    cases,
    dry: values.dry,
  };
}

type Load = (target: Target) => Promise<LoadResult & { sentLateP99Us?: number }>;

/** One run: start, prove, warm, measure, stop. A failure is a run that does not count, never a silent gap. */
async function measure(
  site: Site,
  case_: Case,
  variant: Variant,
  round: number,
  warm: (target: Target) => Promise<unknown>,
  load: Load,
): Promise<Run> {
  const run: Run = { ...NOTHING, case: case_.name, variant: variant.name, round };
  try {
    run.yardstickMs = await yardstickMs(site.subjectCore);
    const running = await variant.start(site);
    try {
      const target = { port: running.port, path: case_.path, headers: case_.headers };
      await prove(case_.work, target, case_.marks?.[variant.name]);
      await warm(target);
      const pid = running.process.pid;
      const before = [
        performance.now(),
        cpuSeconds(pid),
        coreBusySeconds(site.subjectCore),
        coreBusySeconds(site.loadCore),
      ];
      const result = await load(target);
      const after = [
        performance.now(),
        cpuSeconds(pid),
        coreBusySeconds(site.subjectCore),
        coreBusySeconds(site.loadCore),
      ];
      const [wallMs, cpu, subjectCore, loadCore] = after.map((value, i) => value - before[i]!) as [
        number,
        number,
        number,
        number,
      ];
      const wall = wallMs / 1000;
      Object.assign(run, {
        requests: result.requests,
        seconds: result.seconds,
        requestsPerSecond: result.requests / result.seconds,
        cpuUsPerRequest: (cpu / result.requests) * 1e6,
        p50Us: result.p50Us,
        p99Us: result.p99Us,
        p999Us: result.p999Us,
        maxUs: result.maxUs,
        subjectBusy: cpu / wall,
        subjectCoreOther: Math.max(0, subjectCore - cpu) / wall,
        loadCoreBusy: loadCore / wall,
        sentLateP99Us: result.sentLateP99Us,
      });
      if (result.errors.length > 0) run.invalid = result.errors.join("; ");
      if (running.process.exited()) run.invalid = `the process ended: ${running.process.output()}`;
    } finally {
      await running.process.stop();
    }
  } catch (error) {
    run.invalid = error instanceof Error ? error.message : String(error);
  }
  // Results are committed: they name no folder of this machine.
  run.invalid = run.invalid?.replaceAll(ROOT, ".").replaceAll(site.folder, "TMP").slice(0, 600);
  return run;
}

const NOTHING = {
  requests: 0,
  seconds: 0,
  requestsPerSecond: 0,
  cpuUsPerRequest: 0,
  p50Us: 0,
  p99Us: 0,
  p999Us: 0,
  maxUs: 0,
  subjectBusy: 0,
  subjectCoreOther: 0,
  loadCoreBusy: 0,
  yardstickMs: 0,
};

async function measureCase(
  site: Site,
  case_: Case,
  rounds: number,
  seconds: number,
  runs: Run[],
): Promise<void> {
  const closed = (connections: number, forSeconds: number) => (target: Target) =>
    closedLoop(target, connections, forSeconds, site.loadCore);
  let perSecond: number | undefined;
  if (case_.load === "half") {
    const capacities: number[] = [];
    for (const variant of case_.variants) {
      const probe = await measure(site, case_, variant, 0, closed(64, variant.warmSeconds), closed(64, 2));
      if (probe.invalid === undefined) capacities.push(probe.requestsPerSecond);
    }
    perSecond = Math.floor(Math.min(...capacities) / 2);
    if (!Number.isFinite(perSecond)) perSecond = 1000;
    console.error(`${case_.name}: constant rate of ${perSecond} requests/s`);
  }
  for (let round = 1; round <= rounds; round++) {
    const order = round % 2 === 1 ? case_.variants : case_.variants.toReversed();
    for (const variant of order) {
      // Warming at 64 connections whatever the case: compilers need requests, not seconds.
      const warm = closed(64, variant.warmSeconds);
      const load: Load =
        perSecond === undefined
          ? closed(case_.connections, seconds)
          : (target) =>
              openLoop(
                { ...target, perSecond: perSecond!, connections: case_.connections, warmSeconds: 1, seconds },
                site.loadCore,
              );
      const run = await measure(site, case_, variant, round, warm, load);
      if (perSecond !== undefined) run.askedPerSecond = perSecond;
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
  console.error(
    `${where}: ${Math.round(run.requestsPerSecond)} requests/s, ${run.cpuUsPerRequest.toFixed(1)} µs CPU, ` +
      `p50 ${run.p50Us} µs, p99 ${run.p99Us} µs, core ${Math.round(run.subjectBusy * 100)} % own ` +
      `${Math.round(run.subjectCoreOther * 100)} % others, load core ${Math.round(run.loadCoreBusy * 100)} %, ` +
      `yardstick ${Math.round(run.yardstickMs)} ms`,
  );
}

async function main(): Promise<void> {
  const { rounds, seconds, cases, dry } = options();
  if (process.platform !== "linux")
    throw new Error("The bench needs Linux: it pins processes and reads /proc.");
  if (cpus().length < 2) throw new Error("The bench needs two cores: one for the subject, one for the load.");
  installMissing();

  const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

  const loadCore = 1;
  const upstream = await startUpstream(folder, loadCore);
  const site: Site = {
    folder,
    upstreamPort: upstream.port,
    subjectCore: 0,
    loadCore,
    guestCore: Math.min(2, cpus().length - 1),
  };
  const sitting: Sitting = {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    command: ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(
      " ",
    ),
    machine: machine(),
    rounds,
    secondsPerRun: seconds,
    runs: [],
  };
  for (const case_ of cases) await measureCase(site, case_, rounds, seconds, sitting.runs);
  await upstream.process.stop();

  const table = markdown(sitting, cases);
  console.log(table);
  if (!dry) {
    mkdirSync(RESULTS, { recursive: true });
    const name = `${sitting.date}-${sitting.commit}.json`;
    writeFileSync(join(RESULTS, name), `${JSON.stringify(sitting, null, 1)}\n`);
    writeFileSync(join(RESULTS, "latest.md"), table);
    console.error(`Written to bench/results/${name} and bench/results/latest.md`);
  }
  if (sitting.runs.some((run) => run.invalid !== undefined)) process.exitCode = 1;
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
