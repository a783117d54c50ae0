/** What a tail tells, as people read it: a line for each request, and under it its calls and what was logged. */
import { printable } from "../printable.ts";
import type { TailCall, TailRequest } from "../tail/events.ts";

export interface TailTextOptions {
  /** Whether the plugin's name stands in each line. */
  readonly named: boolean;
}

export function requestLines(event: TailRequest, { named }: TailTextOptions): string[] {
  const { at, method, path, status, total_ms, route, plugin, version, logs, logs_left_out } = event;
  const head = [
    at.slice(11, 23),
    printable(method),
    printable(path),
    status === 0 ? "no answer" : String(status),
    `${total_ms} ms`,
    ...(named ? [`${plugin}@${version}`] : []),
    ...(route === null ? [] : [`route ${printable(route)}`]),
  ].join("  ");
  const calls = event.calls.map(callLine);
  const lines = logs.map(({ level, phase, message }) => `    ${level} in ${phase}: ${printable(message)}`);
  if (logs_left_out > 0) lines.push(`    ${logs_left_out} more lines`);
  return [head, ...calls, ...lines];
}

function callLine(call: TailCall): string {
  const times = call.calls === 1 ? "" : ` × ${call.calls}`;
  const outcome =
    call.outcome === "failed"
      ? `failed (${call.failure})`
      : call.outcome === "reply"
        ? `reply ${call.reply_status}`
        : "continue";
  const cost = [
    ...(call.fuel > 0 ? [`fuel ${call.fuel}`] : []),
    `cpu ${milliseconds(call.cpu_ms)}`,
    `memory ${mebibytes(call.memory_bytes)}`,
    `wall ${milliseconds(call.wall_ms)}`,
    ...(call.host_calls > 0 ? [`host calls ${call.host_calls}`] : []),
  ].join("  ");
  const line = `    ${(call.phase + times).padEnd(16)} ${outcome.padEnd(16)} ${cost}`;
  return call.message === null ? line : `${line}\n      ${printable(call.message)}`;
}

const milliseconds = (ms: number) => `${ms.toFixed(2)} ms`;
const mebibytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
