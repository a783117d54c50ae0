/**
 * Closed-loop load by wrk: a number of connections, each sending its next request when the last is answered.
 * With `Connection: close` among the headers, wrk connects anew for each request. Over TLS it then resumes the
 * session of the connection before, so that handshakes from nothing need another client (ab.ts).
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type LoadResult, type Target, urlOf } from "./target.ts";

const SCRIPT = fileURLToPath(new URL("wrk.lua", import.meta.url));
const run = promisify(execFile);

interface Report {
  requests: number;
  microseconds: number;
  connect: number;
  read: number;
  write: number;
  status: number;
  timeout: number;
  p50: number;
  p99: number;
  p999: number;
  max: number;
}

/** One wrk thread on `core`. Rejects when wrk itself fails; failed requests are in `errors`. */
export async function closedLoop(
  target: Target,
  connections: number,
  seconds: number,
  core: number,
): Promise<LoadResult> {
  const headers = Object.entries(target.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const { stdout } = await run(
    "taskset",
    [
      ...["-c", String(core), "wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "5s"],
      ...["-s", SCRIPT, ...headers, urlOf(target)],
    ],
    {
      env: {
        ...process.env,
        BENCH_BODY_BYTES: String(target.bodyBytes),
        BENCH_ROUTES: String(target.routes),
      },
    },
  );
  const line = stdout.split("\n").find((candidate) => candidate.startsWith("REPORT "));
  if (line === undefined) throw new Error(`wrk printed no report:\n${stdout}`);
  const report = JSON.parse(line.slice("REPORT ".length)) as Report;
  const errors: string[] = [];
  if (report.requests === 0) errors.push("no request was answered");
  if (report.status > 0) errors.push(`${report.status} answers with status 400 or above`);
  for (const kind of ["connect", "read", "write", "timeout"] as const) {
    if (report[kind] > 0) errors.push(`${report[kind]} ${kind} errors`);
  }
  return {
    requests: report.requests,
    seconds: report.microseconds / 1e6,
    p50Us: report.p50,
    p99Us: report.p99,
    p999Us: report.p999,
    maxUs: report.max,
    errors,
  };
}
