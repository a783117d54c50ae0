/**
 * What one hook call of an isolate guest costs, part by part, without the socket between: CPU time of this
 * process, medians over rounds. `node bench/crossing.ts [--headers 10,60] [--rounds 9]`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { createIsolateEngine, readWritten } from "../src/sandbox/cordon/isolate-engine.ts";
import type { GuestCall, GuestConfig } from "../src/sandbox/engine.ts";
import { callFrame, readTurn, turnFrame } from "../src/sandbox/frames.ts";
import { WORKSPACE_LIMITS } from "../src/sandbox/limits.ts";
import { prepareRoom } from "../src/sandbox/room.ts";
import { FrameSplitter, type Reader } from "../src/sandbox/wire.ts";
import { readArguments } from "./arguments.ts";

const USAGE = `node bench/crossing.ts [--headers 10,60] [--rounds 9]`;
const { headers = "10,60", rounds = "9" } = readArguments(USAGE, {
  headers: { type: "string" },
  rounds: { type: "string" },
  help: { type: "boolean" },
});
const CALLS = 5000;
/** Length, id and type of a frame, and the instance's number. */
const FRAME_AND_INSTANCE_BYTES = 13;

const prefix = mkdtempSync(join(tmpdir(), "gatehouse-crossing-"));
process.once("exit", () => rmSync(prefix, { recursive: true, force: true }));
const room = await prepareRoom(prefix, ["isolate"]);
const ivm = createRequire(import.meta.url)("isolated-vm");
const bootstrap = readFileSync(join(room.folder, "bootstrap.js"), "utf8");
const bundled = await build({
  entryPoints: [join(import.meta.dirname, "guest", "plugin.ts")],
  bundle: true,
  write: false,
  format: "esm",
  platform: "neutral",
});
const artifact = bundled.outputFiles[0]?.contents as Uint8Array;

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

const config: GuestConfig = {
  digest: "sha256:0",
  runtime: "isolate",
  phases: ["access"],
  instance: "resident",
  pluginId: "6f2f6c2e-0000-4000-8000-00000000000c",
  config: {},
  asks: [],
  limits: WORKSPACE_LIMITS,
};

for (const count of headers.split(",").map(Number)) {
  const engine = createIsolateEngine(ivm, bootstrap);
  engine.load("sha256:0", artifact);
  engine.configure(1, config);
  const call = callWith(count);
  const toCordon = Buffer.from(callFrame(1, 1, call), "latin1");
  const written = { now: call.now, text: toCordon.toString("latin1", FRAME_AND_INSTANCE_BYTES) };
  const turn = engine.start(1, 1, written);
  const fromCordon = Buffer.from(turnFrame(1, turn), "latin1");
  let payload: Reader | undefined;
  const reading = (bytes: Buffer, read: (reader: Reader) => unknown) => {
    const splitter = new FrameSplitter(1 << 25, (_id, _type, reader) => {
      read(reader);
      payload = reader;
    });
    return () => splitter.push(bytes);
  };
  let id = 2;
  const parts: Record<string, () => unknown> = {
    "callFrame (data thread)": () => callFrame(1, 1, call),
    "reading a call (cordon)": reading(toCordon, (payload) => [payload.u32(), readWritten(payload)]),
    "engine.start (cordon)": () => engine.start(id++, 1, written),
    "turnFrame (cordon)": () => turnFrame(1, turn),
    "readTurn (data thread)": reading(fromCordon, readTurn),
  };
  const times = new Map<string, number[]>();
  for (let round = 0; round < Number(rounds); round++)
    for (const [name, run] of Object.entries(parts)) {
      const before = process.threadCpuUsage();
      for (let i = 0; i < CALLS; i++) run();
      const { user, system } = process.threadCpuUsage(before);
      const list = times.get(name) ?? [];
      list.push((user + system) / CALLS);
      times.set(name, list);
    }
  process.stdout.write(
    `${count} request headers, ${toCordon.length} bytes to the cordon, ${fromCordon.length} back\n`,
  );
  let sum = 0;
  for (const [name, list] of times) {
    const median = list.sort((a, b) => a - b)[list.length >> 1] as number;
    sum += median;
    process.stdout.write(`  ${median.toFixed(2).padStart(6)} µs  ${name}\n`);
  }
  process.stdout.write(`  ${sum.toFixed(2).padStart(6)} µs  together\n`);
  if (payload === undefined) throw new Error("nothing was read");
}
