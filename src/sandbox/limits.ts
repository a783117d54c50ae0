/**
 * The limits of guests that an operator may set, for all workspaces and for each, in one table: what each bounds,
 * its default, how far it may be moved, what happens beyond it. `plugin.yaml`, the workspace entity, the settings
 * and docs/limits.md are made from it. A package may only ask for less than its workspace has.
 */
import { type Field, integer, record } from "@gatehouse/sdk";
import type { GuestLimits } from "./protocol/engine.ts";
import type { CpuAllowance } from "./supervisor/budget.ts";

const MIB = 1 << 20;
const GIB = 1 << 30;

export interface WorkspaceLimits extends GuestLimits {
  /** CPU time of the workspace's guests in each second; 0 for no bound. */
  cpuMsPerSecond: number;
  cpuBurstMs: number;
  cpuWaitMs: number;
  /** Of all its plugins. */
  kvBytes: number;
  workspaceMemoryBytes: number;
  logLinesPerSecond: number;
  packages: number;
  packageBytes: number;
}

export type Unit = "bytes" | "ms" | "ms/s" | "units" | "calls" | "fields" | "lines/s" | "packages";

export interface WorkspaceLimit {
  readonly key: keyof WorkspaceLimits;
  readonly bounds: string;
  readonly unit: Unit;
  readonly default: number;
  /** Least and most that an operator may set. */
  readonly between: readonly [number, number];
  /** Whether a package may lower it, under `limits` of its manifest. */
  readonly inManifest: boolean;
  /** What happens beyond it: the kind of failure in log, ledger and metrics, and what a client is answered. */
  readonly beyond: string;
  readonly enforcedBy: string;
}

const FAILS = "500 (or skipped, by the plugin's `fail`)";

export const WORKSPACE_LIMIT_TABLE = {
  memory_bytes: {
    key: "memoryBytes",
    bounds: "memory of one guest: the isolate's heap, or the module's linear memory",
    unit: "bytes",
    default: 32 * MIB,
    // A cordon is killed at 256 MiB, and one guest must not be all that fits into it.
    between: [MIB, 192 * MIB],
    inManifest: true,
    beyond: `\`memory\`: ${FAILS}; a module that asks for more is refused when it is uploaded`,
    enforcedBy: "cordon/isolate-engine.ts, wasm/wasm-engine.ts, forge/",
  },
  cpu_ms: {
    key: "cpuMs",
    bounds: "CPU time of one turn of a JavaScript guest, by its isolate's timer",
    unit: "ms",
    // The isolate's timer goes by the wall's clock: on a machine that is busy a good call of 2 ms may take 50.
    default: 100,
    between: [1, 10_000],
    inManifest: true,
    beyond: `\`timeout\`: ${FAILS}`,
    enforcedBy: "cordon/isolate-engine.ts",
  },
  fuel: {
    key: "fuel",
    bounds: "work of one call of a WASM guest, about an instruction a unit",
    unit: "units",
    // Some ten milliseconds of a tight loop, 600 times an ordinary handler.
    default: 20_000_000,
    between: [1000, 10_000_000_000],
    inManifest: true,
    beyond: `\`fuel\`: ${FAILS}`,
    enforcedBy: "forge/meter.ts (what counts), wasm/wasm-engine.ts",
  },
  wall_ms: {
    key: "wallMs",
    bounds: "time of one turn from its start in the cordon; ten times that for a call with all its waits",
    unit: "ms",
    default: 250,
    between: [1, 60_000],
    inManifest: true,
    beyond: `\`deadline\`: the cordon is killed; ${FAILS}`,
    enforcedBy: "calls/deadlines.ts",
  },
  output_bytes: {
    key: "outputBytes",
    bounds: "everything that one call answers, bodies included",
    unit: "bytes",
    // Below the 4 MiB of a frame that leaves a cordon, so that too much output is a violation and not a kill.
    default: 3 * MIB,
    between: [1024, 3 * MIB],
    inManifest: true,
    beyond: `\`violation\`: ${FAILS}`,
    enforcedBy: "calls/verdict.ts, and in the cordon before it",
  },
  header_count: {
    key: "headerCount",
    bounds: "edits of header fields in one call",
    unit: "fields",
    default: 100,
    between: [1, 1000],
    inManifest: true,
    beyond: `\`violation\`: ${FAILS}`,
    enforcedBy: "calls/verdict.ts, and in the cordon before it",
  },
  header_bytes: {
    key: "headerBytes",
    bounds: "names and values of those edits",
    unit: "bytes",
    default: 32 * 1024,
    between: [64, 256 * 1024],
    inManifest: true,
    beyond: `\`violation\`: ${FAILS}`,
    enforcedBy: "calls/verdict.ts, and in the cordon before it",
  },
  host_calls: {
    key: "hostCalls",
    bounds: "host calls of one call",
    unit: "calls",
    default: 50,
    between: [1, 1000],
    inManifest: true,
    beyond: `\`violation\`: ${FAILS}`,
    enforcedBy: "calls/turns.ts, and in the cordon before it",
  },
  instances: {
    key: "instances",
    bounds:
      "calls of one WASM guest that may wait for host calls at once in one cordon, an instance each; data threads share them equally and have one at least",
    unit: "calls",
    default: 4,
    between: [1, 64],
    inManifest: true,
    beyond: "later calls wait for one in their queue",
    enforcedBy: "calls/link.ts, and in the cordon wasm/run.ts",
  },
  concurrent_calls: {
    key: "concurrentCalls",
    bounds: "calls of one plugin entity that are open at once on one data thread, waiting ones included",
    unit: "calls",
    // Half of what a workspace's queue holds: one plugin does not fill it for the others.
    default: 512,
    between: [1, 100_000],
    inManifest: true,
    beyond: "`busy`: 503 with Retry-After (or skipped, by the plugin's `fail`)",
    enforcedBy: "calls/lanes.ts",
  },
  cpu_ms_per_second: {
    key: "cpuMsPerSecond",
    bounds:
      "CPU time of a workspace's guests in each second, over all its processes, as the kernel counts it, and for what they ask of the gateway; 0 for no bound",
    unit: "ms/s",
    // Half of a core: whoever needs more is somebody whom the operator knows.
    default: 500,
    between: [0, 1_000_000],
    inManifest: false,
    beyond: "`budget`: 429 with Retry-After (or skipped, by the plugin's `fail`)",
    enforcedBy: "supervisor/budget.ts, supervisor/cpu-watch.ts, calls/lanes.ts",
  },
  cpu_burst_ms: {
    key: "cpuBurstMs",
    bounds: "CPU time that a workspace's guests may use at once after a pause",
    unit: "ms",
    // Starting a cordon takes 50, compiling a large module up to a second.
    default: 2000,
    between: [10, 600_000],
    inManifest: false,
    beyond: "as `cpu_ms_per_second`",
    enforcedBy: "supervisor/budget.ts",
  },
  cpu_wait_ms: {
    key: "cpuWaitMs",
    bounds: "time that a call waits for its workspace's CPU time before it is refused; 0 to refuse at once",
    unit: "ms",
    // What waits is held in a data thread, which all workspaces share.
    default: 0,
    between: [0, 5000],
    inManifest: false,
    beyond: "as `cpu_ms_per_second`",
    enforcedBy: "calls/lanes.ts",
  },
  kv_bytes: {
    key: "kvBytes",
    bounds:
      "keys and values that all plugins of the workspace keep; a plugin has what its grant `kv_bytes` asks for",
    unit: "bytes",
    default: 256 * MIB,
    between: [0, 1024 * GIB],
    inManifest: false,
    beyond: "`host.kv.set` rejects",
    enforcedBy: "guest-store/",
  },
  workspace_memory_bytes: {
    key: "workspaceMemoryBytes",
    bounds: "memory of all processes that run a workspace's guests, what they share with others left out",
    unit: "bytes",
    // A cordon of each engine at its most.
    default: 512 * MIB,
    between: [64 * MIB, 64 * GIB],
    inManifest: false,
    beyond: `\`memory\`: the largest of them is killed; its call gets ${FAILS}`,
    enforcedBy: "supervisor/memory-watch.ts",
  },
  log_lines_per_second: {
    key: "logLinesPerSecond",
    bounds: "lines that a workspace's guests log on one data thread, in the long run; twice that at once",
    unit: "lines/s",
    default: 100,
    between: [1, 100_000],
    inManifest: false,
    beyond: "dropped; a line every ten seconds says how many",
    enforcedBy: "data-thread/thread-log.ts",
  },
  packages: {
    key: "packages",
    bounds: "plugin packages that a workspace keeps, each version counted",
    unit: "packages",
    default: 1000,
    between: [0, 10_000],
    inManifest: false,
    beyond: "the upload is refused: 413",
    enforcedBy: "registry/registry.ts",
  },
  package_bytes: {
    key: "packageBytes",
    bounds: "bytes on disk of a workspace's packages and of what the forge made of them",
    unit: "bytes",
    default: GIB,
    between: [0, 1024 * GIB],
    inManifest: false,
    beyond: "the upload is refused: 413",
    enforcedBy: "registry/registry.ts",
  },
} as const satisfies Record<string, WorkspaceLimit>;

export type LimitName = keyof typeof WORKSPACE_LIMIT_TABLE;

/** Some limits by their written names; null and absent mean the same. */
export type GivenLimits = Readonly<Partial<Record<LimitName, number | null>>>;

const ROWS = Object.entries(WORKSPACE_LIMIT_TABLE) as [LimitName, WorkspaceLimit][];
export const LIMIT_NAMES: readonly LimitName[] = ROWS.map(([name]) => name);

/** The limits that a package may lower. */
export const MANIFEST_LIMITS = ROWS.filter(([, { inManifest }]) => inManifest) as [
  LimitName,
  WorkspaceLimit & { readonly key: keyof GuestLimits },
][];

function eachOf(value: (row: WorkspaceLimit) => number): WorkspaceLimits {
  return Object.fromEntries(ROWS.map(([, row]) => [row.key, value(row)])) as unknown as WorkspaceLimits;
}

export const DEFAULT_LIMITS: Readonly<WorkspaceLimits> = eachOf((row) => row.default);
/** The most that any operator may set: what a package that is stored already may ask for. */
export const MOST_LIMITS: Readonly<WorkspaceLimits> = eachOf(({ between }) => between[1]);

/** The limits of a guest where nobody moved them. */
export const WORKSPACE_LIMITS: Readonly<GuestLimits> = guestLimits(DEFAULT_LIMITS);

/**
 * `default` is the operator's own workspace: its guests have the CPU time that there is, unless a setting says
 * otherwise. Everything else is the same for all.
 */
const OF_DEFAULT: GivenLimits = { cpu_ms_per_second: 0 };

/** What the settings say of limits. */
export interface LimitSettings {
  /** For every workspace. */
  readonly pluginLimits: GivenLimits;
  /** For `default`, beside that. */
  readonly pluginLimitsDefault: GivenLimits;
}

/** The limits of a workspace. `own` is what its entity says. */
export function limitsOf(
  workspace: string,
  own: GivenLimits | null,
  settings: LimitSettings,
): WorkspaceLimits {
  const limits = { ...DEFAULT_LIMITS };
  const isDefault = workspace === "default";
  const given = isDefault
    ? [settings.pluginLimits, OF_DEFAULT, settings.pluginLimitsDefault]
    : [settings.pluginLimits, own ?? {}];
  for (const some of given)
    for (const [name, { key }] of ROWS) {
      const value = some[name];
      if (value !== undefined && value !== null) limits[key] = value;
    }
  return limits;
}

/** The part that goes with every guest. */
export function guestLimits(limits: WorkspaceLimits): GuestLimits {
  return Object.fromEntries(
    MANIFEST_LIMITS.map(([, { key }]) => [key, limits[key]]),
  ) as unknown as GuestLimits;
}

/** A package's limits: its own where they are lower than its workspace's, which may have been lowered since. */
export function lowered(limits: WorkspaceLimits, asked: Readonly<Partial<GuestLimits>>): GuestLimits {
  const least = guestLimits(limits);
  for (const [, { key }] of MANIFEST_LIMITS) least[key] = Math.min(least[key], asked[key] ?? least[key]);
  return least;
}

export function cpuAllowance({ cpuMsPerSecond, cpuBurstMs }: WorkspaceLimits): CpuAllowance {
  const none = Number.POSITIVE_INFINITY;
  return cpuMsPerSecond === 0
    ? { msPerSecond: none, burstMs: none }
    : { msPerSecond: cpuMsPerSecond, burstMs: cpuBurstMs };
}

/** The field `plugin_limits` of a workspace. */
export function workspaceLimitsField(): Field<GivenLimits, false> {
  const fields = Object.fromEntries(
    ROWS.map(([name, { between, bounds, unit }]) => [
      name,
      integer({ between, description: `Most ${unit}: ${bounds}.` }),
    ]),
  );
  const description = "Limits of its plugins, in place of the settings' and the defaults.";
  return record(fields, { description }) as Field<GivenLimits, false>;
}

const AMOUNT = /^(\d{1,15})([kmg])?$/i;
const TIMES: Readonly<Record<string, number>> = { k: 1024, m: MIB, g: GIB };

/**
 * Reads entries such as `memory_bytes=64m` of a setting.
 * @returns the limits, or what is wrong with the first entry that cannot be read.
 */
export function readLimits(entries: readonly string[]): GivenLimits | { readonly wrong: string } {
  const given: Partial<Record<LimitName, number>> = {};
  for (const entry of entries) {
    const [name = "", written = ""] = entry.split("=", 2).map((part) => part.trim());
    const row = ROWS.find(([known]) => known === name)?.[1];
    if (row === undefined) return { wrong: `'${name}' is not known; allowed: ${LIMIT_NAMES.join(", ")}` };
    const [, digits, suffix] = AMOUNT.exec(written) ?? [];
    const [least, most] = row.between;
    const value = Number(digits) * (suffix === undefined ? 1 : (TIMES[suffix.toLowerCase()] as number));
    if (
      digits === undefined ||
      (suffix !== undefined && row.unit !== "bytes") ||
      value < least ||
      value > most
    )
      return { wrong: `'${entry}' is no limit; write ${name}=N with N between ${least} and ${most}` };
    if (given[name as LimitName] !== undefined) return { wrong: `'${name}' is given twice` };
    given[name as LimitName] = value;
  }
  return given;
}
