/**
 * `npm run attacks`: what every hostile guest costs, measured on a running gateway. One line for each: the
 * verdicts, the longest time to one, the highest memory of its process, and how long the neighbour's requests
 * took meanwhile. Words after the command choose attacks by a part of their name, aim or runtime.
 */
import { WORKSPACE_LIMITS } from "../../src/sandbox/limits.ts";
import { Arena } from "./guests/arena.ts";
import { ATTACKS } from "./guests/attacks.ts";

const TIMES = 3;
const QUIET_REQUESTS = 2000;

const words = process.argv.slice(2);
const chosen = ATTACKS.filter(
  ({ name, aim, runtime, kinds }) =>
    kinds !== "upload" &&
    (words.length === 0 || words.some((word) => `${runtime} ${aim} ${name}`.includes(word))),
);
if (chosen.length === 0) {
  process.stderr.write(`no attack has one of these words in it: ${words.join(", ")}\n`);
  process.exit(1);
}

process.stderr.write(`${chosen.length} attacks, ${TIMES} times each; uploading ...\n`);
await using arena = await Arena.open(chosen);
const quiet = (await arena.quiet(QUIET_REQUESTS)).latencies;
const rows: string[][] = [];
let slowest = 0;
for (const attack of chosen) {
  const { shots, failures, next, alive, peakBytes, neighbour } = await arena.run(attack, TIMES);
  const verdicts = Object.entries(failures).map(([kind, count]) => `${kind} x${count}`);
  const ms = Math.max(...shots.map((shot) => shot.ms));
  slowest = Math.max(slowest, ms);
  rows.push([
    attack.runtime,
    attack.aim,
    attack.name,
    verdicts.join(", ") || "found nothing",
    ms.toFixed(0),
    (peakBytes / 2 ** 20).toFixed(0),
    percentile(neighbour.latencies, 0.99).toFixed(1),
    String(neighbour.bad.length),
    alive && next.status === 200 ? "yes" : "NO",
  ]);
  process.stderr.write(`${rows.length}/${chosen.length} ${attack.name}\n`);
}

const heads = ["runtime", "aim", "attack", "verdicts", "longest ms", "peak MiB", "p99 ms", "lost", "next"];
const widths = heads.map((head, column) =>
  Math.max(head.length, ...rows.map((row) => (row[column] ?? "").length)),
);
const line = (cells: readonly string[]) =>
  cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
process.stdout.write(`${[heads, ...rows].map(line).join("\n")}\n\n`);
process.stdout.write(
  `longest ms: from the request to its answer, a new process included where the last one was killed;\n` +
    `  a guest's deadline is ${WORKSPACE_LIMITS.wallMs} ms, the slowest verdict took ${slowest.toFixed(0)} ms.\n` +
    `p99 ms, lost: the neighbour's requests meanwhile. Before, its p50 was ${percentile(quiet, 0.5).toFixed(1)} ms and ` +
    `its p99 ${percentile(quiet, 0.99).toFixed(1)} ms, by ${QUIET_REQUESTS} requests.\n` +
    `next: the same plugin's next good call worked, in the process that was started.\n`,
);

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
