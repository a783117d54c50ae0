/**
 * One cordon as its parent sees it: the process, its memory, its death. Knows nothing of what runs inside.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Cgroup } from "../fence/cgroup.ts";
import { cordonCommand, type Fence } from "../fence/fence.ts";
import type { Room } from "../fence/room.ts";
import type { EngineKind, Failure } from "../protocol/engine.ts";
import { type Blame, type LaneName, TOKEN_CHARACTERS } from "../protocol/messages.ts";
import { endChain } from "./end-chain.ts";
import { descendantsOf, ProcessStat } from "./process-stat.ts";
import { begins } from "./scheduling.ts";

const MAX_MEMORY = 256 * 1024 * 1024;
const CONNECT_MS = 5000;
const MAX_LAST_WORDS = 2000;
/** What `unshare` of some versions complains of whenever its child was killed. */
const UNSHARES_WORDS = /^unshare: sigprocmask unblock failed: Invalid argument$/gm;
const LAST_WORDS_MS = 100;
/** What `unshare` says when its child was ended by SIGKILL: it tries to end by the same signal, and cannot. */
const TAKEN_FROM_UNSHARE = "sigprocmask unblock failed";
/** The kernel, when it is out of memory, takes a cordon before anything else. */
const OOM_SCORE = "900";

/** Why a cordon was killed; kept until its death is announced. */
export interface Cause {
  readonly failure: Failure | null;
  readonly message: string;
  readonly blame: Blame | null;
}

const OUT_OF_MEMORY: Cause = { failure: "memory", message: "its cgroup's memory was used up", blame: null };

const WAITED_EVERY_MS = 20;

export class CordonProcess {
  readonly id: number;
  readonly slot: number;
  readonly engine: EngineKind;
  /** Threads that hold a socket to it. */
  readonly threads: ReadonlySet<number>;
  /** Null while it is a spare. Set once, never changed. */
  lane: LaneName | null = null;
  cause: Cause | null = null;
  retired = false;
  ready = false;
  /** Whether its workspace's cordons die lately. */
  suspect = false;
  readonly startedAt = Date.now();
  /** Since when calls wait for it to come up, milliseconds since the epoch. */
  awaitedSince = this.startedAt;
  /** When it was killed, milliseconds since the epoch; 0 if it was not. */
  killedAt = 0;
  /** Whether data threads have been told that it is gone. */
  lost = false;
  lastUsedAt = Date.now();
  callsSeen = 0;
  /** Resident bytes when it was last measured, what it shares with others included. */
  rssBytes = 0;
  /** Those of them that nobody else has. */
  ownBytes = 0;
  /** For the watch: its CPU time when that was last looked at, and for how long calls were open since. */
  cpuSeen = { at: 0, ms: 0, busyMs: 0, excesses: 0 };
  readonly #child: ChildProcess;
  readonly #fenced: boolean;
  readonly #cgroup: Cgroup | null;
  #pid: number | null = null;
  /** Known once it is ready: to look while it ends would leave the kernel entries to remove again and again. */
  #chain: readonly number[] | null = null;
  #stat: ProcessStat | null = null;
  #wantedMs = 0;
  #waited = { at: 0, ms: 0 };
  readonly #up = Promise.withResolvers<void>();
  #lastWords = "";

  constructor(
    id: number,
    slot: number,
    engine: EngineKind,
    threads: ReadonlySet<number>,
    child: ChildProcess,
    fenced: boolean,
    cgroup: Cgroup | null = null,
  ) {
    this.id = id;
    this.slot = slot;
    this.engine = engine;
    this.threads = threads;
    this.#child = child;
    this.#fenced = fenced;
    this.#cgroup = cgroup;
    if (child.pid !== undefined) cgroup?.take(child.pid);
    child.stderr?.on("data", (part: Buffer) => {
      this.#lastWords += part.toString("latin1", 0, MAX_LAST_WORDS);
      // Who has more to say than is kept would only give this thread work: it has nobody to say it to.
      if (this.#lastWords.length >= MAX_LAST_WORDS) child.stderr?.destroy();
    });
  }

  /** Null while it is a spare. */
  get workspace(): string | null {
    return this.lane?.workspace ?? null;
  }

  /** The process id of the cordon itself; null before it is ready. */
  get pid(): number | null {
    return this.#pid;
  }

  /** What was spawned, and what has come of it, as far as it is there: the cordon itself is the last. */
  pids(): readonly number[] {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return [];
    if (this.#chain === null) return [pid, ...(this.#fenced ? descendantsOf(pid) : [])];
    return this.#stat?.cpuMs() === null ? this.#chain.slice(0, -1) : this.#chain;
  }

  /** What it wrote to stderr, for the log. */
  get lastWords(): string {
    return this.#lastWords.slice(0, MAX_LAST_WORDS).replace(UNSHARES_WORDS, "").trim();
  }

  /** `killed` tells whether it was ended by SIGKILL; `how` says it in words. */
  onExit(listener: (how: string, killed: boolean) => void): void {
    this.#child.once("exit", (code, signal) => {
      this.#up.resolve();
      this.#stat?.close();
      if (this.#cgroup?.ranOutOfMemory()) this.cause ??= OUT_OF_MEMORY;
      this.#cgroup?.remove();
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      let told = false;
      const tell = () => {
        if (told) return;
        told = true;
        listener(how, signal === "SIGKILL" || (this.#fenced && this.#lastWords.includes(TAKEN_FROM_UNSHARE)));
      };
      // Its last words may be on their way, and somebody else may hold on to their pipe.
      this.#child.once("close", tell);
      setTimeout(tell, LAST_WORDS_MS).unref();
    });
    this.#child.once("error", () => {}); // an exit follows, or start() has rejected
  }

  /** Resolves when it is ready, or dead. */
  get up(): Promise<void> {
    return this.#up.promise;
  }

  /** Called when it has said that it is ready: from now on its memory is watched. */
  cameUp(): void {
    if (this.ready) return;
    this.ready = true;
    this.#up.resolve();
    const chain = this.pids();
    this.#pid = chain.length > (this.#fenced ? 1 : 0) ? (chain.at(-1) ?? null) : null;
    if (this.#pid === null) return;
    this.#chain = chain;
    this.#cgroup?.take(this.#pid); // it may have been forked before its parent was taken
    try {
      this.#stat = new ProcessStat(this.#pid);
      writeFileSync(`/proc/${this.#pid}/oom_score_adj`, OOM_SCORE);
    } catch {
      // It died in this moment, or /proc is read-only: the first is noticed by exit, the second harmless.
    }
  }

  /** Resident bytes now; the last known value if they cannot be read. */
  measure(): number {
    const memory = this.#stat?.memory() ?? null;
    if (memory !== null) {
      this.rssBytes = memory.rssBytes;
      this.ownBytes = memory.ownBytes;
    }
    return this.rssBytes;
  }

  /** CPU time of all its threads since it started, milliseconds. Null if that cannot be known. */
  cpuMs(): number | null {
    return this.#stat?.cpuMs() ?? null;
  }

  /** For how long it has worked or wanted a core since it started, milliseconds. */
  wantedMs(): number {
    return this.#stat?.wantedMs() ?? 0;
  }

  /** For how long the thread that guests run on has waited for a core, milliseconds; looked up now and then. */
  waitedMs(now: number): number {
    if (now - this.#waited.at >= WAITED_EVERY_MS) this.#waited = { at: now, ms: this.#stat?.waitedMs() ?? 0 };
    return this.#waited.ms;
  }

  /** `wantedMs` since this was last asked. */
  takeWantedMs(): number {
    const before = this.#wantedMs;
    this.#wantedMs = this.#stat?.wantedMs() ?? before;
    return this.#wantedMs - before;
  }

  kill(): void {
    this.killedAt = Date.now();
    endChain(this.#child, this.#fenced);
  }
}

export interface ThreadAddress {
  readonly thread: number;
  readonly socketName: string;
  readonly token: string;
}

export function newToken(): string {
  return randomBytes(TOKEN_CHARACTERS / 2).toString("hex");
}

/**
 * Connects to every thread, proves by its token that the connection is the announced one, and starts the
 * process with the connected sockets as descriptors 3 and up. This process keeps no copy of them. A thread that
 * died in the meantime is left out.
 */
export async function startCordon(
  place: {
    room: Room;
    fence: Fence;
    maxRssBytes?: number;
    numbers?: { readonly firstSlot: number };
  },
  id: number,
  slot: number,
  engine: EngineKind,
  addresses: readonly ThreadAddress[],
): Promise<CordonProcess> {
  const sockets: Socket[] = [];
  const threads = new Set<number>();
  try {
    for (const address of addresses) {
      const socket = await open(address);
      if (socket === null) continue;
      sockets.push(socket);
      threads.add(address.thread);
    }
    if (sockets.length === 0) throw new Error("no data thread listens");
    const ownSlot = (place.numbers?.firstSlot ?? 0) + slot;
    const command = cordonCommand(place.room, place.fence, engine, sockets.length, ownSlot);
    const [file, ...args] = begins(command) as [string, ...string[]];
    const child = spawn(file, args, {
      cwd: command.cwd,
      env: {},
      stdio: ["ignore", "ignore", "pipe", ...sockets],
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    const { by, cgroup } = place.fence;
    const group = cgroup === null ? null : new Cgroup(cgroup, id, place.maxRssBytes ?? MAX_MEMORY);
    return new CordonProcess(id, slot, engine, threads, child, by !== "nothing", group);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

/** Null if nobody listens there any more. */
function open(address: ThreadAddress): Promise<Socket | null> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: `\0${address.socketName}` });
    socket.pause(); // what comes back is for the cordon
    const timer = setTimeout(() => fail(new Error("the data thread did not accept in time")), CONNECT_MS);
    const fail = (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      socket.destroy();
      if (error.code === "ECONNREFUSED") resolve(null);
      else reject(error);
    };
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.write(address.token, "latin1", () => {
        clearTimeout(timer);
        socket.off("error", fail);
        socket.on("error", () => {});
        resolve(socket);
      });
    });
  });
}
