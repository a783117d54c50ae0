/**
 * `npm run attacks`: every attack of this folder on running gateways, one line for each: what is tried, what bounces
 * it, what it costs. Hostile guests are measured (the verdicts, the longest time to one, the highest memory of their
 * process, and how long a neighbour's requests took meanwhile); the others are the tests of their room. Words after the
 * command choose guests by a part of their name, aim or runtime, and the others by a part of their file's path.
 * Exits with 1 if an attack gets through.
 */
import { WORKSPACE_LIMITS } from "../../src/sandbox/limits.ts";
import { Arena } from "./guests/arena.ts";
import { ATTACKS, type Attack } from "./guests/attacks.ts";
import { assertBounced } from "./guests/bounced.ts";
import { attackFiles, runRooms } from "./rooms.ts";

const TIMES = 3;
const QUIET_REQUESTS = 2000;
const LONGEST_CELL = 100;

const words = process.argv.slice(2);
const guests = ATTACKS.filter(
  ({ name, aim, runtime, kinds }) =>
    kinds !== "upload" &&
    (words.length === 0 || words.some((word) => `guests ${runtime} ${aim} ${name}`.includes(word))),
);
const files = attackFiles(words);
if (guests.length === 0 && files.length === 0) {
  process.stderr.write(`no attack has one of these words in it: ${words.join(", ")}\n`);
  process.exit(1);
}

/** Attacks that were not bounced, and why. */
const through: string[] = [];
let count = 0;
if (guests.length > 0) await measureGuests(guests);
if (files.length > 0) await showRooms(files);
process.stdout.write(`\n${count} attacks, ${through.length} got through\n`);
for (const line of through) process.stdout.write(`  ${line}\n`);
process.exitCode = through.length === 0 ? 0 : 1;

async function measureGuests(chosen: readonly Attack[]): Promise<void> {
  process.stderr.write(`${chosen.length} guests, ${TIMES} times each; uploading ...\n`);
  await using arena = await Arena.open(chosen);
  const quiet = (await arena.quiet(QUIET_REQUESTS)).latencies;
  const rows: string[][] = [];
  let slowest = 0;
  for (const attack of chosen) {
    const outcome = await arena.run(attack, TIMES);
    const { shots, failures, peakBytes, neighbour } = outcome;
    const verdicts = Object.entries(failures).map(([kind, count]) => `${kind} x${count}`);
    const ms = Math.max(...shots.map((shot) => shot.ms));
    slowest = Math.max(slowest, ms);
    let result = "bounced";
    try {
      assertBounced(attack, outcome);
    } catch (error) {
      result = "GOT THROUGH";
      const why = ((error as Error).message.split("\n")[0] as string).slice(0, LONGEST_CELL);
      through.push(`${attack.runtime} ${attack.name}: ${why}`);
    }
    rows.push([
      attack.runtime,
      attack.aim,
      attack.name,
      verdicts.join(", ") || "found nothing",
      ms.toFixed(0),
      (peakBytes / 2 ** 20).toFixed(0),
      percentile(neighbour.latencies, 0.99).toFixed(1),
      String(neighbour.bad.length),
      result,
    ]);
    process.stderr.write(`${rows.length}/${chosen.length} ${attack.name}\n`);
  }
  count += rows.length;
  const heads = [
    "runtime",
    "aim",
    "guest",
    "bounced by",
    "longest ms",
    "peak MiB",
    "p99 ms",
    "lost",
    "result",
  ];
  process.stdout.write(
    `${table(heads, rows)}\n\n` +
      `longest ms: from the request to its answer, a new process included where the last one was killed;\n` +
      `  a guest's deadline is ${WORKSPACE_LIMITS.wallMs} ms, the slowest verdict took ${slowest.toFixed(0)} ms.\n` +
      `p99 ms, lost: the neighbour's requests meanwhile. Before, its p50 was ${percentile(quiet, 0.5).toFixed(1)} ms and ` +
      `its p99 ${percentile(quiet, 0.99).toFixed(1)} ms, by ${QUIET_REQUESTS} requests.\n` +
      `bounced: the same plugin's next good call worked too, in the gateway that was started, and nothing came through\n` +
      `  to its upstream.\n\n`,
  );
}

async function showRooms(files: readonly string[]): Promise<void> {
  const rows: string[][] = [];
  for await (const { room, attack, bouncedBy, ms, through: why } of runRooms(files)) {
    rows.push([room, attack, bouncedBy, ms.toFixed(0), why === null ? "bounced" : "GOT THROUGH"]);
    if (why !== null) through.push(`${room}: ${attack}: ${why}`);
    process.stderr.write(`${rows.length} ${attack}\n`);
  }
  count += rows.length;
  process.stdout.write(`${table(["room", "attack", "bounced by", "ms", "result"], rows)}\n`);
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heads, ...rows].map((cells) => cells.map(fitting));
  const widths = heads.map((_, column) => Math.max(...all.map((cells) => (cells[column] ?? "").length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return all.map(line).join("\n");
}

/** What an attack is made of may hold anything. */
function fitting(cell: string): string {
  const plain = cell.replace(/[^ -~]/g, "?");
  return plain.length > LONGEST_CELL ? `${plain.slice(0, LONGEST_CELL - 3)}...` : plain;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
