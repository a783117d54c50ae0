/**
 * Calls of good and bad guests without a pause through a real gateway, as many as one likes: traps, throws, timeouts,
 * spent fuel, guests that take their process along, and cordons that are killed from outside. What it leaves behind is
 * counted: memory of the gateway and of its cordons, descriptors, processes, files, and calls in the ledger.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { Agent, get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { packFiles, publish } from "../../gateway/packages.ts";
import { descendants, processEntry } from "../../gateway/processes.ts";
import { accessPlugin, bundleSource } from "../../sandbox/sandbox.ts";
import { assemble, TOLD_TO } from "../../sandbox/wasm/guests.ts";
import { send } from "../../support/client.ts";
import { type Gateway, startGateway } from "../../support/gateway.ts";

interface SoakGuest {
  readonly name: string;
  readonly runtime: "isolate" | "extism";
  /** What its access hook does: JavaScript, or WebAssembly that leaves an i32. */
  readonly code: string;
  /** Of a thousand calls. */
  readonly share: number;
  /** What its calls end with if nothing comes between; null if they are good. */
  readonly ends: string | null;
  readonly limits?: Readonly<Record<string, number>>;
  readonly instance?: "per-request";
  readonly workspace: "calm" | "wild";
}

const GOOD = 'ctx.request.headers.set("x-good", String(await host.kv.get("k")));';
const KV = "(drop (call $kv_get (call $alloc (i64.const 8))))";

/** Guests that keep killing their process have a workspace of their own: it is suspended now and then. */
const GUESTS: readonly SoakGuest[] = [
  { name: "js-good", runtime: "isolate", code: GOOD, share: 400, ends: null, workspace: "calm" },
  { name: "wasm-good", runtime: "extism", code: KV, share: 340, ends: null, workspace: "calm" },
  {
    ...{ name: "wasm-fresh", runtime: "extism", share: 100, ends: null, workspace: "calm" },
    ...{ code: "(drop (memory.grow (i32.const 4)))", instance: "per-request" },
  },
  {
    ...{ name: "js-throws", runtime: "isolate", share: 60, ends: "throw", workspace: "calm" },
    code: 'throw new Error("on purpose");',
  },
  {
    name: "wasm-traps",
    runtime: "extism",
    code: "(unreachable)",
    share: 60,
    ends: "trap",
    workspace: "calm",
  },
  {
    ...{ name: "wasm-spends", runtime: "extism", share: 20, ends: "fuel", workspace: "calm" },
    ...{ code: "(loop $on (br $on))", limits: { fuel: 100_000 } },
  },
  {
    ...{ name: "js-loops", runtime: "isolate", share: 10, ends: "timeout", workspace: "calm" },
    ...{ code: "for (;;);", limits: { cpu_ms: 2 } },
  },
  {
    ...{ name: "js-fills", runtime: "isolate", share: 5, ends: "memory", workspace: "wild" },
    code: "const all = []; for (;;) all.push(new Array(1e5).fill(all.length));",
  },
  {
    ...{ name: "js-hangs", runtime: "isolate", share: 5, ends: "deadline", workspace: "wild" },
    ...{ code: '"x".padEnd(2 ** 29 - 30).split("");', limits: { wall_ms: 20 } },
  },
];
const SHARES = GUESTS.reduce((sum, { share }) => sum + share, 0);
/** What may come between: a cordon that is killed, a plugin that is suspended, a machine that is busy. */
const LOST = new Set(["crashed", "suspended", "unavailable", "deadline", "timeout", "memory", "throw"]);

export interface SoakOptions {
  readonly calls: number;
  readonly clients: number;
  /** A cordon is killed each time that so many calls are over. */
  readonly killEvery: number;
}

export interface Size {
  /** Calls that are over. */
  readonly at: number;
  readonly gatewayBytes: number;
  /** Of a cordon on average, what it shares with others left out. */
  readonly cordonBytes: number;
  readonly cordons: number;
}

export interface SoakReport {
  readonly sizes: readonly Size[];
  readonly descriptors: { readonly before: number; readonly after: number };
  /** Files under the gateway's temporary directory that were not there before, but for what it caches. */
  readonly files: readonly string[];
  readonly zombies: number;
  /** Processes of the gateway that outlive it. */
  readonly orphans: number;
  readonly kills: number;
  readonly lostCordons: number;
  /** What does not add up, in words. */
  readonly faults: readonly string[];
  readonly failures: Readonly<Record<string, number>>;
  readonly seconds: number;
}

/** Runs the calls, looks every second, and ends the gateway. */
export async function soak({ calls, clients, killEvery }: SoakOptions): Promise<SoakReport> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-soak-"));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  try {
    const config = { _format_version: "3.0", workspaces: [{ name: "calm" }, { name: "wild" }] };
    await using gateway = await startGateway({
      config,
      settings: {
        data_threads: "2",
        unfenced_uploads: "calm,wild",
        max_requests_per_connection: "0",
        // Clients that never stop use up any budget.
        plugin_limits: "cpu_ms_per_second=0",
      },
    });
    return await new Soak(gateway, folder, calls, clients, killEvery).run();
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Statuses of a plugin's requests. */
type Seen = Map<number, number>;

class Soak {
  readonly #gateway: Gateway;
  readonly #folder: string;
  readonly #calls: number;
  readonly #clients: number;
  readonly #killEvery: number;
  readonly #seen = new Map<string, Seen>();
  readonly #sizes: Size[] = [];
  readonly #faults: string[] = [];
  #over = 0;
  #kills = 0;

  constructor(gateway: Gateway, folder: string, calls: number, clients: number, killEvery: number) {
    this.#gateway = gateway;
    this.#folder = folder;
    this.#calls = calls;
    this.#clients = clients;
    this.#killEvery = killEvery;
  }

  async run(): Promise<SoakReport> {
    const gateway = this.#gateway;
    for (const guest of GUESTS) await publish(gateway, await packed(guest), guest.workspace);
    await gateway.reload(configuration());
    // Every guest once, so that what is made at a first call is there.
    for (const guest of GUESTS) await this.#ask(guest);
    await this.#rest();
    const descriptors = descriptorsOf(gateway.pid);
    const files = new Set(filesOf(this.#folder));
    const began = performance.now();
    let done = false;
    const watching = (async () => {
      while (!done) {
        await this.#look();
        await delay(1000);
      }
    })();
    await this.#load();
    done = true;
    await watching;
    await this.#rest();
    const seconds = (performance.now() - began) / 1000;
    const { lost_cordons: lostCordons } = await this.#status();
    const failures = await this.#reconcile();
    const family = descendants(gateway.pid);
    const after = descriptorsOf(gateway.pid);
    const left = filesOf(this.#folder).filter((file) => !files.has(file) && !/\/compiled\//.test(file));
    await gateway.stop();
    return {
      sizes: this.#sizes,
      descriptors: { before: descriptors, after },
      files: left,
      zombies: family.filter(({ state }) => state === "Z").length,
      orphans: family.filter(({ pid, startedAt }) => processEntry(pid)?.startedAt === startedAt).length,
      kills: this.#kills,
      lostCordons,
      faults: this.#faults,
      failures,
      seconds,
    };
  }

  async #load(): Promise<void> {
    let begun = 0;
    const client = async (agent: Agent) => {
      // A step that meets all shares: neighbours in time are different guests.
      while (begun < this.#calls) {
        const guest = guestOf((begun++ * 617) % SHARES);
        await this.#ask(guest, agent);
        if (++this.#over % this.#killEvery === 0) await this.#kill();
      }
      agent.destroy();
    };
    const agents = Array.from({ length: this.#clients }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    await Promise.all(agents.map(client));
  }

  async #ask(guest: SoakGuest, agent?: Agent): Promise<void> {
    const { status, body } = await fetched(`${this.#gateway.url}/${guest.name}`, guest.workspace, agent);
    const statuses = this.#seen.get(guest.name) ?? new Map<number, number>();
    this.#seen.set(guest.name, statuses);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    const sound = status === 200 ? body === '{"message":"served"}' : /"request_id":"[0-9a-f]{32}"/.test(body);
    if (!sound && this.#faults.length < 20)
      this.#faults.push(`${guest.name} was answered ${status} ${body.slice(0, 200)}`);
  }

  async #kill(): Promise<void> {
    const { cordons } = await this.#status();
    const running = cordons.filter(({ pid, workspace }) => pid !== null && workspace !== null);
    const victim = running[this.#kills % Math.max(1, running.length)];
    if (victim === undefined) return;
    try {
      process.kill(victim.pid as number, "SIGKILL");
      this.#kills++;
    } catch (error) {
      // It ended by itself.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  async #status(): Promise<Status> {
    return (await send(`${this.#gateway.statusUrl}/status`)).json() as Status;
  }

  async #look(): Promise<void> {
    const { cordons } = await this.#status();
    this.#sizes.push({
      at: this.#over,
      gatewayBytes: residentOf(this.#gateway.pid),
      cordonBytes: cordons.reduce((sum, { ownBytes }) => sum + ownBytes, 0) / Math.max(1, cordons.length),
      cordons: cordons.length,
    });
  }

  /** Until the gateway holds nothing that somebody asked for. */
  async #rest(): Promise<void> {
    for (;;) {
      const { cordons } = await this.#status();
      if (cordons.every(({ pid }) => pid !== null)) break;
      await delay(50);
    }
    // Ledgers are told once a second, and connections that were kept end when their clients do.
    await delay(2500);
  }

  /** What clients saw is what the ledger says, and the metrics say the same. */
  async #reconcile(): Promise<Record<string, number>> {
    const sums: Record<string, number> = {};
    const { body } = await send(`${this.#gateway.statusUrl}/metrics`);
    for (const workspace of ["calm", "wild"]) {
      const url = `${this.#gateway.adminUrl}/${workspace}/plugin-usage`;
      const { data } = (await send(url)).json() as { data: Row[] };
      for (const guest of GUESTS.filter((one) => one.workspace === workspace)) {
        const row = data.find(({ plugin }) => plugin === guest.name);
        const seen = [...(this.#seen.get(guest.name) ?? [])];
        const asked = seen.reduce((sum, [, count]) => sum + count, 0);
        const failed = seen.reduce((sum, [status, count]) => sum + (status === 200 ? 0 : count), 0);
        const of = `of ${guest.name}`;
        this.#same(`calls ${of} in the ledger`, row?.calls, asked);
        this.#same(`failures ${of} in the ledger`, row?.failed, failed);
        const kinds = Object.entries(row?.failures ?? {});
        this.#same(
          `failures ${of} by kind`,
          kinds.reduce((sum, [, count]) => sum + count, 0),
          failed,
        );
        this.#same(`calls ${of} in the metrics`, metric(body, "calls_total", guest.name), asked);
        this.#same(`failures ${of} in the metrics`, metric(body, "failures_total", guest.name), failed);
        for (const [kind, count] of kinds) {
          sums[kind] = (sums[kind] ?? 0) + count;
          if (kind !== guest.ends && !LOST.has(kind))
            this.#faults.push(`${count} calls ${of} failed by ${kind}`);
        }
      }
    }
    return sums;
  }

  #same(what: string, found: number | undefined, expected: number): void {
    if (found !== expected) this.#faults.push(`${what}: ${found}, and clients saw ${expected}`);
  }
}

interface Status {
  readonly cordons: readonly { pid: number | null; workspace: string | null; ownBytes: number }[];
  readonly lost_cordons: number;
}

interface Row {
  readonly plugin: string;
  readonly calls: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
}

function guestOf(turn: number): SoakGuest {
  let left = turn;
  for (const guest of GUESTS) {
    left -= guest.share;
    if (left < 0) return guest;
  }
  return GUESTS[0] as SoakGuest;
}

function configuration(): Record<string, unknown> {
  const workspace = (name: string) => ({
    name,
    hosts: [`${name}.test`],
    services: [
      {
        name: "nowhere",
        url: "http://127.0.0.1:1",
        routes: GUESTS.filter((guest) => guest.workspace === name).map((guest) => ({
          name: guest.name,
          hosts: [`${name}.test`],
          paths: [`/${guest.name}`],
          plugins: [
            { name: `${guest.name}@1.0.0` },
            { name: "request-termination", config: { status_code: 200, message: "served" } },
          ],
        })),
      },
    ],
  });
  return { _format_version: "3.0", workspaces: [workspace("calm"), workspace("wild")] };
}

async function packed({ name, runtime, code, limits, instance }: SoakGuest): Promise<Uint8Array> {
  const entry = runtime === "isolate" ? "plugin.js" : "plugin.wasm";
  const manifest = {
    ...{ manifest: 1, name, version: "1.0.0", runtime, entry, phases: ["access"], priority: 900 },
    ...{ grants: { kv_bytes: 1024 }, limits, instance },
  };
  if (runtime === "isolate") return packFiles(manifest, entry, await bundleSource(accessPlugin(code)));
  const text = `(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))
    ${TOLD_TO.imports} (memory 1) (func (export "access") (result i32) ${code} (i32.const 0)))`;
  return packFiles(manifest, entry, assemble(text));
}

function fetched(url: string, workspace: string, agent?: Agent): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const headers = { host: `${workspace}.test` };
  get(
    url,
    { headers, ...(agent === undefined ? { agent: false } : { agent }) },
    (answer: IncomingMessage) => {
      let body = "";
      answer.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      answer.on("end", () => resolve({ status: answer.statusCode as number, body }));
      answer.on("error", reject);
    },
  ).on("error", reject);
  return promise;
}

function metric(text: string, name: string, plugin: string): number {
  const lines = text.matchAll(
    new RegExp(`^gatehouse_plugin_${name}\\{.*plugin="${plugin}".*\\} (\\S+)$`, "gm"),
  );
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}

function residentOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return Number(kib) * 1024;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" });
}
