/**
 * What one hook call of a guest costs, part by part, without the socket between: CPU time of this thread, medians
 * over rounds. `node bench/crossing.ts [--runtimes isolate,extism] [--headers 10,60] [--rounds 9]`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createIsolateEngine, readWritten, type WrittenCall } from "../src/sandbox/cordon/isolate-engine.ts";
import { prepareRoom } from "../src/sandbox/fence/room.ts";
import { forgeArtifact } from "../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../src/sandbox/forge/limits.ts";
import { WORKSPACE_LIMITS } from "../src/sandbox/limits.ts";
import type { EngineTurn, GuestCall, GuestConfig, ShownCall } from "../src/sandbox/protocol/engine.ts";
import { callFrame, readShown, readTurn, turnFrame } from "../src/sandbox/protocol/frames.ts";
import { FrameSplitter, type Reader } from "../src/sandbox/protocol/wire.ts";
import { createWasmEngine } from "../src/sandbox/wasm/wasm-engine.ts";
import { buildGuest } from "../wasm-plugins/build.ts";
import { readArguments } from "./arguments.ts";

const USAGE = "node bench/crossing.ts [--runtimes isolate,extism] [--headers 10,60] [--rounds 9]";
const given = readArguments(USAGE, {
  runtimes: { type: "string", default: "isolate,extism" },
  headers: { type: "string", default: "10,60" },
  rounds: { type: "string", default: "9" },
  help: { type: "boolean" },
});
const CALLS = 5000;
const MAX_FRAME = 1 << 25;

const prefix = mkdtempSync(join(tmpdir(), "gatehouse-crossing-"));
process.once("exit", () => rmSync(prefix, { recursive: true, force: true }));
const GUESTS = join(import.meta.dirname, "guests");

/** An engine with one configured guest, and what calls it with the bytes of a frame. */
interface Bench {
  /** Makes of a call's bytes what the engine takes. */
  read(payload: Reader): unknown;
  start(call: number, request: unknown): EngineTurn;
}

function configFor(runtime: "isolate" | "extism", digest: string): GuestConfig {
  return {
    digest,
    runtime,
    phases: ["access"],
    instance: "resident",
    pluginId: "6f2f6c2e-0000-4000-8000-00000000000c",
    config: {},
    asks: [],
    limits: WORKSPACE_LIMITS,
  };
}

async function isolate(): Promise<Bench> {
  const room = await prepareRoom(prefix, ["isolate"]);
  const ivm = createRequire(import.meta.url)("isolated-vm");
  const engine = createIsolateEngine(ivm, readFileSync(join(room.folder, "bootstrap.js"), "utf8"));
  const { entry } = await buildGuest(join(GUESTS, "isolate"), join(prefix, "isolate"));
  engine.load("sha256:0", readFileSync(entry));
  engine.configure(1, configFor("isolate", "sha256:0"));
  return { read: readWritten, start: (call, request) => engine.start(call, 1, request as WrittenCall) };
}

async function extism(): Promise<Bench> {
  const engine = createWasmEngine();
  const { entry } = await buildGuest(join(GUESTS, "extism"), join(prefix, "extism"));
  const forged = await forgeArtifact(readFileSync(entry), "extism", ["access"], DEFAULT_FORGE_LIMITS);
  if (!forged.ok) throw new Error(forged.reasons.join("; "));
  engine.load(forged.digest, forged.emitted);
  engine.configure(1, configFor("extism", forged.digest));
  const start = (call: number, request: unknown) => {
    const turn = engine.start(call, 1, request as ShownCall);
    if (turn instanceof Promise) throw new Error("a guest without host calls has waited");
    return turn;
  };
  return { read: readShown, start };
}

function callWith(count: number): GuestCall {
  const fields: [string, string][] = [
    ["User-Agent", "wrk/4.1.0 (a client of the bench)"],
    ["X-Bench-Added", "yes"],
  ];
  for (let i = fields.length; i < count; i++)
    fields.push([`X-Field-${i}`, `value ${i} of an ordinary length`]);
  return {
    phase: "access",
    requestId: "0123456789abcdef0123456789abcdef",
    now: Date.now(),
    workspace: "default",
    request: {
      method: "GET",
      scheme: "http",
      host: "example.org",
      port: 80,
      path: "/small",
      upstreamPath: null,
      query: "",
      clientIp: "127.0.0.1",
      clientPort: 50_000,
      startedAt: Date.now(),
      uriCaptures: null,
      headers: fields,
      body: null,
    },
    response: null,
    chunk: null,
    route: { id: "6f2f6c2e-0000-4000-8000-00000000000a", name: "bench" },
    service: { id: "6f2f6c2e-0000-4000-8000-00000000000b", name: "bench", host: "127.0.0.1" },
    consumer: null,
    credential: null,
    vars: {},
    measures: { requestBytes: 0, responseBytes: 0, totalMs: -1, upstreamMs: -1, gatewayMs: -1 },
  };
}

for (const [runtime, open] of Object.entries({ isolate, extism })) {
  if (!given.runtimes.split(",").includes(runtime)) continue;
  const guest = await open();
  for (const count of given.headers.split(",").map(Number)) {
    const call = callWith(count);
    const toCordon = Buffer.from(callFrame(1, 1, call), "latin1");
    const [request] = frames(toCordon, (payload) => [payload.u32(), guest.read(payload)][1]);
    const turn = guest.start(1, request);
    const fromCordon = Buffer.from(turnFrame(1, turn), "latin1");
    const [told] = frames(fromCordon, readTurn);
    if (told?.kind !== "verdict") throw new Error(`the guest has failed: ${JSON.stringify(told)}`);
    let id = 2;
    report(
      `${runtime}, ${count} request headers, ${toCordon.length} bytes to the cordon, ${fromCordon.length} back`,
      {
        "callFrame (data thread)": () => callFrame(1, 1, call),
        "reading a call (cordon)": () => frames(toCordon, (payload) => [payload.u32(), guest.read(payload)]),
        "engine.start (cordon)": () => guest.start(id++, request),
        "turnFrame (cordon)": () => turnFrame(1, turn),
        "readTurn (data thread)": () => frames(fromCordon, readTurn),
      },
    );
  }
}

function frames<T>(bytes: Buffer, read: (payload: Reader) => T): T[] {
  const found: T[] = [];
  new FrameSplitter(MAX_FRAME, (_id, _type, payload) => found.push(read(payload))).push(bytes);
  return found;
}

function report(title: string, parts: Record<string, () => unknown>): void {
  const times = new Map<string, number[]>();
  for (let round = 0; round < Number(given.rounds); round++)
    for (const [name, run] of Object.entries(parts)) {
      const before = process.threadCpuUsage();
      for (let i = 0; i < CALLS; i++) run();
      const { user, system } = process.threadCpuUsage(before);
      const list = times.get(name) ?? [];
      list.push((user + system) / CALLS);
      times.set(name, list);
    }
  process.stdout.write(`${title}\n`);
  let sum = 0;
  for (const [name, list] of times) {
    const median = list.sort((a, b) => a - b)[list.length >> 1] as number;
    sum += median;
    process.stdout.write(`  ${median.toFixed(2).padStart(6)} µs  ${name}\n`);
  }
  process.stdout.write(`  ${sum.toFixed(2).padStart(6)} µs  together\n`);
}
