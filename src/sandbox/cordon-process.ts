/**
 * One cordon as its parent sees it: the process, its memory, its death. Knows nothing of what runs inside.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { EngineKind, Failure } from "./engine.ts";
import { cordonCommand, type Fence } from "./fence.ts";
import { type Blame, TOKEN_CHARACTERS } from "./messages.ts";
import type { Room } from "./room.ts";

const PAGE_BYTES = 4096;
const CONNECT_MS = 5000;
const MAX_LAST_WORDS = 2000;
/** The kernel, when it is out of memory, takes a cordon before anything else. */
const OOM_SCORE = "900";

/** Why a cordon was killed; kept until its death is announced. */
export interface Cause {
  readonly failure: Failure | null;
  readonly message: string;
  readonly blame: Blame | null;
}

export class CordonProcess {
  readonly id: number;
  readonly slot: number;
  readonly engine: EngineKind;
  /** Threads that hold a socket to it. */
  readonly threads: ReadonlySet<number>;
  /** Null while it is a spare. Set once, never changed. */
  workspace: string | null = null;
  cause: Cause | null = null;
  retired = false;
  ready = false;
  readonly startedAt = Date.now();
  lastUsedAt = Date.now();
  callsSeen = 0;
  rssBytes = 0;
  readonly #child: ChildProcess;
  readonly #fenced: boolean;
  #pid: number | null = null;
  #statm: number | null = null;
  #lastWords = "";

  constructor(
    id: number,
    slot: number,
    engine: EngineKind,
    threads: ReadonlySet<number>,
    child: ChildProcess,
    fenced: boolean,
  ) {
    this.id = id;
    this.slot = slot;
    this.engine = engine;
    this.threads = threads;
    this.#child = child;
    this.#fenced = fenced;
    child.stderr?.on("data", (part: Buffer) => {
      if (this.#lastWords.length < MAX_LAST_WORDS) this.#lastWords += part.toString("latin1");
    });
  }

  /** The process id of the cordon itself; null before it is ready. */
  get pid(): number | null {
    return this.#pid;
  }

  /** What it wrote to stderr, for the log. */
  get lastWords(): string {
    return this.#lastWords.slice(0, MAX_LAST_WORDS).trim();
  }

  onExit(listener: (how: string) => void): void {
    this.#child.once("exit", (code, signal) => {
      if (this.#statm !== null) closeSync(this.#statm);
      this.#statm = null;
      listener(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    this.#child.once("error", () => {}); // an exit follows, or start() has rejected
  }

  /** Called when it has said that it is ready: from now on its memory is watched. */
  cameUp(): void {
    if (this.ready) return;
    this.ready = true;
    this.#pid = this.#fenced ? this.#fencedPid() : (this.#child.pid ?? null);
    if (this.#pid === null) return;
    try {
      this.#statm = openSync(`/proc/${this.#pid}/statm`, "r");
      writeFileSync(`/proc/${this.#pid}/oom_score_adj`, OOM_SCORE);
    } catch {
      // It died in this moment, or /proc is read-only: the first is noticed by exit, the second harmless.
    }
  }

  /** Behind the fence the spawned process is `unshare` or a launcher, and the cordon its last descendant. */
  #fencedPid(): number | null {
    let pid = this.#child.pid ?? null;
    for (let depth = 0; depth < MAX_DEPTH && pid !== null; depth++) {
      const child = onlyChild(pid);
      if (child === null) return depth === 0 ? null : pid;
      pid = child;
    }
    return pid;
  }

  /** Resident bytes now; the last known value if they cannot be read. */
  measure(): number {
    if (this.#statm === null) return this.rssBytes;
    try {
      const length = readSync(this.#statm, STATM, 0, STATM.length, 0);
      const pages = Number(STATM.toString("latin1", 0, length).split(" ")[1]);
      if (pages > 0) this.rssBytes = pages * PAGE_BYTES;
    } catch {
      // ESRCH: it is dead, and `exit` is on its way.
    }
    return this.rssBytes;
  }

  /**
   * SIGKILL: nothing softer works on a process that is stuck in V8. Behind the fence the cordon itself is
   * killed; `unshare` above it reaps it and ends, so that nothing is left once the exit is seen.
   */
  kill(): void {
    const pid = this.#fenced ? this.#fencedPid() : null;
    if (pid === null) {
      this.#child.kill("SIGKILL");
      return;
    }
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It was quicker.
    }
    const late = setTimeout(() => this.#child.kill("SIGKILL"), REAPED_MS);
    this.#child.once("exit", () => clearTimeout(late));
  }
}

/** Processes that a launcher may put between. */
const MAX_DEPTH = 8;

function onlyChild(pid: number): number | null {
  try {
    const child = Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"), 10);
    return Number.isNaN(child) ? null : child;
  } catch {
    return null;
  }
}

/** Time that `unshare` has to notice that its child is dead. */
const REAPED_MS = 1000;

const STATM = Buffer.alloc(128);

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
 * process with the connected sockets as descriptors 3 and up. This process keeps no copy of them.
 */
export async function startCordon(
  place: { room: Room; fence: Fence },
  id: number,
  slot: number,
  engine: EngineKind,
  addresses: readonly ThreadAddress[],
): Promise<CordonProcess> {
  const sockets: Socket[] = [];
  try {
    for (const address of addresses) sockets.push(await open(address));
    const command = cordonCommand(place.room, place.fence, engine, sockets.length, slot);
    const child = spawn(command.file, [...command.args], {
      cwd: command.cwd,
      env: {},
      stdio: ["ignore", "ignore", "pipe", ...sockets],
    });
    const threads = new Set(addresses.map((address) => address.thread));
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    return new CordonProcess(id, slot, engine, threads, child, place.fence.by !== "nothing");
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

function open(address: ThreadAddress): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: `\0${address.socketName}` });
    socket.pause(); // what comes back is for the cordon
    const timer = setTimeout(() => fail(new Error("the data thread did not accept in time")), CONNECT_MS);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
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
