/**
 * The smoke run of an upload: what the forge has admitted is brought up once, as its first call would do it, in a
 * cordon that serves nobody and is killed afterwards. A guest that cannot start is refused while its author looks.
 *
 * The cordon is an ordinary one behind the ordinary fence, and nothing that it says is believed beyond its form.
 */
import { spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { cordonCommand, type Fence } from "../fence/fence.ts";
import { SMOKE_SLOT } from "../fence/guest-users.ts";
import type { Room } from "../fence/room.ts";
import type { EngineKind, GuestConfig, Turn } from "../protocol/engine.ts";
import {
  configureFrame,
  FROM_CORDON,
  loadFrame,
  MAX_FRAME_FROM_CORDON,
  prepareFrame,
  readTurn,
} from "../protocol/frames.ts";
import { FrameSplitter } from "../protocol/wire.ts";
import { CordonProcess } from "../supervisor/cordon-process.ts";
import { begins } from "../supervisor/scheduling.ts";

export interface SmokeOptions {
  readonly room: Room;
  readonly fence: Fence;
  /** Wall time for bringing the guest up, the start of the process left out. */
  readonly deadlineMs?: number;
  /** Resident bytes at which the cordon is killed. */
  readonly rssBytes?: number;
}

export interface SmokeJob {
  readonly artifact: Uint8Array;
  /** `limits.fuel` is what the guest may use for its start; no `config` leaves out an isolate's `create`. */
  readonly config: GuestConfig;
}

export type Smoke =
  | { readonly ok: true; readonly fuel: number; readonly memoryBytes: number }
  | { readonly ok: false; readonly reason: string };

/** What brings up a process that runs no guest yet may take on a busy machine. */
const READY_MS = 10_000;
export const DEADLINE_MS = 2000;
/** How many times its own time it may wait for a core. */
const STARVED_FACTOR = 4;
const RSS_BYTES = 256 * 1024 * 1024;
const WATCH_MS = 5;

/** How often a guest is tried that takes too long. */
const TRIES = 3;

/**
 * Tries a guest. One that took too long is tried again: a machine may be busy, a loop stays one.
 * @param first a cordon that was started before; otherwise each try starts its own.
 * @throws {Error} if no cordon could be started, which tells nothing about the guest.
 */
export async function smokeRun(
  job: SmokeJob,
  options: SmokeOptions,
  first: TrialCordon | null = null,
): Promise<Smoke> {
  let cordon = first;
  for (let left = TRIES; ; left--) {
    cordon ??= new TrialCordon(engineOf(job), options);
    const { late, smoke } = await cordon.try(job, options);
    cordon = null;
    if (!late || left <= 1) return smoke;
  }
}

export function engineOf({ config }: SmokeJob): EngineKind {
  return config.runtime === "isolate" ? "isolate" : "wasm";
}

interface Try {
  smoke: Smoke;
  late: boolean;
}

/** A cordon in which one guest may be tried. It comes up by itself, and is killed after its try. */
export class TrialCordon {
  readonly engine: EngineKind;
  readonly #cordon: CordonProcess;
  readonly #socket: Duplex;
  readonly #gone = Promise.withResolvers<string>();
  readonly #up = Promise.withResolvers<void>();
  #onTurn: (turn: Turn) => void = () => {};
  #onNonsense: () => void = () => {};
  #ended = false;

  constructor(engine: EngineKind, { room, fence }: Pick<SmokeOptions, "room" | "fence">) {
    this.engine = engine;
    const command = cordonCommand(room, fence, engine, 1, SMOKE_SLOT);
    const [file, ...args] = begins(command, "near") as [string, ...string[]];
    const child = spawn(file, args, {
      cwd: command.cwd,
      env: {},
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    child.once("error", (error) => this.#gone.resolve(error.message));
    this.#socket = child.stdio[3] as unknown as Duplex;
    this.#cordon = new CordonProcess(0, SMOKE_SLOT, engine, new Set(), child, fence.by !== "nothing");
    this.#cordon.onExit(this.#gone.resolve);
    const notReady = setTimeout(
      () => this.#up.reject(new Error("a cordon for trying an upload was not ready")),
      READY_MS,
    );
    this.#up.promise.catch(() => {}); // told to whoever tries something
    void this.#gone.promise.then((how) => {
      this.#ended = true;
      clearTimeout(notReady);
      const { lastWords } = this.#cordon;
      this.#up.reject(new Error(`a cordon for trying an upload did not come up: ${how} ${lastWords}`));
    });
    const splitter = new FrameSplitter(MAX_FRAME_FROM_CORDON, (_id, type, payload) => {
      if (type === FROM_CORDON.ready) {
        clearTimeout(notReady);
        this.#cordon.cameUp();
        this.#up.resolve();
      } else if (type === FROM_CORDON.turn) this.#onTurn(readTurn(payload));
    });
    this.#socket.on("data", (chunk: Buffer) => {
      try {
        splitter.push(chunk);
      } catch {
        this.#onNonsense();
      }
    });
    this.#socket.on("error", () => {}); // the exit tells more
  }

  /** Whether its process is there no more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** @throws {Error} if it did not come up. */
  async try({ artifact, config }: SmokeJob, options: SmokeOptions): Promise<Try> {
    const { deadlineMs = DEADLINE_MS, rssBytes = RSS_BYTES } = options;
    const cordon = this.#cordon;
    let timer: NodeJS.Timeout | undefined;
    let watch: NodeJS.Timeout | undefined;
    try {
      await this.#up.promise;
      const { promise, resolve } = Promise.withResolvers<Try>();
      const refuse = (reason: string, late = false) => resolve({ smoke: { ok: false, reason }, late });
      this.#onTurn = (turn) => resolve(judge(turn));
      this.#onNonsense = () => refuse("its cordon answered nonsense");
      void this.#gone.promise.then((how) => refuse(`it killed the process that it was tried in (${how})`));
      const began = Date.now();
      const waitedBefore = cordon.waitedMs(began);
      // What it waits for a core meanwhile is not its own time.
      const judgeLate = () => {
        const now = Date.now();
        const waitedMs = Math.min(cordon.waitedMs(now) - waitedBefore, STARVED_FACTOR * deadlineMs);
        const leftMs = deadlineMs + waitedMs - (now - began);
        if (leftMs <= 0) refuse(`it was not up within ${deadlineMs} ms`, true);
        else timer = setTimeout(judgeLate, leftMs);
      };
      timer = setTimeout(judgeLate, deadlineMs);
      watch = setInterval(() => {
        if (cordon.measure() > rssBytes)
          refuse(`bringing it up took more than ${Math.floor(rssBytes / 1024 / 1024)} MiB of memory`);
      }, WATCH_MS);
      this.#socket.write(
        loadFrame(config.digest, artifact) + configureFrame(1, config) + prepareFrame(1, 1, Date.now()),
        "latin1",
      );
      return await promise;
    } finally {
      clearTimeout(timer);
      clearInterval(watch);
      await this.end();
    }
  }

  /** Resolves once its process is gone. */
  async end(): Promise<void> {
    this.#cordon.kill();
    await this.#gone.promise;
    this.#socket.destroy();
  }
}

function judge(turn: Turn): Try {
  if (turn.kind === "failure")
    return { smoke: { ok: false, reason: turn.message.slice(0, 500) }, late: turn.failure === "timeout" };
  const { fuel, memoryBytes } = turn.usage;
  return { smoke: { ok: true, fuel, memoryBytes }, late: false };
}
