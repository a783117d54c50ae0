/**
 * Fuzzes the HTTP/1.1 codec against Node's strict parser for as long as it is told to, on as many cores:
 *
 *     npm exec -- node test/fuzz/http1-long.ts --streams 1e8 --processes all --seed 7
 *     npm exec -- node test/fuzz/http1-long.ts --seed 7 --from 1200       goes on where it was stopped
 *     npm exec -- node test/fuzz/http1-long.ts --splits                   every pair of cuts of the whole corpus
 *
 * Streams come in numbered blocks, each with seeds of its own, so that what was tried does not depend on the number of
 * processes. Without --streams it goes on until it is stopped. Exits with 1 at the first disagreement, and prints the
 * seed that finds it again, the bytes, and what both parsers made of them.
 */
import { type ChildProcess, fork } from "node:child_process";
import { availableParallelism } from "node:os";
import { readArguments, refuse } from "../../bench/arguments.ts";
import { fuzzGrammar, fuzzMutations } from "./http1-fuzz.ts";
import { everySplit } from "./http1-splits.ts";

/** Streams of one block: as many of each kind, and a block's seeds reach as far. */
const OF_A_KIND = 1000;
const KINDS = 4;
const BLOCK = KINDS * OF_A_KIND;
const REPORT_MS = 5000;
/** Streams are garbage at once: a larger young generation is a sixth of the time saved. */
const WORKER_FLAGS = ["--max-semi-space-size=64"];

const say = (text: string) => process.stdout.write(`${text}\n`);

/** What a process that tries blocks tells the one that started it. */
type Told = { readonly block: number } | { readonly fault: string };

/** Tries one block. Returns what is wrong, or null. */
async function tryBlock(seed: number, block: number): Promise<string | null> {
  const first = (seed + block * OF_A_KIND) % 2 ** 31;
  for (const side of ["request", "response"] as const)
    for (const fuzz of [fuzzMutations, fuzzGrammar]) {
      const fault = await fuzz(side, first, OF_A_KIND);
      if (fault !== null) return `${fault}\nin block ${block} of seed ${seed}`;
    }
  return null;
}

/** One of the processes: every `step`th block from `from` on. */
async function work(seed: number, from: number, to: number, step: number): Promise<void> {
  const tell = (told: Told) =>
    new Promise((resolve) => {
      process.send?.(told, undefined, {}, resolve);
    });
  for (let block = from; block < to; block += step) {
    const fault = await tryBlock(seed, block);
    await tell(fault === null ? { block } : { fault });
    if (fault !== null) break;
  }
  process.disconnect?.();
}

/** Starts the processes, says how far they are, and ends with the first fault or the last block. */
function lead(seed: number, from: number, to: number, processes: number): void {
  const started = performance.now();
  /** The next block that each process will have done. */
  const next = Array.from({ length: processes }, (_, i) => from + i);
  const children: ChildProcess[] = [];
  let done = 0;
  let code = 0;
  const progress = () => {
    const rate = (done * BLOCK) / ((performance.now() - started) / 1000);
    const left = Number.isFinite(to)
      ? `, ${Math.round(((to - from - done) * BLOCK) / rate / 60)} min left`
      : "";
    say(
      `${done * BLOCK} streams, ${Math.round(rate)}/s${left}, no disagreement; ` +
        `to go on from here: --seed ${seed} --from ${Math.min(...next)}`,
    );
  };
  const timer = setInterval(progress, REPORT_MS);
  const end = () => {
    for (const child of children) child.kill();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, end);
  for (let i = 0; i < processes; i++) {
    const bounds = [seed, from + i, to, processes].map(String);
    const child = fork(import.meta.filename, ["--work", bounds.join(",")], { execArgv: WORKER_FLAGS });
    children.push(child);
    child.on("message", (told: Told) => {
      if ("fault" in told) {
        say(told.fault);
        code = 1;
        return end();
      }
      done++;
      next[i] = told.block + processes;
    });
    child.on("exit", (status) => {
      if (status !== 0 && status !== null) {
        code = 1; // it has said why
        end();
      }
      if (
        children.length < processes ||
        children.some((other) => other.exitCode === null && other.signalCode === null)
      )
        return;
      clearInterval(timer);
      if (code === 0) progress();
      process.exitCode = code;
    });
  }
}

const USAGE = `node test/fuzz/http1-long.ts [options]
  --streams N       how many, such as 1e8 (default: until it is stopped)
  --seed N          where the seeds begin (default: another one each time)
  --from N          block to go on from, as a run prints it (default 0)
  --processes N     how many, or 'all' for one a core (default 1)
  --splits          every pair of cuts of the whole corpus instead`;

const values = readArguments(USAGE, {
  streams: { type: "string", default: "Infinity" },
  seed: { type: "string" },
  from: { type: "string", default: "0" },
  processes: { type: "string", default: "1" },
  splits: { type: "boolean", default: false },
  work: { type: "string" },
});
if (values.work !== undefined) {
  const [seed = 0, from = 0, to = 0, step = 1] = values.work.split(",").map(Number);
  await work(seed, from, to, step);
} else if (values.splits) {
  const fault = everySplit(say);
  if (fault !== null) {
    say(fault);
    process.exitCode = 1;
  }
} else {
  const streams = Number(values.streams);
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  const from = Number(values.from);
  const processes = values.processes === "all" ? availableParallelism() : Number(values.processes);
  if (!(streams > 0)) refuse("--streams takes a number above 0, such as 1e8");
  if (!Number.isInteger(seed) || seed < 0) refuse("--seed takes an integer from 0 on");
  if (!Number.isInteger(from) || from < 0) refuse("--from takes the number of a block, as a run prints it");
  if (!Number.isInteger(processes) || processes < 1) refuse("--processes takes a number from 1 on, or 'all'");
  lead(seed, from, from + Math.ceil(streams / BLOCK), processes);
}
