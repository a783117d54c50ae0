/** What the main thread runs for guests: the forge, the fence, and the supervisor of cordons. */
import type { Logger } from "pino";
import { LogBudget } from "../observe/log-budget.ts";
import { forgeBy } from "../registry/forge.ts";
import type { Manifest } from "../registry/manifest.ts";
import type { Forge } from "../registry/registry.ts";
import type { Settings } from "../settings.ts";
import { DetachedGuests, type DetachedOptions } from "./detached.ts";
import type { Fence } from "./fence/fence.ts";
import { probeFence } from "./fence/fence-probe.ts";
import { prepareRoom, type Room } from "./fence/room.ts";
import { createForge, type Forge as ForgeClient } from "./forge/forge-client.ts";
import { Trials } from "./forge/trials.ts";
import { cpuAllowance, type WorkspaceLimits } from "./limits.ts";
import type { ToSupervisor } from "./protocol/messages.ts";
import type { CpuAccount } from "./supervisor/budget.ts";
import { Supervisor } from "./supervisor/supervisor.ts";

/** What a data thread's sandbox says goes in here. */
export interface SandboxChannel {
  onMessage(message: unknown): void;
  close(): void;
}

/** Uploads that wait for their try while one is tried; the next one is told that the forge is busy. */
const WAITING_TRIES = 4;

export class Sandbox {
  readonly fence: Fence;
  readonly #supervisor: Supervisor;
  readonly #forgeClient: ForgeClient;
  readonly #trials: Trials;
  readonly forge: Forge;
  readonly #room: Room;
  readonly #log: Logger;

  private constructor(
    room: Room,
    fence: Fence,
    supervisor: Supervisor,
    forgeClient: ForgeClient,
    log: Logger,
  ) {
    this.fence = fence;
    this.#room = room;
    this.#log = log;
    this.#supervisor = supervisor;
    this.#forgeClient = forgeClient;
    // Each try costs a process, and one that hangs takes seconds.
    const trials = new Trials({ room, fence, queueLength: WAITING_TRIES });
    const forge = forgeBy(forgeClient, (job, workspace) => trials.run(job, workspace));
    this.#trials = trials;
    this.forge = async (input) => {
      const answer = await forge(input);
      if (answer.ok) this.expectGuests([input.manifest.runtime]);
      return answer;
    };
  }

  /** Prepares the room that cordons live in and tries the fence once. */
  static async open(
    settings: Settings,
    log: Logger,
    limitsOf: (workspace: string) => WorkspaceLimits,
  ): Promise<Sandbox> {
    const room = await prepareRoom(settings.prefix);
    const fence = await probeFence(room, {
      launcher: settings.cordonLauncher,
      firstUid: settings.cordonUidFirst,
      cgroup: settings.cordonCgroup,
    });
    logFence(fence, log);
    const supervisor = new Supervisor({
      room,
      fence,
      log: (level, message, fields) => log[level](fields, message),
      maxCordons: settings.cordonsMax,
      maxReplicas: settings.cordonsPerWorkspace,
      spares: settings.cordonsSpare,
      budgetBytes: settings.cordonsMemoryBytes,
      cpuAllowance: (workspace) => cpuAllowance(limitsOf(workspace)),
      memoryOf: (workspace) => limitsOf(workspace).workspaceMemoryBytes,
      cpuTotalMsPerSecond: settings.pluginCpuMsPerSecond,
      onExhausted: exhaustionLog(log),
    });
    return new Sandbox(room, fence, supervisor, createForge({ place: { room, fence } }), log);
  }

  /** A data thread's line to the supervisor. */
  connect(post: (message: unknown) => void): SandboxChannel {
    let listener: ((message: ToSupervisor) => void) | null = null;
    const remove = this.#supervisor.addThread({
      post,
      onMessage: (given) => {
        listener = given;
      },
    });
    return {
      onMessage: (message) => listener?.(message as ToSupervisor),
      close: remove,
    };
  }

  /** CPU time of each workspace's guests, as the kernel counts it, and what their host calls take. */
  cpuAccounts(): readonly CpuAccount[] {
    return this.#supervisor.cpuAccounts();
  }

  /** The limits of workspaces have been moved. */
  limitsMoved(): void {
    this.#supervisor.allowancesMoved();
  }

  /** A workspace is no more. @returns how many cordons it had, which are killed. */
  forgetWorkspace(workspace: string): number {
    return this.#supervisor.forgetWorkspace(workspace);
  }

  /** There are packages of these runtimes: their engines are kept ready for first calls. */
  expectGuests(runtimes: Iterable<Manifest["runtime"]>): void {
    for (const runtime of runtimes) this.#supervisor.expectGuests(runtime === "isolate" ? "isolate" : "wasm");
  }

  /** Cordons of their own for somebody who has recorded calls for them; there is one at a time. */
  detached(options: Omit<DetachedOptions, "room" | "fence" | "log">): Promise<DetachedGuests> {
    return DetachedGuests.open({
      ...options,
      room: this.#room,
      fence: this.fence,
      log: (level, message, fields) => this.#log[level]({ ...fields, replay: true }, message),
    });
  }

  status(): ReturnType<Supervisor["status"]> {
    return this.#supervisor.status();
  }

  /** Data threads are about to end, each when it is done. */
  drain(): void {
    this.#supervisor.drain();
  }

  async close(): Promise<void> {
    await Promise.all([this.#supervisor.close(), this.#forgeClient.close(), this.#trials.close()]);
  }
}

/** How often a workspace that uses up its budget again and again is named. */
const EXHAUSTED_MS = 10_000;

function exhaustionLog(log: Logger): (workspace: string) => void {
  const budget = new LogBudget(
    { perSecond: 1000 / EXHAUSTED_MS, burst: 1, intervalMs: EXHAUSTED_MS },
    (times, fields) =>
      log.warn({ ...fields, times }, "a workspace's guests used up their CPU time again and again"),
  );
  return (workspace) => {
    if (budget.admits(workspace, { workspace }))
      log.warn({ workspace }, "a workspace's guests have used up their CPU time: its calls are refused");
  };
}

/** One line that says what holds guests here, and what does not and why. */
function logFence({ inForce, by, why, means, missing }: Fence, log: Logger): void {
  const fence = { in_force: inForce, by, why, means, missing };
  if (inForce) log.info({ fence }, "the operating system's fence around guests is in force");
  else
    log.warn(
      { fence },
      "the operating system's fence around guests is not in force; only 'default' may upload",
    );
}
