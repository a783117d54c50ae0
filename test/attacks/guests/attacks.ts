/**
 * The table of hostile guests: one file each, in isolate/ (JavaScript) or wasm/ (WebAssembly text), named by
 * the attack. What every attack must leave behind is asserted in guests.test.ts; `npm run attacks` prints what
 * it costs.
 */
import type { Failure } from "../../../src/sandbox/protocol/engine.ts";
import { ANSWERS } from "./answers.ts";

export interface Attack {
  /** Its name within its runtime; for those with a file, the file's name without its ending. */
  readonly name: string;
  readonly runtime: "isolate" | "extism";
  /** What it is after, as the table groups it. */
  readonly aim: Aim;
  /**
   * Failures that may be reported for it. Empty: the guest must get an answer and find nothing, which it says
   * by a reply with an empty list. `upload`: the package must not be accepted.
   */
  readonly kinds: readonly Failure[] | "upload";
  /** What a WebAssembly guest answers, for those that have no file. */
  readonly answer?: string;
  readonly instance?: "per-request";
  /** How often it is told to attack, where a few times show nothing, and how many of these at once. */
  readonly flood?: { readonly times: number; readonly atOnce: number };
  readonly limits?: Readonly<Record<string, unknown>>;
  readonly grants?: Readonly<Record<string, unknown>>;
}

export type Aim =
  | "CPU"
  | "memory"
  | "recursion"
  | "escape"
  | "throwing"
  | "waiting"
  | "host calls"
  | "output";

const CPU: readonly Failure[] = ["timeout", "deadline"];
/** An allocation may meet any limit first, or an ordinary RangeError. */
const MEMORY: readonly Failure[] = ["memory", "timeout", "deadline", "throw", "crashed", "violation"];
/** What no guest may reach, as a manifest may ask for it. */
const INSIDE = [
  "127.0.0.1",
  "localhost",
  "[::1]",
  "[::ffff:7f00:1]",
  "169.254.169.254",
  "[fd00:ec2::254]",
  "0.0.0.0",
].flatMap((host) => [`${host}:80`, `${host}:8001`]);
const VIOLATION: readonly Failure[] = ["violation"];
/** Writing a long answer may cost all the fuel, or on a busy machine all the time, before it is read. */
const LONG_ANSWER: readonly Failure[] = ["violation", "fuel", "deadline"];

function isolate(aim: Aim, rows: Readonly<Record<string, Attack["kinds"]>>): Attack[] {
  return Object.entries(rows).map(([name, kinds]) => ({ name, runtime: "isolate", aim, kinds }));
}

/** Hostile guests whose manifest asks for these grants, and got them. */
function granted(grants: Attack["grants"], rows: Readonly<Record<string, Attack["kinds"]>>): Attack[] {
  return isolate("host calls", rows).map((attack) => ({ ...attack, grants }));
}

function wasm(aim: Aim, rows: Readonly<Record<string, Attack["kinds"]>>): Attack[] {
  return Object.entries(rows).map(([name, kinds]) => ({ name, runtime: "extism", aim, kinds }));
}

export const ATTACKS: readonly Attack[] = [
  ...isolate("CPU", {
    "endless-loop": CPU,
    "array-fill-billion": [...CPU, "memory", "throw"],
    "sparse-sort": [...CPU, "memory", "throw"],
    "sort-comparator-loop": CPU,
    "json-nesting": [...CPU, "throw", "memory"],
    "regex-backtracking": [],
    "regex-named-groups": [...CPU, "throw", "memory"],
  }),
  ...isolate("memory", {
    "array-push": MEMORY,
    "string-doubling": MEMORY,
    "split-near-maximum": MEMORY,
    "many-buffers": MEMORY,
    "resizable-buffer": [],
    "buffer-transfer": MEMORY,
    "normalize-growth": ["throw"],
    "wasm-memory": [],
    "map-growth": MEMORY,
    "generated-closures": MEMORY,
    "generated-classes": MEMORY,
    "bigint-growth": MEMORY,
  }),
  ...isolate("recursion", {
    recursion: ["throw"],
    "recursion-finally": [...CPU, "throw"],
    "json-cycle": ["throw"],
  }),
  ...isolate("escape", {
    "constructor-escape": [],
    "intrinsics-pollution": [],
    "host-objects": [],
    "dynamic-import": [],
    "structured-stack": [],
    "callee-caller": [],
    "global-secret": [],
    "fine-clock": [],
  }),
  ...isolate("throwing", {
    "throw-looping-message": CPU,
    "throw-proxy": ["throw"],
    "throw-huge-message": ["throw", "memory", "timeout", "deadline"],
    "throw-null": ["throw"],
    "throw-symbol": ["throw"],
  }),
  ...isolate("waiting", {
    "microtask-flood": CPU,
    "promise-never-settles": VIOLATION,
    "late-promise": [],
    "thenable-loop": CPU,
    "return-proxy": ["violation", "throw"],
    "return-looping-getter": CPU,
  }),
  ...isolate("host calls", {
    "host-call-flood": ["violation", "timeout"],
    "log-line-giant": [...MEMORY],
    "uuid-exhaustion": VIOLATION,
  }),
  ...granted(
    { kv_bytes: 1 << 20 },
    {
      "kv-giant-value": [],
      "kv-gigabyte": MEMORY,
      "kv-million-keys": [...VIOLATION, ...CPU],
      "kv-unawaited-flood": [...VIOLATION, ...CPU],
    },
  ),
  ...granted(
    { http_hosts: INSIDE },
    { "fetch-inside": [], "fetch-smuggles": [], "fetch-flood": [...VIOLATION, ...CPU] },
  ),
  ...granted({ secrets: ["TOKEN"] }, { "secret-of-another": VIOLATION }),
  ...isolate("output", {
    "output-huge-body": ["violation", "memory", "throw", "timeout"],
    "output-many-headers": VIOLATION,
    "output-huge-header": VIOLATION,
    "output-header-newline": VIOLATION,
    "output-framing-headers": VIOLATION,
    "output-host": VIOLATION,
    "output-status": VIOLATION,
    "output-path": VIOLATION,
  }),
  ...isolate("CPU", {
    "top-level-loop": "upload",
    "top-level-throw-looping": "upload",
  }),
  ...wasm("CPU", {
    "endless-loop": ["fuel"],
    "call-tree": ["fuel"],
    "bulk-fill": ["fuel", "deadline"],
    "bulk-copy": ["fuel", "deadline"],
  }),
  ...wasm("memory", {
    "grow-loop": ["fuel", "memory", "trap"],
    "grow-and-keep": ["memory", "trap"],
    "table-grow": ["fuel", "trap", "memory"],
  }),
  ...wasm("memory", { leak: [] }).map((attack) => ({ ...attack, flood: { times: 20, atOnce: 1 } })),
  ...wasm("memory", { "many-instances": [] }).map((attack) => ({
    ...attack,
    instance: "per-request" as const,
    flood: { times: 10_000, atOnce: 16 },
  })),
  ...wasm("recursion", { "endless-call": ["fuel", "trap"], "mutual-recursion": ["fuel", "trap"] }),
  ...wasm("escape", {
    "read-outside": ["trap"],
    "arena-outside": VIOLATION,
    "length-overflow": VIOLATION,
    "indirect-mismatch": ["trap"],
  }),
  ...wasm("throwing", { trap: ["trap"], "divide-by-zero": ["trap"], "returns-one": VIOLATION }),
  ...wasm("host calls", {
    "log-flood": ["fuel", "violation", "memory"],
    "log-line-giant": ["fuel", "violation", "memory"],
    "small-allocations": ["fuel", "memory", "violation"],
    "variable-flood": ["fuel", "memory", "violation"],
  }),
  ...wasm("waiting", {
    "wait-flood": VIOLATION,
    "wait-then-loop": ["fuel", "deadline"],
    "wait-then-trap": ["trap"],
    "wait-then-recurse": VIOLATION,
    "wait-outside": VIOLATION,
  }).map((attack) => ({ ...attack, grants: { kv_bytes: 1024 } })),
  ...wasm("waiting", { reentry: [] }).map((attack) => ({
    ...attack,
    flood: { times: 400, atOnce: 16 },
    limits: { instances: 1 },
    grants: { kv_bytes: 1024 },
  })),
  ...wasm("host calls", {
    "wasi-exit": ["trap"],
    "wasi-sleep": VIOLATION,
    "wasi-random-flood": VIOLATION,
    "wasi-print-flood": VIOLATION,
  }),
  ...ANSWERS.map(({ name, answer }) => ({
    name,
    runtime: "extism" as const,
    aim: "output" as const,
    kinds: answer.length > 100_000 ? LONG_ANSWER : VIOLATION,
    answer,
  })),
];
