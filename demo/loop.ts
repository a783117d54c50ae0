/**
 * The isolation demo: uploads a plugin with an infinite loop into workspace acme while globex is under load,
 * and shows what globex notices. Run it beside a running demo: `npm run demo:loop`.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { packDirectory } from "../src/cli/pack.ts";
import { publishFile } from "../src/cli/publish.ts";
import { ACME, configuration, GLOBEX } from "./world.ts";

export interface World {
  readonly admin: string;
  readonly proxy: string;
  readonly echoPort: number;
  readonly prefix: string;
}

export interface LoopResult {
  /** Milliseconds, sorted. */
  readonly before: number[];
  readonly during: number[];
  readonly neighbourErrors: number;
  /** Requests that ran into the loop and were answered all the same, by status. */
  readonly looped: Record<number, number>;
  readonly verdicts: number;
  /** From sending the first one to its answer. */
  readonly firstVerdictMs: number;
}

const QUIET_MS = 3000;
const LOUD_MS = 5000;
const PAUSE_MS = 5;

/** Measures globex, lets acme loop, measures globex again. */
export async function runLoop(world: World): Promise<LoopResult> {
  const dispatcher = new Agent();
  const send = async (path: string, host: string) => {
    const { statusCode, body } = await request(world.proxy + path, { headers: { host }, dispatcher });
    await body.dump();
    return statusCode;
  };
  // Warm: the first requests pay for compiled code and for the guest's process.
  for (let i = 0; i < 200; i++) await send("/hello", GLOBEX);
  let neighbourErrors = 0;
  const measure = async (forMs: number) => {
    const times: number[] = [];
    const end = performance.now() + forMs;
    while (performance.now() < end) {
      const start = performance.now();
      if ((await send("/hello", GLOBEX)) !== 200) neighbourErrors++;
      times.push(performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    return times.sort((a, b) => a - b);
  };
  const before = await measure(QUIET_MS);

  const { bytes } = await packDirectory(join(import.meta.dirname, "plugins/infinite-loop"), { build: true });
  const file = join(world.prefix, "infinite-loop.tgz");
  await writeFile(file, bytes);
  await publishFile(file, { admin: world.admin }, "acme");
  const { statusCode, body } = await request(`${world.admin}/config`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(configuration(world.echoPort, { guests: true, loop: true })),
  });
  if (statusCode !== 201) throw new Error(await body.text());
  await body.dump();

  const looped: Record<number, number> = {};
  let verdicts = 0;
  let firstVerdictMs = -1;
  const started = performance.now();
  const attack = async () => {
    const end = started + LOUD_MS;
    while (performance.now() < end) {
      const status = await send("/loop?apikey=ada-secret", ACME);
      if (firstVerdictMs < 0) firstVerdictMs = performance.now() - started;
      looped[status] = (looped[status] ?? 0) + 1;
      verdicts++;
    }
  };
  const [during] = await Promise.all([measure(LOUD_MS), attack(), attack()]);
  await dispatcher.close();
  return { before, during, neighbourErrors, looped, verdicts, firstVerdictMs };
}

export function printLoopResult(result: LoopResult): void {
  const at = (times: number[], share: number) =>
    `${(times[Math.floor(times.length * share)] ?? 0).toFixed(2)} ms`;
  const row = (name: string, times: number[]) =>
    `  ${name.padEnd(28)} ${String(times.length).padStart(6)}   ${at(times, 0.5).padStart(9)}   ${at(times, 0.99).padStart(9)}`;
  const looped = Object.entries(result.looped)
    .map(([status, count]) => `${count} × ${status}`)
    .join(", ");
  console.log(
    [
      "",
      "acme uploaded a plugin that never ends and sends requests into it, two at a time.",
      `  answers to acme: ${looped}; the first after ${result.firstVerdictMs.toFixed(0)} ms`,
      "",
      "  globex, meanwhile           requests         p50         p99",
      row("before", result.before),
      row("while acme loops", result.during),
      `  failed requests of globex: ${result.neighbourErrors}`,
      "",
    ].join("\n"),
  );
}

if (process.argv[1] === import.meta.filename) {
  const file = join(import.meta.dirname, "..", ".demo.json");
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) {
    console.error("no demo is running; start it first: npm run demo");
    process.exit(1);
  }
  printLoopResult(await runLoop(JSON.parse(text) as World));
}
