/** A replay's report for a terminal. */
import { isObject } from "@gatehouse/sdk";
import type { ReplayAnswer, SideAnswer } from "../admin/recordings-api.ts";
import { printable } from "../printable.ts";
import { aligned } from "./rows.ts";

export function replayLines(answer: ReplayAnswer): string[] {
  const { plugin, from, to, replayed, different, left_out, without_response, requests } = answer;
  const count = (n: number) => `${n} ${n === 1 ? "request" : "requests"}`;
  const lines = [
    `replayed ${count(replayed)} through ${plugin} ${from.version} and ${to.version}: ` +
      (replayed === 0
        ? "nothing was recorded that could be"
        : different === 0
          ? "none differs"
          : `${different} ${different === 1 ? "differs" : "differ"}`),
  ];
  if (left_out.cut_bodies > 0)
    lines.push(`left out: ${count(left_out.cut_bodies)} whose body was not kept whole`);
  if (left_out.out_of_time > 0) lines.push(`left out: ${count(left_out.out_of_time)}, as the time was up`);
  if (without_response > 0)
    lines.push(`without phases of the response, as none was recorded: ${count(without_response)}`);
  if (replayed > 0) lines.push("", ...costs(from, to));
  for (const { method, path, route, recording, differences } of requests) {
    const where = route === null ? "" : `, route ${route.name ?? route.id}`;
    lines.push("", `${method} ${path} (recording ${recording}${where})`);
    for (const { what, name, from: before, to: after } of differences)
      lines.push(...difference(name === undefined ? what : `${what} ${name}`, before, after));
  }
  if (different > requests.length) lines.push("", `and ${count(different - requests.length)} more`);
  return lines.map(printable);
}

function costs(from: SideAnswer, to: SideAnswer): string[] {
  const row = (what: string, of: (side: SideAnswer) => string) => [what, of(from), of(to)];
  const kinds = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([kind, times]) => `${kind} ${times}`)
      .join(", ") || "none";
  const rows = [
    row("", ({ version }) => version),
    row("calls", ({ calls }) => String(calls)),
    row("failures", ({ failures }) => kinds(failures)),
    row("CPU of a request (median)", ({ median_cpu_ms: cpu }) => `${cpu.toFixed(3)} ms`),
    row("memory peak", ({ memory_peak_bytes: bytes }) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`),
    row("asked for, and did without", ({ answered_with_nothing: asked }) => kinds(asked)),
  ];
  if (from.fuel + to.fuel > 0)
    rows.splice(
      3,
      0,
      row("fuel of a request (median)", ({ median_fuel: fuel }) => `${fuel}`),
    );
  return aligned(rows);
}

function difference(what: string, from: unknown, to: unknown): string[] {
  if (isObject(from) && isObject(to))
    return [
      `  ${what}: ${from.bytes} bytes → ${to.bytes} bytes`,
      `    - ${String(from.excerpt)}`,
      `    + ${String(to.excerpt)}`,
    ];
  const shown = (value: unknown) => (value === null ? "(none)" : String(value));
  return [`  ${what}: ${shown(from)} → ${shown(to)}`];
}
