/** What the gateway is held to, and whether a sitting met it. */
import { gatewayPolicy, gatewayWithRoutes, gatewayWithThreads } from "./gateway.ts";
import { type Metric, median, paired, type Sitting, valid } from "./results.ts";
import { fastifyHttpProxy, httpProxy3, nginx, nginxLua, nodeUndici } from "./variants.ts";

type Measure = "requests/s ÷" | "CPU ÷" | "p99 ÷" | "p50 added, µs, to" | "lost" | "change live, ms";

export interface Bar {
  case: string;
  measure: Measure;
  /** The variant compared with; none where a number of the subject itself is judged. */
  against?: string;
  atLeast?: number;
  atMost?: number;
}

/** "n times as fast as" holds for requests/s and, turned round, for CPU per request. */
function asFast(case_: string, against: string, times: number): Bar[] {
  return [
    { case: case_, measure: "requests/s ÷", against, atLeast: times },
    { case: case_, measure: "CPU ÷", against, atMost: 1 / times },
  ];
}

export const BARS: Bar[] = [
  ...asFast("plain", nginx.name, 0.8),
  ...asFast("policy", nginxLua.name, 0.9),
  ...asFast("plain", nodeUndici.name, 2),
  ...asFast("plain", fastifyHttpProxy.name, 4),
  ...asFast("plain", httpProxy3.name, 4),
  { case: "half-load", measure: "p99 ÷", against: nginxLua.name, atMost: 2 },
  ...asFast("tls", nginx.name, 0.6),
  { case: "tls-new", measure: "CPU ÷", against: nginx.name, atMost: 1 / 0.6 },
  { case: "tls-resumed", measure: "CPU ÷", against: nginx.name, atMost: 1 / 0.6 },
  { case: "threads", measure: "CPU ÷", against: gatewayWithThreads(1).name, atMost: 1.1 },
  ...asFast("routes", gatewayWithRoutes(10).name, 0.9),
  { case: "reload", measure: "change live, ms", atMost: 100 },
  { case: "reload", measure: "lost", atMost: 0 },
  { case: "reload", measure: "p99 ÷", against: gatewayWithRoutes(10_000).name, atMost: 2 },
  { case: "guest-isolate", measure: "requests/s ÷", against: gatewayPolicy.name, atLeast: 0.75 },
  { case: "guest-extism", measure: "requests/s ÷", against: gatewayPolicy.name, atLeast: 0.75 },
  { case: "guest-isolate-latency", measure: "p50 added, µs, to", against: gatewayPolicy.name, atMost: 60 },
  { case: "guest-extism-latency", measure: "p50 added, µs, to", against: gatewayPolicy.name, atMost: 90 },
];

const RATIOS: Partial<Record<Measure, Metric>> = {
  "requests/s ÷": "requestsPerSecond",
  "CPU ÷": "cpuUsPerRequest",
  "p99 ÷": "p99Us",
};

/** What the sitting measured, the subject's value over the other's; undefined when it did not. */
export function barValue(sitting: Sitting, subject: string, bar: Bar): number | undefined {
  const runs = valid(sitting, bar.case, subject);
  if (bar.measure === "lost")
    return runs.length === 0 ? undefined : runs.reduce((sum, run) => sum + (run.lost ?? 0), 0);
  if (bar.measure === "change live, ms") return median(runs.flatMap((run) => run.changes?.liveMs ?? []));
  const metric = RATIOS[bar.measure];
  if (metric === undefined)
    return paired(sitting, bar.case, subject, bar.against!, "p50Us", (own, other) => own - other);
  return paired(sitting, bar.case, subject, bar.against!, metric, (own, other) => own / other);
}

export function judge(bar: Bar, value: number | undefined): "met" | "missed" | "not measured" {
  if (value === undefined) return "not measured";
  return value >= (bar.atLeast ?? Number.NEGATIVE_INFINITY) &&
    value <= (bar.atMost ?? Number.POSITIVE_INFINITY)
    ? "met"
    : "missed";
}
