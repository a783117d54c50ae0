/**
 * What a workspace that nobody has called for long costs: its first answer, with a spare cordon ready and
 * without, and the memory of its cordon once it is idle.
 *
 *     node bench/guests-cold.ts [--workspaces 20] [--runtime isolate|extism] [--write]
 *
 * With `--workspaces 200` it is also the proof that 200 workspaces with a live plugin each fit on a machine. Each
 * workspace uploads its own package, which takes most of the time. Nothing is pinned to a core.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { packExample, publish } from "../test/gateway/packages.ts";
import { send } from "../test/support/client.ts";
import { type Gateway, startGateway } from "../test/support/gateway.ts";
import { startOrigin } from "../test/support/origin.ts";
import { readArguments } from "./arguments.ts";
import { commit, machine } from "./tools.ts";

const USAGE = "node bench/guests-cold.ts [--workspaces 20] [--runtime isolate|extism] [--write]";
const given = readArguments(USAGE, {
  workspaces: { type: "string", default: "20" },
  runtime: { type: "string", default: "isolate" },
  write: { type: "boolean", default: false },
  help: { type: "boolean" },
});
const COUNT = Number(given.workspaces);
/** So many are enough to tell what a start costs that nobody prepared. */
const WITHOUT_SPARE = Math.min(COUNT, 20);
const GUEST = given.runtime === "extism" ? "path-guard" : "ts-hello";
const ENGINE = given.runtime === "extism" ? "wasm" : "isolate";
const MIB = 1 << 20;
const UPLOADS = 5;
/** How long a cordon has been idle when its memory is looked at. */
const IDLE_MS = 3000;

interface Cordon {
  readonly pid: number | null;
  readonly engine: string;
  readonly workspace: string | null;
}

async function cordonsOf(gateway: Gateway): Promise<Cordon[]> {
  return ((await send(`${gateway.statusUrl}/status`)).json() as { cordons: Cordon[] }).cordons;
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `cold-${i}`);
}

/** A gateway whose workspaces have a plugin each that was never called. */
async function prepared(workspaces: readonly string[], spares: number, upstream: string): Promise<Gateway> {
  const config = (tenants: object[]) => ({ _format_version: "3.0", workspaces: tenants });
  const gateway = await startGateway({
    config: config(workspaces.map((name) => ({ name }))),
    settings: {
      data_threads: "1",
      unfenced_uploads: workspaces.join(","),
      cordons_spare: String(spares),
      egress_allow: "127.0.0.0/8",
    },
  });
  // A call that failed must not be passed over.
  const bytes = await packExample(GUEST, { manifest: { fail: "closed" } });
  for (const name of workspaces) await publishAnyway(gateway, bytes, name);
  await gateway.reload(
    config(
      workspaces.map((name) => {
        const hosts = [`${name}.test`];
        const routes = [{ name, hosts, paths: ["/"], plugins: [{ name: `${GUEST}@1.0.0` }] }];
        return { name, hosts, services: [{ name: "origin", url: upstream, routes }] };
      }),
    ),
  );
  return gateway;
}

/** Answers that were none. */
const failed: string[] = [];

/** On a machine that is busy with other things the trial start of an upload may take longer than it may. */
async function publishAnyway(gateway: Gateway, bytes: Uint8Array, workspace: string): Promise<void> {
  for (let attempt = 1; ; attempt++)
    try {
      return await publish(gateway, bytes, workspace);
    } catch (error) {
      if (attempt === UPLOADS) throw error;
    }
}

async function firstAnswerMs(gateway: Gateway, workspace: string): Promise<number> {
  const started = performance.now();
  const { status, body } = await send(`${gateway.url}/`, { headers: { host: `${workspace}.test` } });
  const ms = performance.now() - started;
  if (status !== 200) failed.push(`${workspace}: ${status} ${body}`);
  return ms;
}

/** Whoever waits for it: nobody, it is only there. */
async function spareReady(gateway: Gateway): Promise<void> {
  const isReady = ({ workspace, engine, pid }: Cordon) =>
    workspace === null && engine === ENGINE && pid !== null;
  while (!(await cordonsOf(gateway)).some(isReady)) await delay(20);
}

/** Bytes that only this process has, and its share of what it shares. */
function memoryOf(pid: number): { own: number; proportional: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1024;
  return { own: field("Private_Clean") + field("Private_Dirty"), proportional: field("Pss") };
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] as number;
}

function row(what: string, values: readonly number[], unit: string): string {
  const figures = [0.5, 0.95, 1].map((part) => quantile(values, part).toFixed(1));
  return `| ${what} | ${values.length} | ${figures.join(" | ")} | ${unit} |`;
}

await using origin = await startOrigin();
const lines = ["| | count | median | p95 | most | |", "| --- | --: | --: | --: | --: | --- |"];
{
  await using gateway = await prepared(names(WITHOUT_SPARE), 0, origin.url);
  const times: number[] = [];
  for (const name of names(WITHOUT_SPARE)) times.push(await firstAnswerMs(gateway, name));
  lines.push(row("first answer, no spare", times, "ms"));
}
{
  await using gateway = await prepared(names(COUNT), 1, origin.url);
  const first: number[] = [];
  const second: number[] = [];
  for (const name of names(COUNT)) {
    await spareReady(gateway);
    first.push(await firstAnswerMs(gateway, name));
    second.push(await firstAnswerMs(gateway, name));
  }
  lines.push(row("first answer, a spare ready", first, "ms"), row("second answer", second, "ms"));
  await delay(IDLE_MS);
  const live = (await cordonsOf(gateway)).filter(({ workspace }) => workspace !== null);
  const memory = live.map(({ pid }) => memoryOf(pid as number));
  lines.push(
    row(
      "private memory of an idle cordon",
      memory.map(({ own }) => own / MIB),
      "MiB",
    ),
    row(
      "proportional share of memory",
      memory.map(({ proportional }) => proportional / MIB),
      "MiB",
    ),
  );
  const again = await Promise.all(names(COUNT).map((name) => firstAnswerMs(gateway, name)));
  lines.push(row(`all ${COUNT} asked at once`, again, "ms"));
  const said = failed.length === 0 ? "none failed" : `failed were ${failed.length}: ${failed[0]}`;
  lines.push("", `${live.length} of ${COUNT} workspaces had a live cordon; of all requests ${said}.`);
  for (const { msg, reason, kind } of gateway.logs.filter((line) => line.level === "warn").slice(0, 5))
    process.stderr.write(`${msg}: ${kind} ${reason}\n`);
}
const { cpu, cores, versions } = machine();
const head = `# Workspaces nobody has called, ${given.runtime} guests, commit ${commit()}`;
const text = `${head}\n\n${cpu}, ${cores} cores, node ${versions.node}.\n\n${lines.join("\n")}\n`;
process.stdout.write(text);
if (given.write) writeFileSync(join(import.meta.dirname, "results", "guests-cold.md"), text);
process.exit();
