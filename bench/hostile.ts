/**
 * 32 workspaces attack at once, each with a guest of its own, while a neighbour is called at a constant rate of
 * half of what the gateway can do: the neighbour's latency before and meanwhile, and what became of the attacks.
 * Attackers keep a pace: what is asked is what guests can do to a neighbour, and not what requests without end can.
 * Between the two the same clients call the same guests, which do no harm then: what that costs the neighbour is what
 * sharing the cores costs, on the load's side too, and not the attack.
 *
 *     node bench/hostile.ts [--workspaces 32] [--seconds 10] [--rounds 3] [--rate R] [--write]
 *
 * The gateway and its cordons share core 0; the load and the upstream have core 1.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packed, workspaceOf } from "../test/attacks/guests/arena.ts";
import { ATTACKS, type Attack } from "../test/attacks/guests/attacks.ts";
import { readArguments } from "./arguments.ts";
import { startGateway } from "./gateway.ts";
import { openLoop } from "./load/constant-rate.ts";
import { closedLoop } from "./load/wrk.ts";
import { moveTo, sessionFirst } from "./processes.ts";
import { commit, machine } from "./tools.ts";
import { openSite } from "./variants.ts";

const USAGE = "node bench/hostile.ts [--workspaces 32] [--seconds 10] [--rounds 3] [--rate R] [--write]";
const given = readArguments(USAGE, {
  workspaces: { type: "string", default: "32" },
  seconds: { type: "string", default: "10" },
  rounds: { type: "string", default: "3" },
  rate: { type: "string", default: "0" },
  write: { type: "boolean", default: false },
  help: { type: "boolean" },
});
const COUNT = Number(given.workspaces);
const SECONDS = Number(given.seconds);
const ROUNDS = Number(given.rounds);
const CONNECTIONS = 64;
/** Between two requests of one attacker's client: 32 workspaces with two clients each make 640 requests a second at most. */
const PACE_MS = 100;
/** The ones that hurt most come first: time and memory, then everything else. */
const WORST: readonly Attack["aim"][] = ["CPU", "memory", "waiting", "recursion", "throwing", "host calls"];

const attacks = ATTACKS.filter(({ kinds }) => kinds !== "upload")
  .toSorted((a, b) => rank(a) - rank(b))
  .slice(0, COUNT);

function rank({ aim }: Attack): number {
  const at = WORST.indexOf(aim);
  return at < 0 ? WORST.length : at;
}

type Manner = "harmless" | "attacked";

/** Calls one workspace's guest again and again, and counts what it is answered. */
class Caller {
  readonly answers = new Map<string, number>();
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 2 });
  readonly #clients: Promise<void>[];
  #stopped = false;

  constructor(port: number, host: string, manner: Manner) {
    const headers: Record<string, string> = manner === "attacked" ? { host, "x-attack": "~" } : { host };
    this.#clients = [0, 1].map(async () => {
      while (!this.#stopped) {
        const pace = sleep(PACE_MS);
        const answer = await this.#ask(port, headers);
        this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1);
        await pace;
      }
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  #ask(port: number, headers: Record<string, string>): Promise<string> {
    return new Promise((resolve) => {
      const asked = request({ host: "127.0.0.1", port, headers, agent: this.#agent }, (answer) => {
        answer.resume().once("close", () => {
          // Whoever is told to come back later does not wait longer than anybody else.
          resolve(`${answer.statusCode}`);
        });
      });
      asked.once("error", (error) => resolve(error.message));
      asked.end();
    });
  }
}

const folder = mkdtempSync(join(tmpdir(), "gatehouse-bench-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const { site, close } = await openSite(folder);
moveTo(site.loadCore, process.pid);

const names = attacks.map(workspaceOf);
const upstream = `http://127.0.0.1:${site.upstreamPort}`;
const neighbour = { name: "neighbour", url: upstream, routes: [{ name: "neighbour", paths: ["/"] }] };
const config = (workspaces: object[]) =>
  JSON.stringify({ _format_version: "3.0", services: [neighbour], workspaces });
const gateway = await startGateway(site, {
  document: config(names.map((name) => ({ name }))),
  env: { GATEHOUSE_UNFENCED_UPLOADS: names.join(","), GATEHOUSE_EGRESS_ALLOW: "127.0.0.0/8" },
});
// What else runs on this machine is neither an attack nor quiet.
sessionFirst(gateway.process.pid);
const lines: string[] = [];
try {
  const admin = `http://127.0.0.1:${gateway.ports.admin}`;
  for (const attack of attacks) {
    const uploaded = await fetch(`${admin}/${workspaceOf(attack)}/plugin-packages`, {
      method: "POST",
      headers: { "content-type": "application/gzip" },
      body: await packed(attack),
    });
    if (!uploaded.ok)
      throw new Error(`${attack.name} was not taken: ${uploaded.status} ${await uploaded.text()}`);
    await uploaded.arrayBuffer();
  }
  const tenants = names.map((name) => {
    const hosts = [`${name}.test`];
    const routes = [{ name, hosts, paths: ["/"], plugins: [{ name: "hostile@1.0.0" }] }];
    return { name, hosts, services: [{ name: "origin", url: upstream, routes }] };
  });
  const changed = await fetch(`${admin}/config`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: config(tenants),
  });
  if (!changed.ok)
    throw new Error(`the configuration was refused: ${changed.status} ${await changed.text()}`);
  await changed.arrayBuffer();

  const target = { port: gateway.port, tls: false, path: "/small", headers: {}, bodyBytes: 0, routes: 0 };
  await closedLoop(target, CONNECTIONS, 4, site.loadCore);
  const capacity = await closedLoop(target, CONNECTIONS, 3, site.loadCore);
  const perSecond = Number(given.rate) || Math.floor(capacity.requests / capacity.seconds / 2);
  const load = () =>
    openLoop(
      { ...target, perSecond, connections: CONNECTIONS, warmSeconds: 1, seconds: SECONDS },
      site.loadCore,
      site.upstreamPid,
    );
  lines.push(
    `${attacks.length} hostile workspaces, ${perSecond} requests/s to the neighbour (half of its capacity), ${SECONDS} s each.`,
    "",
    "| round | when | p50 ms | p99 ms | p99.9 ms | errors | what guests' callers were answered |",
    "| --: | --- | --: | --: | --: | --- | --- |",
  );
  const ratios: number[] = [];
  const shared: number[] = [];
  const called = async (manner: Manner) => {
    const callers = names.map((name) => new Caller(gateway.port, `${name}.test`, manner));
    const run = await load();
    await Promise.all(callers.map((caller) => caller.stop()));
    const answers = new Map<string, number>();
    for (const caller of callers)
      for (const [answer, count] of caller.answers) answers.set(answer, (answers.get(answer) ?? 0) + count);
    return { run, answers: [...answers].map(([answer, count]) => `${count} × ${answer}`).join(", ") };
  };
  for (let round = 1; round <= ROUNDS; round++) {
    const quiet = await load();
    const harmless = await called("harmless");
    const attacked = await called("attacked");
    ratios.push(attacked.run.p999Us / quiet.p999Us);
    shared.push(harmless.run.p999Us / quiet.p999Us);
    const row = (when: string, run: typeof quiet, answers: string) =>
      `| ${round} | ${when} | ${ms(run.p50Us)} | ${ms(run.p99Us)} | ${ms(run.p999Us)} | ${run.errors.join("; ") || "none"} | ${answers} |`;
    lines.push(
      row("quiet", quiet, ""),
      row("harmless", harmless.run, harmless.answers),
      row("attacked", attacked.run, attacked.answers),
    );
    process.stderr.write(`${lines.slice(-3).join("\n")}\n`);
  }
  lines.push(
    "",
    `p99.9 attacked ÷ quiet, median of ${ROUNDS} rounds: ${median(ratios)} (bar: 1.5). Harmless ÷ quiet: ${median(shared)}.`,
  );
} finally {
  await gateway.process.stop();
  await close();
}
const { cpu, cores, versions } = machine();
const text = `# A neighbour among hostile workspaces, commit ${commit()}\n\n${cpu}, ${cores} cores, node ${versions.node}.\n\n${lines.join("\n")}\n`;
process.stdout.write(text);
if (given.write) writeFileSync(join(import.meta.dirname, "results", "hostile.md"), text);
process.exit();

function median(of: readonly number[]): string {
  return (of.toSorted((a, b) => a - b)[of.length >> 1] as number).toFixed(2);
}

function ms(us: number): string {
  return (us / 1000).toFixed(2);
}
