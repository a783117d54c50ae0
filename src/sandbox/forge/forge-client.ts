/**
 * The gateway's door to the forge: starts the child when an artifact comes, keeps it warm while more come,
 * and holds its clock and its memory limit. A child that passes either is killed and the artifact refused;
 * the next upload gets a fresh one. So does the next owner: a child that one's artifact took over would answer
 * with code of its choice for the other's.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Phase } from "@gatehouse/sdk";
import { OwnersTurns } from "../../tenancy/owners-turns.ts";
import { type Command, type Fence, forgeCommand } from "../fence/fence.ts";
import type { Room } from "../fence/room.ts";
import { endChain } from "../supervisor/end-chain.ts";
import { lastDescendantOf, ProcessStat } from "../supervisor/process-stat.ts";
import { begins } from "../supervisor/scheduling.ts";
import { digestOf, type Forged, type ForgeKind, type ForgeReport } from "./forge.ts";
import type { ForgeJob } from "./forge-child.ts";
import { encodeFrame, FrameReader } from "./forge-frames.ts";
import { DEFAULT_FORGE_LIMITS, type ForgeLimits } from "./limits.ts";

export interface ForgeOptions {
  /** Wall time for one artifact, starting the child included; what it waits for a core is added, up to four times. */
  deadlineMs?: number;
  /** Resident memory of the child. */
  rssBytes?: number;
  /** How long an idle child is kept. */
  idleMs?: number;
  /** Where the child runs behind the fence; without it, it runs with Node's permission model only. */
  place?: { readonly room: Room; readonly fence: Fence } | null;
  /** Artifacts that wait while one is worked on; the next one is told that the forge is busy. */
  queueLength?: number;
}

/** `busy` tells a full queue from a refusal: the same artifact may be welcome a moment later. */
export type ForgeResult = Forged | { ok: false; busy: true; reasons: string[] };

export interface Forge {
  /** `owner` is the workspace that uploads: no child works for two, and none takes the queue from the others. */
  forge(
    artifact: Uint8Array,
    kind: ForgeKind,
    phases: readonly Phase[],
    limits?: Partial<ForgeLimits>,
    owner?: string,
  ): Promise<ForgeResult>;
  /** Ends the child; what waits is answered as busy. */
  close(): Promise<void>;
}

export const DEFAULTS: Required<ForgeOptions> = {
  deadlineMs: 10_000,
  rssBytes: 512 * 1024 * 1024,
  idleMs: 30_000,
  place: null,
  queueLength: 4,
};
const WATCH_MS = 20;
/** After this many artifacts the child is replaced, so that what V8 keeps of hostile modules cannot add up. */
const ARTIFACTS_PER_CHILD = 200;
/** How many times its own time it may wait for a core. */
const STARVED_FACTOR = 4;

const CHILD = fileURLToPath(new URL("./forge-child.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

export function createForge(options: ForgeOptions = {}): Forge {
  return new ForgeClient({ ...DEFAULTS, ...options });
}

interface Waiting {
  job: ForgeJob;
  artifact: Uint8Array;
  owner: string;
  done(result: ForgeResult): void;
}

class ForgeClient implements Forge {
  readonly #options: Required<ForgeOptions>;
  readonly #turns: OwnersTurns<Waiting>;
  #working = false;
  #closed = false;
  #child: Child | null = null;
  /** Whose artifacts the child has seen. */
  #owner = "";
  #idle: NodeJS.Timeout | null = null;

  constructor(options: Required<ForgeOptions>) {
    this.#options = options;
    this.#turns = new OwnersTurns(options.queueLength);
  }

  forge(
    artifact: Uint8Array,
    kind: ForgeKind,
    phases: readonly Phase[],
    limits: Partial<ForgeLimits> = {},
    owner = "",
  ): Promise<ForgeResult> {
    if (this.#closed) return Promise.resolve(BUSY);
    const { promise, resolve } = Promise.withResolvers<ForgeResult>();
    const job: ForgeJob = { kind, phases: [...phases], limits: { ...DEFAULT_FORGE_LIMITS, ...limits } };
    if (!this.#turns.add(owner, { job, artifact, owner, done: resolve })) return Promise.resolve(BUSY);
    void this.#work();
    return promise;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { done } of this.#turns.drain()) done(BUSY);
    await this.#dismiss();
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    if (this.#idle) clearTimeout(this.#idle);
    for (let next = this.#turns.next(); next !== undefined; next = this.#turns.next()) {
      next.done(await this.#one(next));
    }
    this.#working = false;
    this.#idle = setTimeout(() => void this.#dismiss(), this.#options.idleMs);
    this.#idle.unref();
  }

  async #one({ job, artifact, owner }: Waiting): Promise<ForgeResult> {
    // What is too large need not cross.
    const most = job.kind === "isolate" ? job.limits.isolateBytes : job.limits.wasmBytes;
    if (artifact.length > most)
      return {
        ok: false,
        reasons: [`the artifact has ${artifact.length} bytes; at most ${most} are allowed`],
      };
    const fits = owner === this.#owner && this.#child !== null && !this.#child.ended;
    this.#owner = owner;
    if (!fits || this.#child === null || this.#child.artifacts >= ARTIFACTS_PER_CHILD) {
      await this.#dismiss();
      this.#child = new Child(this.#options);
    }
    const result = await this.#child.forge(job, artifact);
    if (this.#child?.ended) this.#child = null;
    return result;
  }

  async #dismiss(): Promise<void> {
    if (this.#idle) clearTimeout(this.#idle);
    const child = this.#child;
    this.#child = null;
    await child?.dismiss();
  }
}

const BUSY: ForgeResult = Object.freeze({
  ok: false,
  busy: true,
  reasons: ["the forge is busy with other uploads; try again in a moment"],
});

/** One child process: at most one artifact at a time. */
class Child {
  readonly #options: Required<ForgeOptions>;
  readonly #process: ChildProcess;
  readonly #fenced: boolean;
  readonly #exited: Promise<void>;
  readonly #frames = new FrameReader();
  #answer: ((result: Forged) => void) | null = null;
  #looksAt: { readonly pid: number | null; stat: ProcessStat | null } = { pid: null, stat: null };
  #reason = "the check of the artifact ended by itself: the artifact crashed its parser";
  artifacts = 0;
  ended = false;

  constructor(options: Required<ForgeOptions>) {
    this.#options = options;
    const heapMb = Math.floor(options.rssBytes / 2 / 1024 / 1024);
    const { room, fence } = options.place ?? {};
    const command = room && fence ? forgeCommand(room, fence, heapMb) : unfenced(heapMb);
    this.#fenced = fence !== undefined && fence.by !== "nothing";
    // It works on what strangers wrote, behind the gateway's threads; somebody waits for it.
    const [file, ...args] = begins(command, "near") as [string, ...string[]];
    this.#process = spawn(file, args, {
      env: {},
      cwd: command.cwd,
      stdio: ["pipe", "ignore", "ignore", "pipe"],
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#exited = promise;
    this.#process.on("error", () => this.#end(resolve));
    this.#process.on("exit", () => this.#end(resolve));
    const answers = this.#process.stdio[3] as Readable;
    answers.on("data", (chunk: Buffer) => this.#receive(chunk));
    answers.on("error", () => this.kill("the forge's pipe broke"));
    (this.#process.stdin as Writable).on("error", () => {}); // its end is seen by exit
    // A warm child must not keep a gateway that wants to exit; an open job has its own timer.
    this.#process.unref();
    for (const stream of [this.#process.stdin, answers]) (stream as unknown as { unref(): void }).unref();
  }

  async forge(job: ForgeJob, artifact: Uint8Array): Promise<Forged> {
    const { deadlineMs, rssBytes } = this.#options;
    this.artifacts++;
    const { promise, resolve } = Promise.withResolvers<Forged>();
    this.#answer = resolve;
    const began = Date.now();
    const waitedBefore = this.#stat?.waitedMs() ?? 0;
    const watch = setInterval(() => {
      const stat = this.#stat;
      // What it waits for a core meanwhile is not its own time.
      const waitedMs = Math.max((stat?.waitedMs() ?? 0) - waitedBefore, 0);
      if (Date.now() - began > deadlineMs + Math.min(waitedMs, STARVED_FACTOR * deadlineMs))
        this.kill(`checking the artifact took more than ${deadlineMs} ms`);
      else if ((stat?.memory()?.rssBytes ?? 0) > rssBytes)
        this.kill(
          `checking the artifact needed more than ${Math.floor(rssBytes / 1024 / 1024)} MB of memory`,
        );
    }, WATCH_MS);
    if (this.ended) this.#finish({ ok: false, reasons: [this.#reason] });
    else (this.#process.stdin as Writable).write(encodeFrame(job, artifact));
    try {
      return await promise;
    } finally {
      clearInterval(watch);
    }
  }

  kill(reason: string): void {
    this.#reason = reason;
    this.ended = true;
    endChain(this.#process, this.#fenced);
  }

  /** Lets an idle child go, and waits until it has. */
  async dismiss(): Promise<void> {
    this.ended = true;
    this.#process.ref();
    endChain(this.#process, this.#fenced);
    await this.#exited;
  }

  /**
   * What the kernel says of the process that works; null before it is there. Behind the fence that is not the one that was
   * spawned, which ends when that one has.
   */
  get #stat(): ProcessStat | null {
    const pid = (this.#fenced ? lastDescendantOf(this.#process.pid) : this.#process.pid) ?? null;
    if (pid === this.#looksAt.pid || pid === null) return this.#looksAt.stat;
    this.#looksAt.stat?.close();
    this.#looksAt = { pid, stat: null };
    try {
      this.#looksAt.stat = new ProcessStat(pid);
    } catch {
      // It has ended.
    }
    return this.#looksAt.stat;
  }

  #receive(chunk: Buffer): void {
    // What it still says while it is being killed comes too late.
    if (this.ended) return;
    try {
      for (const { head, body } of this.#frames.push(chunk)) this.#finish(readAnswer(head, body));
    } catch {
      this.kill("the forge answered nonsense");
    }
  }

  #finish(result: Forged): void {
    this.#answer?.(result);
    this.#answer = null;
  }

  #end(exited: () => void): void {
    this.ended = true;
    this.#looksAt.stat?.close();
    this.#finish({ ok: false, reasons: [this.#reason] });
    exited();
  }
}

/** The child has parsed hostile bytes, so its word is checked too; the digest is computed on this side. */
function readAnswer(head: unknown, body: Uint8Array): Forged {
  const { ok, reasons, report, imports } = head as Record<string, unknown>;
  if (ok === true && isReport(report) && body.length > 0)
    return {
      ok: true,
      digest: digestOf(body),
      emitted: Uint8Array.from(body),
      report,
    };
  if (ok === false && Array.isArray(reasons))
    return {
      ok: false,
      reasons: reasons.slice(0, 50).map((reason) => String(reason).slice(0, 1000)),
      imports: Array.isArray(imports) ? imports.map((name) => String(name).slice(0, 1000)) : [],
    };
  throw new Error("not an answer");
}

/** What is decided by it, and read in lists, is what it should be. */
function isReport(report: unknown): report is ForgeReport {
  const { imports, exports, notes } = (report ?? {}) as Record<string, unknown>;
  return [imports, exports, notes].every(
    (list) => Array.isArray(list) && list.every((name) => typeof name === "string"),
  );
}

function unfenced(heapMb: number): Command {
  const args = [
    "--permission",
    ...READABLE.map((path) => `--allow-fs-read=${path}`),
    `--max-old-space-size=${heapMb}`,
    "--experimental-vm-modules",
    "--disable-warning=ExperimentalWarning",
    CHILD,
  ];
  return { file: process.execPath, args, cwd: dirname(CHILD) };
}

/** What the child may read without a room: its own sources, the SDK's types beside them. */
const READABLE = [
  join(ROOT, "package.json"),
  join(ROOT, "src", "package.json"),
  join(ROOT, "src", "sandbox"),
];
