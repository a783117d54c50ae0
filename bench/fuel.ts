/**
 * What metering costs: the same module as its author built it and as the forge emits it, doing the same work. Loops
 * and recursion by themselves, and the example guests' hooks with Extism's kernel around them.
 *
 *     npm exec -- node bench/fuel.ts [--rounds 15] [--only WORD]
 *
 * A fresh process for each variant, the order reversed each round, CPU time of the thread per call in the best of 10
 * batches (what else the machine does only adds to it), medians of the rounds and the spread of their ratios. The bar is 1.3 for loops and hooks; recursion is shown beside it.
 */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import type { Phase } from "@gatehouse/sdk";
import { forgeArtifact } from "../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../src/sandbox/forge/limits.ts";
import { Kernel, newInstanceState, WAITS_FOR_NOTHING } from "../src/sandbox/wasm/kernel.ts";
import { assemble } from "../test/sandbox/wasm/guests.ts";
import { buildGuests } from "../wasm-plugins/build.ts";
import { readArguments, refuse } from "./arguments.ts";

const VARIANTS = ["as built", "metered"] as const;
type Variant = (typeof VARIANTS)[number];

/** V8 compiles a module twice, the second time while it runs. */
const WARM_UP_MS = 300;
/** A batch is long enough for the clock of CPU time, and short enough to be left alone now and then. */
const BATCH_MS = 30;
const BATCHES = 10;

interface Workload {
  name: string;
  /** Whether the bar is for it. */
  barred: boolean;
  module: () => Promise<Uint8Array>;
  phase: Phase;
  /** What a hook gets; null for plain exports. */
  input: unknown;
  config: Record<string, string>;
}

const plain = (name: string, text: string, barred = true): Workload => ({
  ...{ name, barred, phase: "access" as const, input: null, config: {} },
  module: async () => assemble(text),
});

function hook(name: string, phase: Phase, config: Record<string, unknown>, request: object): Workload {
  const texts = Object.entries(config).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  const base = { method: "POST", scheme: "https", host: "api.example", path: "/orders/17", query: "a=1" };
  return {
    name,
    barred: true,
    phase,
    config: Object.fromEntries(texts),
    input: {
      v: 1,
      phase,
      id: "4f1c",
      config,
      request: { ...base, client_ip: "192.0.2.1", ...request },
      vars: {},
    },
    module: async () => {
      const [guest] = await buildGuests([name]);
      return readFile(guest?.entry ?? "");
    },
  };
}

const HEADERS = Array.from({ length: 18 }, (_, i) => [`X-Header-${i}`, "value ".repeat(i % 5)]);
const TOKEN = Buffer.from(JSON.stringify({ sub: "ada", roles: ["a", "b"], exp: 1_900_000_000 })).toString(
  "base64url",
);

const WORKLOADS: readonly Workload[] = [
  plain(
    "sum of 200,000 numbers",
    `(module (func (export "access") (result i32) (local $i i32) (local $sum i32)
      (loop $more
        (local.set $sum (i32.add (local.get $sum) (i32.mul (local.get $i) (local.get $i))))
        (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200000))))
      (i32.and (local.get $sum) (i32.const 0))))`,
  ),
  plain(
    "scan of 196 KB for quotes and braces",
    `(module (memory 4) (func (export "access") (result i32) (local $i i32) (local $c i32) (local $depth i32)
      (loop $more
        (local.set $c (i32.load8_u (local.get $i)))
        (if (i32.eq (local.get $c) (i32.const 0x7b)) (then (local.set $depth (i32.add (local.get $depth) (i32.const 1))))
          (else (if (i32.eq (local.get $c) (i32.const 0x7d))
            (then (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))))))
        (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 196608))))
      (i32.and (local.get $depth) (i32.const 0))))`,
  ),
  plain(
    "fib(22) by recursion",
    `(module (func $fib (param $n i32) (result i32)
        (if (result i32) (i32.lt_s (local.get $n) (i32.const 2)) (then (local.get $n))
          (else (i32.add (call $fib (i32.sub (local.get $n) (i32.const 1))) (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
      (func (export "access") (result i32) (i32.and (call $fib (i32.const 22)) (i32.const 0))))`,
    false,
  ),
  hook("header-stamp", "access", { request_header: "X-Stamp", value: "yes" }, { headers: HEADERS }),
  hook("path-guard", "access", { deny: ["/admin", "/internal/"] }, { headers: HEADERS }),
  hook(
    "request-signature",
    "access",
    { secret: "a secret of both sides", prefix: "sha256=" },
    {
      headers: [...HEADERS, ["X-Signature-256", `sha256=${"ab".repeat(32)}`]],
      body: Buffer.alloc(16 * 1024, "body ").toString("base64"),
    },
  ),
  hook(
    "security-headers",
    "header_filter",
    { hsts_max_age: 60, frame_options: "DENY" },
    { headers: HEADERS },
  ),
  hook(
    "claims-to-headers",
    "access",
    { claims: { sub: "X-User", roles: "X-Roles" } },
    {
      headers: [...HEADERS, ["Authorization", `Bearer x.${TOKEN}.y`]],
    },
  ),
];

/** What this thread has used; V8's compilers have threads of their own. */
function cpuMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** One measurement, in a process of its own: microseconds of CPU time a call. */
async function measure(workload: Workload, variant: Variant): Promise<number> {
  const built = await workload.module();
  const { startFuel } = DEFAULT_FORGE_LIMITS;
  const forged = await forgeArtifact(built, "extism", [workload.phase], DEFAULT_FORGE_LIMITS);
  if (!forged.ok) throw new Error(forged.reasons.join("; "));
  const kernel = new Kernel(false);
  const state = newInstanceState();
  const encoder = new TextEncoder();
  const config = new Map(Object.entries(workload.config).map(([key, value]) => [key, encoder.encode(value)]));
  const input = workload.input === null ? null : JSON.stringify(workload.input);
  const begin = (text: string | null) =>
    kernel.begin({
      ...{ config, state, now: Date.now(), input: text, arenaBytes: 1 << 22, hostCalls: 50 },
      ...WAITS_FOR_NOTHING,
    });
  begin(null);
  const module = new WebAssembly.Module(Uint8Array.from(variant === "metered" ? forged.emitted : built));
  const { exports } = new WebAssembly.Instance(module, kernel.imports);
  state.memory = (exports.memory as WebAssembly.Memory | undefined) ?? null;
  (exports._initialize as (() => void) | undefined)?.();
  const fuel = exports["gatehouse:fuel"] as WebAssembly.Global<bigint> | undefined;
  const run = exports[workload.phase] as () => number;
  const call = () => {
    begin(input);
    if (fuel) fuel.value = BigInt(startFuel);
    if (run() !== 0) throw new Error(`${workload.name} failed: ${kernel.error() ?? ""}`);
  };
  for (const until = cpuMicros() + WARM_UP_MS * 1000; cpuMicros() < until; ) call();
  let best = Number.POSITIVE_INFINITY;
  for (let batch = 0; batch < BATCHES; batch++) {
    const before = cpuMicros();
    let used = 0;
    let calls = 0;
    for (; used < BATCH_MS * 1000; used = cpuMicros() - before) {
      for (let i = 0; i < 4; i++) call();
      calls += 4;
    }
    best = Math.min(best, used / calls);
  }
  return best;
}

const {
  rounds: asked,
  one,
  ...rest
} = readArguments("npm exec -- node bench/fuel.ts [--rounds 15] [--only WORD]", {
  rounds: { type: "string", default: "15" },
  only: { type: "string" },
  one: { type: "string" },
});

if (one !== undefined) {
  const [at, variant] = one.split(",").map(Number) as [number, number];
  const us = await measure(WORKLOADS[at] as Workload, VARIANTS[variant] as Variant);
  process.stdout.write(`${us}\n`);
} else {
  const rounds = Number(asked);
  if (!Number.isSafeInteger(rounds) || rounds < 1) refuse("--rounds takes a number above 0");
  await compare(rounds, rest.only);
}

async function compare(rounds: number, only: string | undefined): Promise<void> {
  const rows = [["workload", "as built us", "metered us", "ratio", "rounds' ratios", "within 1.3"]];
  for (const [at, workload] of WORKLOADS.entries()) {
    if (only !== undefined && !workload.name.includes(only)) continue;
    await workload.module(); // built before it is measured
    const times: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round++)
      for (const variant of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const))
        times[variant].push(Number(inProcess(at, variant)));
    const ratios = times[1].map((metered, i) => metered / (times[0][i] as number)).sort((a, b) => a - b);
    const ratio = median(ratios);
    rows.push([
      workload.name,
      median(times[0]).toFixed(1),
      median(times[1]).toFixed(1),
      ratio.toFixed(2),
      `${(ratios[0] as number).toFixed(2)} to ${(ratios.at(-1) as number).toFixed(2)}`,
      workload.barred ? (ratio <= 1.3 ? "yes" : "NO") : "no bar",
    ]);
    process.stderr.write(`${workload.name}: ${ratio.toFixed(2)}\n`);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of rows)
    process.stdout.write(`${row.map((cell, i) => cell.padEnd(widths?.[i] ?? 0)).join("  ")}\n`);
  process.stdout.write(
    `\n${rounds} rounds, Node ${process.version}, ${cpus()[0]?.model} x ${cpus().length}\n`,
  );
}

function inProcess(at: number, variant: number): string {
  return execFileSync(process.execPath, [fileURLToPath(import.meta.url), "--one", `${at},${variant}`], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
