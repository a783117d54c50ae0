/**
 * Where the gateway's time goes, and how much it allocates, under the load of one case:
 *
 *     npm exec -- node bench/profile.ts --case plain [--seconds 8] [--write]
 *
 * Time: Linux `perf` samples the process by its CPU clock; self time is summed by kind (kernel, Node and libuv,
 * V8's collector, V8's builtins, our JavaScript by file) and by function. Allocation: a second gateway with
 * `--trace-gc`; what the new space held before a scavenge, less what the one before left, is what was allocated.
 * `--write` keeps the table as results/profile-<case>.md. Needs Debian's linux-perf.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readArguments, refuse } from "./arguments.ts";
import { CASES, type Case } from "./cases.ts";
import { closedLoop } from "./load/wrk.ts";
import { loadOf, targetOf } from "./measure.ts";
import { cpuSeconds } from "./processes.ts";
import { commit, installMissing, machine } from "./tools.ts";
import { openSite, type Running, type Site, type Variant, type Watched } from "./variants.ts";

const ROOT = dirname(import.meta.dirname);
const HERTZ = 1999;
const MOST_FUNCTIONS = 40;
const NAMED = ["--perf-basic-prof-only-functions", "--interpreted-frames-native-stack"];

const USAGE = `node bench/profile.ts [options]
  --case NAME       case of the bench (default plain)
  --seconds N       of load, twice (default 8)
  --write           keep the table in results/`;

const values = readArguments(USAGE, {
  case: { type: "string", default: "plain" },
  seconds: { type: "string", default: "8" },
  write: { type: "boolean", default: false },
});

/** Starts the case's gateway, warms it, and calls `during` while its load runs. */
async function underLoad<T>(
  site: Site,
  case_: Case,
  variant: Variant,
  watched: Watched,
  during: (running: Running) => Promise<T>,
): Promise<{ seen: T; requests: number; cpuUs: number }> {
  const running = await variant.start(site, watched);
  try {
    const target = targetOf(case_, variant, running);
    await closedLoop(target, case_.connections, variant.warmSeconds + 2, site.loadCore);
    const before = cpuSeconds(running.process.pid);
    const seen = during(running);
    const result = await loadOf(site, case_, 0)(target, running);
    const cpuUs = ((cpuSeconds(running.process.pid) - before) / result.requests) * 1e6;
    if (result.errors.length > 0) throw new Error(result.errors.join("; "));
    return { seen: await seen, requests: result.requests, cpuUs };
  } finally {
    await running.process.stop();
  }
}

interface Sample {
  samples: number;
  kind: string;
  name: string;
}

/** Records for as long as the load runs, and reads self time by symbol. */
async function record(pid: number, seconds: number, folder: string): Promise<Sample[]> {
  const data = join(folder, "perf.data");
  const target = ["-p", String(pid), "-o", data, "--", "sleep", String(seconds)];
  const perf = spawn("perf", ["record", "-q", "-F", String(HERTZ), "-e", "cpu-clock", ...target], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  perf.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    perf.once("error", reject);
    perf.once("close", resolve);
  });
  if (code !== 0) throw new Error(`perf record failed; is linux-perf installed? ${said.trim()}`);
  const report = execFileSync(
    "perf",
    ["report", "-i", data, "--stdio", "-q", "-F", "sample,dso,sym", "-t", "\t", "--sort", "dso,sym"],
    { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "ignore"] },
  );
  return report.split("\n").flatMap((row) => {
    const [samples, object, symbol] = row.split("\t").map((cell) => cell.trim());
    if (!samples || object === undefined || symbol === undefined || Number.isNaN(Number(samples))) return [];
    return [{ samples: Number(samples), ...classified(object, symbol.replace(/^\[[.k]\] /, "")) }];
  });
}

/** V8's collector, by the names of its classes and of what they call. */
const COLLECTOR =
  /Scaveng|MarkCompact|MarkingVisitor|Marking|Sweep|Evacuat|::Heap::|Heap::|GarbageCollect|NewSpace|PagedSpace|YoungGeneration|IterateRoots|Worklist|RememberedSet|cppgc/;

function classified(object: string, symbol: string): { kind: string; name: string } {
  if (object.startsWith("[kernel") || object === "[guest.kernel]") return { kind: "kernel", name: symbol };
  if (/^perf-\d+\.map$|^\[JIT\]/.test(object)) {
    // "JS:*parseHead file:///…/src/http1/parse.ts:120:17"; the mark before the name tells the compiler.
    const script = /^(?:\w+:)?([*^~+']*)(\S*) (?:file:\/\/)?(\S+?)(?::\d+)*$/.exec(symbol);
    if (script === null) return { kind: "V8 builtins and stubs", name: symbol };
    const [, mark, name, file] = script as unknown as [string, string, string, string];
    const path = file.startsWith(`${ROOT}/`) ? file.slice(ROOT.length + 1) : file;
    return {
      kind: path.startsWith("node:") ? "Node's JavaScript" : path,
      name: `${mark}${name || "(anonymous)"}`,
    };
  }
  if (symbol.startsWith("Builtins_")) return { kind: "V8 builtins and stubs", name: symbol.slice(9) };
  if (object.startsWith("node")) {
    if (COLLECTOR.test(symbol)) return { kind: "V8 collector", name: symbol };
    if (symbol.startsWith("v8::")) return { kind: "V8 runtime and API", name: symbol };
    return { kind: "Node and libuv", name: symbol };
  }
  return { kind: "C library and vDSO", name: symbol };
}

interface Allocation {
  scavenges: number;
  fullCollections: number;
  bytes: number;
  /** What scavenges have added to what lives. */
  keptBytes: number;
  pauseMs: number;
}

/** Reads lines such as `[12:0x7f] 1234 ms: Scavenge 12.3 (15.0) -> 4.5 (15.0) MB, pooled: 0 MB, 0.56 / 0.00 ms`. */
class Collections {
  readonly total: Allocation = { scavenges: 0, fullCollections: 0, bytes: 0, keptBytes: 0, pauseMs: 0 };
  counting = false;
  readonly #left = new Map<string, number>();
  #rest = "";

  readonly watch = (output: string): void => {
    const lines = (this.#rest + output).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const text of lines) this.#line(text);
  };

  #line(text: string): void {
    const parts =
      /^\[\d+:(0x\w+)[^\]]*\].* ms: (\w[\w-]*).*? ([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB.*?, ([\d.]+) \//.exec(
        text,
      );
    if (parts === null) return;
    const [, isolate, kind, before, after, pause] = parts as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const left = this.#left.get(isolate);
    this.#left.set(isolate, Number(after));
    if (!this.counting || left === undefined) return;
    if (kind === "Scavenge") {
      this.total.scavenges++;
      this.total.keptBytes += (Number(after) - left) * 2 ** 20;
    } else this.total.fullCollections++;
    this.total.bytes += Math.max(0, Number(before) - left) * 2 ** 20;
    this.total.pauseMs += Number(pause);
  }
}

function table(
  case_: Case,
  requests: number,
  samples: Sample[],
  cpuUs: number,
  allocation: string[],
): string {
  const total = samples.reduce((sum, sample) => sum + sample.samples, 0);
  const share = (count: number) => `${((count / total) * 100).toFixed(1)} %`;
  const us = (count: number) => ((count / HERTZ / requests) * 1e6).toFixed(2);
  const kinds = new Map<string, number>();
  for (const { kind, samples: count } of samples) kinds.set(kind, (kinds.get(kind) ?? 0) + count);
  const ours = [...kinds].filter(([kind]) => kind.startsWith("src/") || kind.startsWith("plugins/"));
  const sum = ours.reduce((count, [, more]) => count + more, 0);
  const row = (...cells: string[]) => `| ${cells.join(" | ")} |`;
  const { cpu, versions } = machine();
  return `${[
    `# Profile of ${case_.name}, commit ${commit()}`,
    "",
    `${case_.title}. ${cpu}, node ${versions.node}. ${requests.toLocaleString("en-US")} requests,`,
    `${cpuUs.toFixed(1)} µs CPU each while sampled at ${HERTZ} Hz; self time.`,
    "",
    ...allocation,
    "",
    "| kind | share | µs/request |",
    "| --- | --: | --: |",
    row("our JavaScript, all files", share(sum), us(sum)),
    ...[...kinds]
      .toSorted((a, b) => b[1] - a[1])
      .filter(([, count]) => count / total >= 0.002)
      .map(([kind, count]) => row(kind, share(count), us(count))),
    "",
    "| function | kind | share | µs/request |",
    "| --- | --- | --: | --: |",
    ...samples
      .toSorted((a, b) => b.samples - a.samples)
      .slice(0, MOST_FUNCTIONS)
      .map(({ kind, name, samples: count }) =>
        row(`\`${name.replaceAll("|", "\\|").slice(0, 90)}\``, kind, share(count), us(count)),
      ),
  ].join("\n")}\n`;
}

async function main(): Promise<void> {
  const seconds = Number(values.seconds);
  const known = CASES.find((candidate) => candidate.name === values.case && candidate.load !== "half");
  const variant = known?.variants.find(({ name }) => name.startsWith("gateway"));
  if (known === undefined || variant === undefined || !Number.isInteger(seconds) || seconds < 1) {
    const names = CASES.filter(({ load }) => load !== "half").map(({ name }) => name);
    refuse(`--case is one of ${names.join(", ")}; --seconds is a whole number from 1 up`);
  }
  const case_ = { ...known, seconds };
  installMissing();
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-profile-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  const { site, close } = await openSite(folder);
  const timed = await underLoad(site, case_, variant, { nodeFlags: NAMED }, (running) =>
    record(running.process.pid, seconds, folder),
  );
  const collections = new Collections();
  const traced = { nodeFlags: ["--trace-gc"], watch: collections.watch };
  const { requests } = await underLoad(site, case_, variant, traced, async () => {
    collections.counting = true;
  });
  collections.counting = false;
  await close();
  const { scavenges, fullCollections, bytes, keptBytes, pauseMs } = collections.total;
  const allocation = [
    `Allocation: ${Math.round(bytes / requests).toLocaleString("en-US")} bytes per request, of which ${(keptBytes / requests).toFixed(1)} outlive a scavenge; for each 100,000 requests`,
    `${((scavenges / requests) * 1e5).toFixed(1)} scavenges, ${((fullCollections / requests) * 1e5).toFixed(2)} other collections, ${((pauseMs / requests) * 1e5).toFixed(1)} ms of pauses.`,
  ];
  const text = table(case_, timed.requests, timed.seen, timed.cpuUs, allocation);
  console.log(text);
  if (!values.write) return;
  const results = join(import.meta.dirname, "results");
  mkdirSync(results, { recursive: true });
  writeFileSync(join(results, `profile-${case_.name}.md`), text);
}

main().then(
  () => process.exit(),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
