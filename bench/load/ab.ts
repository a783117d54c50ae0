/**
 * A full TLS handshake for every request, by ApacheBench (`ab`): it never resumes a session, which wrk always
 * does. It speaks HTTP/1.0, to every variant alike.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type LoadResult, type Target, urlOf } from "./target.ts";

/** More than a run can make; ab sets aside memory for as many. */
const MOST_REQUESTS = 400_000;

/** One `ab` on `core`. Rejects when ab itself fails; failed requests are in `errors`. */
export async function handshakes(
  target: Target,
  connections: number,
  seconds: number,
  core: number,
): Promise<LoadResult> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-ab-"));
  try {
    const percentiles = join(folder, "percentiles.csv");
    const headers = Object.entries(target.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
    const { stdout } = await promisify(execFile)("taskset", [
      ...["-c", String(core), "ab", "-q", "-f", "TLS1.3", "-c", String(connections)],
      // -t sets -n as well, so -n comes after it.
      ...["-t", String(seconds), "-n", String(MOST_REQUESTS), "-e", percentiles, ...headers, urlOf(target)],
    ]);
    const number = (label: string) => Number(new RegExp(`^${label}: +([\\d.]+)`, "m").exec(stdout)?.[1] ?? 0);
    const requests = number("Complete requests");
    const errors: string[] = [];
    if (requests === 0) errors.push("no request was answered");
    if (requests >= MOST_REQUESTS) errors.push(`ab stopped at ${MOST_REQUESTS} requests`);
    if (number("Failed requests") > 0) errors.push(`${number("Failed requests")} failed requests`);
    if (number("Non-2xx responses") > 0)
      errors.push(`${number("Non-2xx responses")} answers with a status other than 2xx`);
    // Lines of "percentage,milliseconds", from 0 to 99 or 100.
    const rows = readFileSync(percentiles, "utf8").trim().split("\n").slice(1);
    const us = (percentage: number) => Math.round(Number(rows[percentage]?.split(",")[1] ?? 0) * 1000);
    return {
      requests,
      seconds: number("Time taken for tests"),
      p50Us: us(50),
      p99Us: us(99),
      // ab says nothing between 99 % and the longest.
      p999Us: us(rows.length - 1),
      maxUs: us(rows.length - 1),
      errors,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
