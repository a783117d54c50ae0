/**
 * A long, mixed load with stages and thresholds, as one would write for k6: does the gateway stay correct, quick
 * and of constant size? Meant for machines with more cores and for hours; on two cores a minute shows that it works.
 *
 *     npm exec -- node bench/soak/soak.ts --duration 60s
 *     npm exec -- node bench/soak/soak.ts --duration 8h --users 2000 --threads 8
 *
 * A fifth of the time users arrive, a fifth they leave. Meanwhile the configuration is replaced every few seconds.
 * Exits with 1 when a threshold is crossed, 2 when it could not run. Needs what the bench needs (Linux, nginx).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { readArguments, refuse } from "../arguments.ts";
import { POLICY, startGateway } from "../gateway.ts";
import { Histogram } from "../load/histogram.ts";
import { tree } from "../processes.ts";
import { median } from "../results.ts";
import { installMissing } from "../tools.ts";
import { openSite } from "../variants.ts";
import type { ScenarioReport, UsersJob } from "./users.ts";

const USAGE = `node bench/soak/soak.ts [options]
  --duration D      in all, as 90s, 30m or 8h (default 60s); a fifth each to ramp up and down
  --users N         virtual users at the height (default 20 for each core)
  --threads N       data threads (default half of the cores)
  --think-ms N      pause of a user between two requests, on average (default 20)
  --reload-every N  seconds between two replacements of the configuration (default 5)
  --error-rate R    threshold: share of requests that may fail (default 0.0001)
  --p99-ms N        threshold: p99 of small requests (default 250)
  --growth-mb N     threshold: growth of resident memory over the hold (default 64)
  --descriptors N   threshold: descriptors more than before, once all users are gone (default 16)`;

const values = readArguments(USAGE, {
  duration: { type: "string", default: "60s" },
  users: { type: "string", default: String(20 * availableParallelism()) },
  threads: { type: "string", default: String(Math.max(1, availableParallelism() >> 1)) },
  "think-ms": { type: "string", default: "20" },
  "reload-every": { type: "string", default: "5" },
  "error-rate": { type: "string", default: "0.0001" },
  "p99-ms": { type: "string", default: "250" },
  "growth-mb": { type: "string", default: "64" },
  descriptors: { type: "string", default: "16" },
});

function number(name: Exclude<keyof typeof values, "duration">): number {
  const value = Number(values[name]);
  if (!(value >= 0)) refuse(`--${name} must be a number from 0 up`);
  return value;
}

function durationSeconds(): number {
  const parts = /^(\d+)(s|m|h)$/.exec(values.duration);
  const seconds = Number(parts?.[1]) * { s: 1, m: 60, h: 3600 }[(parts?.[2] ?? "s") as "s" | "m" | "h"];
  if (!(seconds >= 10)) refuse("--duration is 10s or more, written as 90s, 30m or 8h");
  return seconds;
}

/** Two documents that differ in one of a hundred routes besides those that the users ask for. */
function document(upstreamPort: number, moved: boolean): string {
  const url = `http://127.0.0.1:${upstreamPort}`;
  const others = Array.from({ length: 100 }, (_, i) => ({
    name: `other-${i}`,
    paths: [moved && i === 7 ? "/other-moved/" : `/other-${i}/`],
  }));
  return JSON.stringify({
    _format_version: "3.0",
    services: [
      { name: "plain", url, routes: [{ name: "plain", paths: ["/"], strip_path: false }, ...others] },
      { name: "policy", url, routes: [{ name: "policy", paths: ["/policy"] }], plugins: POLICY },
    ],
    consumers: [{ username: "soak", keyauth_credentials: [{ key: "soak-key-1" }] }],
  });
}

/** Resident megabytes and open descriptors of a process and its children. */
function sizes(pid: number): { residentMb: number; descriptors: number } {
  let [pages, descriptors] = [0, 0];
  for (const one of tree(pid)) {
    try {
      pages += Number(readFileSync(`/proc/${one}/statm`, "latin1").split(" ")[1]);
      descriptors += readdirSync(`/proc/${one}/fd`).length;
    } catch {
      // Gone since it was listed.
    }
  }
  return { residentMb: (pages * 4096) / 2 ** 20, descriptors };
}

async function users(job: UsersJob): Promise<ScenarioReport[]> {
  const worker = new Worker(new URL("users.ts", import.meta.url), { workerData: job });
  return await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error("a thread of users ended without a report")));
  });
}

interface Threshold {
  what: string;
  value: number;
  most: number;
}

async function main(): Promise<boolean> {
  const seconds = durationSeconds();
  for (const name of Object.keys(values) as (keyof typeof values)[]) if (name !== "duration") number(name);
  installMissing();
  const [rampSeconds, holdSeconds] = [seconds / 5, (seconds * 3) / 5];
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-soak-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

  const threads = number("threads");
  const cores = availableParallelism();
  const { site, close } = await openSite(folder);
  const gateway = await startGateway(site, {
    threads,
    cores: `0-${Math.min(cores, Math.max(2, threads)) - 1}`,
    document: document(site.upstreamPort, false),
    // Short, so that descriptors can be counted soon after the last user.
    env: { GATEHOUSE_UPSTREAM_KEEPALIVE_IDLE_TIMEOUT: "2" },
  });
  const { pid } = gateway.process;
  await delay(2500);
  const atRest = sizes(pid);

  // Below 1: nothing is replaced.
  const every = number("reload-every") * 1000;
  const reloads = { made: 0, failed: 0 };
  let busy = false;
  const reload = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(`http://127.0.0.1:${gateway.ports.admin}/config`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: document(site.upstreamPort, reloads.made % 2 === 0),
      });
      await answer.arrayBuffer();
      if (!answer.ok) reloads.failed++;
    } catch {
      reloads.failed++;
    }
    reloads.made++;
    busy = false;
  };
  const reloading = every > 0 ? setInterval(reload, every) : undefined;

  const resident: { at: number; mb: number }[] = [];
  const began = performance.now();
  const watching = setInterval(() => {
    resident.push({ at: (performance.now() - began) / 1000, mb: sizes(pid).residentMb });
  }, 1000);

  const clients = Math.max(1, cores - threads);
  const perClient = Math.ceil(number("users") / clients);
  console.log(
    `${values.duration}: ${perClient * clients} users in ${clients} threads, ${threads} data threads, ` +
      `${rampSeconds} s up, ${holdSeconds} s at the height, ${rampSeconds} s down`,
  );
  const reports = await Promise.all(
    Array.from({ length: clients }, (_, seed) =>
      users({
        port: gateway.port,
        users: perClient,
        rampSeconds,
        holdSeconds,
        thinkMs: number("think-ms"),
        seed,
      }),
    ),
  );
  clearInterval(reloading);
  clearInterval(watching);

  // Upstream connections go once they are idle for long enough; a leak stays however long one waits.
  let open = sizes(pid).descriptors;
  for (let i = 0; i < 40 && open > atRest.descriptors + number("descriptors"); i++) {
    await delay(250);
    open = sizes(pid).descriptors;
  }
  const died = gateway.process.exited();
  await gateway.process.stop();
  await close();

  const scenarios = merged(reports.flat());
  printScenarios(scenarios);
  const requests = scenarios.reduce((sum, { latency, failed }) => sum + latency.count + failed, 0);
  const failures = scenarios.reduce((sum, { failed }) => sum + failed, 0);
  const small = scenarios.filter(({ name }) => name === "plain" || name === "policy");
  const within = (from: number, to: number) =>
    median(
      resident
        .filter(({ at }) => at >= rampSeconds + holdSeconds * from && at < rampSeconds + holdSeconds * to)
        .map(({ mb }) => mb),
    ) ?? Number.NaN;
  const [early, late] = [within(0, 0.25), within(0.75, 1)];
  console.log(
    `\n${requests} requests; ${reloads.made} replacements of the configuration; resident ${atRest.residentMb.toFixed(0)} MB ` +
      `at rest, ${early.toFixed(0)} MB early and ${late.toFixed(0)} MB late in the hold\n`,
  );
  return judged([
    { what: "share of requests that failed", value: failures / requests, most: number("error-rate") },
    ...small.map(({ name, latency }) => ({
      what: `p99 of ${name}, ms`,
      value: latency.quantile(0.99) / 1000,
      most: number("p99-ms"),
    })),
    { what: "growth of resident memory, MB", value: late - early, most: number("growth-mb") },
    { what: "descriptors left", value: open - atRest.descriptors, most: number("descriptors") },
    { what: "configurations refused", value: reloads.failed, most: 0 },
    { what: "gateways that ended", value: died ? 1 : 0, most: 0 },
  ]);
}

interface Scenario {
  name: string;
  latency: Histogram;
  failed: number;
  errors: Map<string, number>;
}

function merged(reports: readonly ScenarioReport[]): Scenario[] {
  const scenarios = new Map<string, Scenario>();
  for (const { name, latency, errors } of reports) {
    const scenario = scenarios.get(name) ?? { name, latency: new Histogram(), failed: 0, errors: new Map() };
    scenarios.set(name, scenario);
    scenario.latency.merge(latency);
    for (const [what, count] of Object.entries(errors)) {
      scenario.failed += count;
      scenario.errors.set(what, (scenario.errors.get(what) ?? 0) + count);
    }
  }
  return [...scenarios.values()];
}

function printScenarios(scenarios: readonly Scenario[]): void {
  const ms = (us: number) => Number((us / 1000).toFixed(2));
  console.table(
    Object.fromEntries(
      scenarios.map(({ name, latency, failed }) => [
        name,
        {
          requests: latency.count + failed,
          failed,
          "p50 ms": ms(latency.quantile(0.5)),
          "p99 ms": ms(latency.quantile(0.99)),
          "max ms": ms(latency.max),
        },
      ]),
    ),
  );
  for (const { name, errors } of scenarios)
    for (const [what, count] of errors) console.log(`${name}: ${count} × ${what}`);
}

/** Prints each threshold; false when one is crossed, or could not be measured. */
function judged(thresholds: readonly Threshold[]): boolean {
  for (const { what, value, most } of thresholds)
    console.log(
      `${value <= most ? "ok     " : "CROSSED"} ${what}: ${Number(value.toFixed(5))} (at most ${most})`,
    );
  return thresholds.every(({ value, most }) => value <= most);
}

main().then(
  (kept) => process.exit(kept ? 0 : 1),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  },
);
