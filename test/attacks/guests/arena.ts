/**
 * A gateway in which every hostile guest has a workspace of its own, and a neighbour whose clients never stop.
 * A guest attacks when the request says so, with `x-attack: ~` in it, and stamps the request otherwise: the
 * same plugin makes the good call afterwards.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Load } from "../../gateway/load.ts";
import { exampleGuest, packExample, packFiles, publish } from "../../gateway/packages.ts";
import { processEntry } from "../../gateway/processes.ts";
import { accessPlugin, bundleGuest, bundleSource } from "../../sandbox/sandbox.ts";
import { assemble, IMPORTS, STORE, TOLD_TO } from "../../sandbox/wasm/guests.ts";
import { type Answer, send } from "../../support/client.ts";
import { type Gateway, type LogLine, startGateway } from "../../support/gateway.ts";
import { type Origin, startOrigin } from "../../support/origin.ts";
import type { Attack } from "./attacks.ts";

/** The marker is in no other part of a guest's input. */
const ATTACK = { "x-attack": "~" };
const NEIGHBOUR = "neighbour";
const NEIGHBOUR_CLIENTS = 2;
/** Clients that never stop use up any budget: what the neighbour is refused then is no attacker's doing. */
const UNBOUNDED = { plugin_limits: { cpu_ms_per_second: 0 } };
/** For guests that are to get an answer and find nothing in it: what they look for is not time. */
const PATIENT = { plugin_limits: { wall_ms: 10_000, cpu_ms: 1000, cpu_ms_per_second: 0 } };
const SAMPLE_MS = 20;

export interface Outcome {
  /** One for each time that the guest was told to attack. */
  readonly shots: readonly Shot[];
  /** Failures that the gateway has counted for the plugin meanwhile, by kind. */
  readonly failures: Readonly<Record<string, number>>;
  /** Lines of the log about the plugin's failures. */
  readonly lines: readonly LogLine[];
  /** The same plugin's next good call. */
  readonly next: Answer;
  /** Requests with the mark of an attack that reached the upstream. */
  readonly reached: number;
  /** Whether the gateway's process is still the one that was started. */
  readonly alive: boolean;
  readonly peakBytes: number;
  readonly neighbour: Neighbour;
}

export interface Shot {
  readonly answer: Answer;
  readonly ms: number;
}

/** What became of the neighbour's requests. */
export interface Neighbour {
  readonly latencies: readonly number[];
  readonly bad: readonly string[];
}

export class Arena implements AsyncDisposable {
  readonly gateway: Gateway;
  readonly #origin: Origin;
  readonly #load: Load;
  readonly #held: AsyncDisposableStack;
  readonly #pid: number;

  private constructor(gateway: Gateway, origin: Origin, load: Load, held: AsyncDisposableStack) {
    this.gateway = gateway;
    this.#origin = origin;
    this.#load = load;
    this.#held = held;
    this.#pid = gateway.pid;
  }

  /** Attacks that must not get past the upload stay outside. */
  static async open(all: readonly Attack[]): Promise<Arena> {
    const attacks = all.filter(({ kinds }) => kinds !== "upload");
    await using held = new AsyncDisposableStack();
    const origin = held.use(await startOrigin());
    const names = attacks.map(workspaceOf);
    const settings = { data_threads: "2", unfenced_uploads: [...names, NEIGHBOUR].join(",") };
    const empty = names.map((name) => ({ name }));
    const gateway = held.use(
      await startGateway({
        config: { _format_version: "3.0", workspaces: [...empty, { name: NEIGHBOUR }] },
        settings,
      }),
    );
    await exampleGuest("ts-hello");
    await publish(gateway, await packExample("ts-hello"), NEIGHBOUR);
    for (const attack of attacks) await publish(gateway, await packed(attack), workspaceOf(attack));
    const tenants = attacks.map((attack) => ({
      ...tenant(origin, workspaceOf(attack), { name: "hostile@1.0.0" }),
      ...(attack.kinds.length === 0 && attack.aim !== "CPU" ? PATIENT : {}),
    }));
    await gateway.reload({
      _format_version: "3.0",
      workspaces: [...tenants, { ...tenant(origin, NEIGHBOUR, { name: "ts-hello@1.0.0" }), ...UNBOUNDED }],
    });
    const load = held.use(
      new Load({
        url: `${gateway.url}/`,
        clients: NEIGHBOUR_CLIENTS,
        headers: { host: `${NEIGHBOUR}.test` },
      }),
    );
    await load.proceed(20);
    return new Arena(gateway, origin, load, held.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#held.disposeAsync();
  }

  /** The neighbour's requests while nothing else happens. */
  async quiet(requests: number): Promise<Neighbour> {
    const from = this.#load.begun;
    await this.#load.proceed(requests);
    return this.#neighbour(from, 0);
  }

  /** Has the guest attack so many times, one after the other if its row says nothing else, and then behave. */
  async run(attack: Attack, times: number): Promise<Outcome> {
    const workspace = workspaceOf(attack);
    const url = `${this.gateway.url}/`;
    const ask = (headers: object) => send(url, { headers: { host: `${workspace}.test`, ...headers } });
    const before = await this.#failures(workspace);
    const [begun, errors, received] = [
      this.#load.begun,
      this.#load.errors.length,
      this.#origin.requests.length,
    ];
    const memory = new MemoryWatch(this.gateway, workspace);
    const shots: Shot[] = [];
    const flood = attack.flood ?? { times, atOnce: 1 };
    let asked = 0;
    const client = async () => {
      while (asked++ < flood.times) {
        const started = performance.now();
        const answer = await ask(ATTACK);
        shots.push({ answer, ms: performance.now() - started });
      }
    };
    await Promise.all(Array.from({ length: flood.atOnce }, client));
    const next = await ask({});
    await this.#load.proceed(NEIGHBOUR_CLIENTS);
    const peakBytes = await memory.stop();
    const after = await this.#failures(workspace);
    for (const [kind, count] of Object.entries(before)) after[kind] = (after[kind] ?? 0) - count;
    return {
      shots,
      failures: Object.fromEntries(Object.entries(after).filter(([, count]) => count > 0)),
      lines: this.gateway.logs.filter(
        (line) => line.msg === "a plugin failed" && line.workspace === workspace,
      ),
      next,
      reached: this.#origin.requests
        .slice(received)
        .filter(({ headers }) => headers.some(([name]) => name === "x-attack")).length,
      alive: this.gateway.pid === this.#pid && processEntry(this.#pid) !== null,
      peakBytes,
      neighbour: this.#neighbour(begun, errors),
    };
  }

  #neighbour(from: number, errorsBefore: number): Neighbour {
    const mine = this.#load.outcomes.filter(({ begun }) => begun >= from);
    return {
      latencies: mine.map(({ ms }) => ms),
      bad: [
        ...this.#load.errors.slice(errorsBefore).map((error) => error.message),
        ...mine
          .filter(({ status, headers }) => status !== 200 || headers["x-hello"] !== "Hello, world")
          .map(({ status, body }) => `${status} ${body}`),
      ],
    };
  }

  /** How often the workspace's plugin has failed, by kind, as /metrics tells. */
  async #failures(workspace: string): Promise<Record<string, number>> {
    const { body } = await send(`${this.gateway.statusUrl}/metrics`);
    const found: Record<string, number> = {};
    for (const [, labels = "", value] of body.matchAll(/^gatehouse_plugin_failures_total\{(.*)\} (\d+)$/gm)) {
      const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1];
      const kind = label("kind");
      if (kind !== undefined && label("workspace") === workspace)
        found[kind] = (found[kind] ?? 0) + Number(value);
    }
    return found;
  }
}

/** The highest resident memory of a workspace's cordons, as the Status API tells while it goes on answering. */
class MemoryWatch {
  readonly #done: Promise<void>;
  #peak = 0;
  #stopped = false;

  constructor(gateway: Gateway, workspace: string) {
    this.#done = this.#watch(gateway, workspace);
  }

  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#done;
    return this.#peak;
  }

  async #watch(gateway: Gateway, workspace: string): Promise<void> {
    do {
      const { cordons } = (await send(`${gateway.statusUrl}/status`)).json() as {
        cordons: { workspace: string | null; rssBytes: number }[];
      };
      for (const cordon of cordons)
        if (cordon.workspace === workspace) this.#peak = Math.max(this.#peak, cordon.rssBytes);
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
    } while (!this.#stopped);
  }
}

export function workspaceOf({ runtime, name }: Attack): string {
  return `${runtime}-${name}`;
}

function tenant(origin: Origin, name: string, plugin: object): object {
  const hosts = [`${name}.test`];
  const routes = [{ name, hosts, paths: ["/"], plugins: [plugin] }];
  return { name, hosts, services: [{ name: "origin", url: origin.url, routes }] };
}

/** The package of a hostile guest: `hostile@1.0.0`. */
export async function packed({
  name,
  runtime,
  kinds,
  answer,
  instance,
  limits,
  grants,
}: Attack): Promise<Uint8Array> {
  const isolate = runtime === "isolate";
  const entry = isolate ? "plugin.js" : "plugin.wasm";
  const manifest = {
    ...{
      manifest: 1,
      name: "hostile",
      version: "1.0.0",
      runtime,
      entry,
      phases: ["access"],
      instance,
      limits,
    },
    grants: { request_headers: ["x-attack"], log: true, ...grants },
  };
  const artifact = isolate
    ? await isolateGuest(join(import.meta.dirname, "isolate", `${name}.js`), kinds === "upload")
    : assemble(answer === undefined ? await fromFile(name) : answering(answer));
  return packFiles(manifest, entry, artifact);
}

/** One that attacks as soon as it is loaded stays as it is. */
function isolateGuest(file: string, asIs: boolean): Promise<Uint8Array> {
  return asIs ? bundleGuest(file) : bundleSource(gated(file));
}

/** A plugin that attacks only when it is told to. The file's default export is `(ctx, host) => ...`. */
function gated(file: string): string {
  return accessPlugin(
    `if (ctx.request.headers.get("x-attack") === "~") return attack(ctx, host);
     ctx.request.headers.set("x-good", "yes");`,
    { before: `import attack from ${JSON.stringify(file)};` },
  );
}

async function fromFile(name: string): Promise<string> {
  const attack = await readFile(join(import.meta.dirname, "wasm", `${name}.wat`), "utf8");
  return wasmGuest("", attack);
}

function answering(answer: string): string {
  const { length } = Buffer.from(answer);
  return wasmGuest(
    `(data (i32.const ${ANSWER_AT}) "${escaped(answer)}")`,
    `(func $attack (result i32) ${setOutput(ANSWER_AT, length)} (i32.const 0))`,
    Math.ceil((ANSWER_AT + length + 1) / 65_536),
  );
}

const GOOD = '{"request":{"headers":[["set","x-good","yes"]]}}';
const ANSWER_AT = 1024;
const IMPORT_LINE = /^\(import .*$/gm;

/** A module that calls `$attack` if its input has a `~` in it, and answers `GOOD` otherwise. */
function wasmGuest(data: string, attack: string, pages = 1): string {
  // WebAssembly text wants imports before everything else.
  const imports = attack.match(IMPORT_LINE) ?? [];
  return `(module ${IMPORTS} ${TOLD_TO.imports} ${imports.join("\n")}
    (memory ${pages}) (data (i32.const 0) "${escaped(GOOD)}") ${data} ${STORE} ${TOLD_TO.code}
    ${attack.replace(IMPORT_LINE, "")}
    (func (export "access") (result i32)
      (if (call $told_to) (then (return (call $attack))))
      ${setOutput(0, GOOD.length)} (i32.const 0)))`;
}

function setOutput(from: number, length: number): string {
  return `(call $output_set (call $store (i32.const ${from}) (i32.const ${length})) (i64.const ${length}))`;
}

function escaped(text: string): string {
  return [...Buffer.from(text)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
}
