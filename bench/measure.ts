/** One run: a fresh process, proven to do its work, warmed, measured, stopped. */
import { dirname } from "node:path";
import type { Case } from "./cases.ts";
import { handshakes } from "./load/ab.ts";
import { type OpenLoopResult, openLoop } from "./load/constant-rate.ts";
import type { LoadResult, Target } from "./load/target.ts";
import { closedLoop } from "./load/wrk.ts";
import { coreBusySeconds, cpuSeconds } from "./processes.ts";
import { prove } from "./proof.ts";
import type { Run } from "./results.ts";
import type { Running, Site, Variant } from "./variants.ts";
import { yardstickMs } from "./yardstick.ts";

const ROOT = dirname(import.meta.dirname);
/** Warming is at so many connections whatever the case: compilers need requests, not seconds. */
const WARM_CONNECTIONS = 64;

/** Closed loops give way to other work and CPU per request stands; latency at a constant rate does not. */
const MAX_OTHER_SHARE = 0.2;

type Load = (target: Target, running: Running) => Promise<LoadResult & Partial<OpenLoopResult>>;

/** The load of a case; `perSecond` is what `half` sends at. */
export function loadOf(site: Site, case_: Case, perSecond: number): Load {
  const { connections, seconds } = case_;
  if (case_.load === "handshakes") return (target) => handshakes(target, connections, seconds, site.loadCore);
  if (case_.load === "closed") return (target) => closedLoop(target, connections, seconds, site.loadCore);
  return (target, { changes }) =>
    openLoop(
      { ...target, perSecond, connections, warmSeconds: 2, seconds, changes, mayLose: changes !== undefined },
      site.loadCore,
      site.upstreamPid,
    );
}

/** What the clients of a case are pointed at. */
export function targetOf(case_: Case, variant: Variant, running: Running): Target {
  return {
    port: (case_.tls ? running.tlsPort : undefined) ?? running.port,
    tls: case_.tls,
    path: case_.path,
    headers: case_.headers,
    bodyBytes: case_.bodyBytes,
    routes: variant.routes ?? 0,
  };
}

/** As fast as answers come: what `half` is half of. */
export function capacity(site: Site, seconds: number): Load {
  return (target) => closedLoop(target, WARM_CONNECTIONS, seconds, site.loadCore);
}

/** A failure is a run that does not count, never a silent gap. */
export async function measure(
  site: Site,
  case_: Case,
  variant: Variant,
  round: number,
  load: Load,
): Promise<Run> {
  const run: Run = { ...NOTHING, case: case_.name, variant: variant.name, round };
  try {
    run.yardstickMs = await yardstickMs(site.subjectCore);
    const running = await variant.start(site);
    try {
      const target = targetOf(case_, variant, running);
      await prove(case_.work, target, case_.marks?.[variant.name]);
      await closedLoop(target, WARM_CONNECTIONS, variant.warmSeconds, site.loadCore);
      const pid = running.process.pid;
      const meters = () => [
        performance.now() / 1000,
        cpuSeconds(pid),
        coreBusySeconds(site.subjectCore),
        coreBusySeconds(site.loadCore),
      ];
      const before = meters();
      const result = await load(target, running);
      const [wall, cpu, subjectCore, loadCore] = meters().map((value, i) => value - before[i]!) as [
        number,
        number,
        number,
        number,
      ];
      // The open-loop client's own warming is in the CPU time, so its requests are divided by, too.
      const inWindow = result.sent ?? result.requests;
      Object.assign(run, {
        requests: result.requests,
        seconds: result.seconds,
        requestsPerSecond: result.requests / result.seconds,
        cpuUsPerRequest: (cpu / inWindow) * 1e6,
        p50Us: result.p50Us,
        p99Us: result.p99Us,
        p999Us: result.p999Us,
        maxUs: result.maxUs,
        subjectBusy: cpu / wall,
        subjectCoreOther: Math.max(0, subjectCore - cpu) / wall,
        loadCoreBusy: loadCore / wall,
        sentLateP99Us: result.sentLateP99Us,
        quantilesUs: result.quantilesUs,
        lost: result.lost,
        reopened: result.reopened,
        changes: result.changes,
      });
      if (result.errors.length > 0) run.invalid = result.errors.join("; ");
      if (result.quantilesUs !== undefined && run.subjectCoreOther > MAX_OTHER_SHARE)
        run.invalid = `others took ${Math.round(run.subjectCoreOther * 100)} % of the core: latency was not the variant's own`;
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
