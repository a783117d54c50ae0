/**
 * The only parent of cordons, on the main thread: starts them, gives each to one workspace, kills and reaps
 * them, and holds back plugins that keep killing them. `watch.ts` looks after their memory, `spares.ts` keeps
 * some started.
 *
 * Nothing here waits for a cordon or reads from one. Data threads talk to cordons and judge their answers;
 * this judges by what the kernel says. A cordon is killed with SIGKILL only, and never changes hands.
 */

import { type CpuAccount, type CpuAllowance, CpuBudgets, UNBOUNDED } from "./budget.ts";
import { type CordonProcess, newToken, startCordon } from "./cordon-process.ts";
import { CpuWatch } from "./cpu-watch.ts";
import type { EngineKind, Failure } from "./engine.ts";
import type { Fence } from "./fence.ts";
import { Activity, type Blame, MAX_CORDONS, type SupervisorPort, type ToSupervisor } from "./messages.ts";
import type { Room } from "./room.ts";
import { Spares } from "./spares.ts";
import { Suspensions } from "./suspension.ts";
import { Watch } from "./watch.ts";

export interface SupervisorOptions {
  readonly room: Room;
  readonly fence: Fence;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>) => void;
  /** Resident bytes at which a cordon is killed. Default 256 MiB. */
  readonly maxRssBytes?: number;
  /** Resident bytes of all cordons together, beyond which idle ones are evicted. Default 2 GiB. */
  readonly budgetBytes?: number;
  /** Cordons without a workspace that are kept started, for each of these engines. Default none. */
  readonly spares?: readonly EngineKind[];
  /** Idle time after which a cordon is evicted. Default ten minutes. */
  readonly idleMs?: number;
  /** How many cordons there may be at once. Default 256. */
  readonly maxCordons?: number;
  /** CPU time that a workspace's guests may use. Default: without a bound. */
  readonly cpuAllowance?: (workspace: string) => CpuAllowance;
  /** Milliseconds a second of CPU time for all workspaces with a bound together. Default: without a bound. */
  readonly cpuTotalMsPerSecond?: number;
  /** Told whenever a workspace's guests have just used up their CPU time. */
  readonly onExhausted?: (workspace: string) => void;
}

const RETIREMENT_MS = 2000;
const SLOT_REST_MS = 1000;
/** A lane whose cordons die faster than this has to wait before the next one. */
const DEATHS = 20;
const DEATHS_WINDOW_MS = 10_000;

interface Thread {
  readonly id: number;
  readonly port: SupervisorPort;
  socketName: string | null;
}

interface Lane {
  readonly engine: EngineKind;
  readonly workspace: string;
  cordon: CordonProcess | null;
  starting: boolean;
  deaths: number[];
}

export interface CordonStatus {
  readonly id: number;
  readonly pid: number | null;
  readonly engine: EngineKind;
  readonly workspace: string | null;
  readonly rssBytes: number;
  readonly calls: number;
}

export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #threads = new Map<number, Thread>();
  readonly #cordons = new Map<number, CordonProcess>();
  readonly #lanes = new Map<string, Lane>();
  readonly #spares: Spares;
  readonly #watch: Watch;
  readonly #budgets: CpuBudgets;
  readonly #cpuWatch: CpuWatch<CordonProcess>;
  readonly #activityBuffer = Activity.allocate();
  readonly #activity = new Activity(this.#activityBuffer);
  readonly #suspensions = new Suspensions();
  readonly #slots: number[] = Array.from({ length: MAX_CORDONS }, (_, i) => MAX_CORDONS - 1 - i);
  #nextThread = 1;
  #nextCordon = 1;
  #closing = false;
  #deaths = 0;
  #allGone: (() => void) | null = null;

  constructor(options: SupervisorOptions) {
    this.#options = {
      maxRssBytes: 256 * 1024 * 1024,
      budgetBytes: 2 * 1024 * 1024 * 1024,
      spares: [],
      idleMs: 600_000,
      maxCordons: 256,
      cpuAllowance: () => UNBOUNDED,
      cpuTotalMsPerSecond: Number.POSITIVE_INFINITY,
      onExhausted: () => {},
      ...options,
    };
    this.#budgets = new CpuBudgets({
      allowanceOf: this.#options.cpuAllowance,
      totalMsPerSecond: this.#options.cpuTotalMsPerSecond,
      onOpened: (workspace, slot) => {
        for (const thread of this.#threads.values()) thread.port.post({ type: "budget", workspace, slot });
      },
      onExhausted: (workspace) => this.#options.onExhausted(workspace),
    });
    this.#cpuWatch = new CpuWatch(this.#budgets, (cordon) =>
      this.#kill(cordon, "budget", "its workspace's guests have used up their CPU time", null),
    );
    const { log, maxRssBytes, budgetBytes, idleMs } = this.#options;
    this.#spares = new Spares({
      engines: this.#options.spares,
      mayStart: () =>
        !this.#closing && [...this.#threads.values()].some((thread) => thread.socketName !== null),
      start: (engine) => this.#start(engine),
      onFailure: (engine, { message: reason }) =>
        log("error", "a spare cordon could not be started", { engine, reason }),
      onSettled: () => this.#settleClose(),
    });
    this.#watch = new Watch({
      cordons: this.#cordons,
      activity: this.#activity,
      maxRssBytes,
      budgetBytes,
      idleMs,
      kill: (cordon, failure, message) => this.#kill(cordon, failure, message, null),
      retire: (cordon) => this.#retire(cordon),
      evictOne: () => this.#evictOne(),
      onLook: (cordon, busy, now) => this.#cpuWatch.look(cordon, busy, now),
    });
  }

  /** CPU time of each workspace that has had a cordon. */
  cpuAccounts(): CpuAccount[] {
    return this.#budgets.accounts();
  }

  /** Takes a data thread's channel. Returns a function for when that thread is no more. */
  addThread(port: SupervisorPort): () => void {
    const thread: Thread = { id: this.#nextThread++, port, socketName: null };
    this.#threads.set(thread.id, thread);
    port.onMessage((message) => this.#on(thread, message));
    port.post({ type: "welcome", activity: this.#activityBuffer, budgets: this.#budgets.buffer });
    for (const slot of this.#budgets.slots()) port.post({ type: "budget", ...slot });
    return () => {
      this.#threads.delete(thread.id);
      // Its calls are lost with it; the others' cordons must not keep counting them as open.
      for (const cordon of this.#cordons.values()) if (cordon.threads.has(thread.id)) this.#retire(cordon);
    };
  }

  status(): { cordons: CordonStatus[]; deaths: number } {
    const cordons = [...this.#cordons.values()].map((cordon) => ({
      id: cordon.id,
      pid: cordon.pid,
      engine: cordon.engine,
      workspace: cordon.workspace,
      rssBytes: cordon.measure(),
      calls: this.#activity.started(cordon.slot),
    }));
    return { cordons, deaths: this.#deaths };
  }

  /** Kills every cordon; resolves when all are dead. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#watch.stop();
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve;
    });
    for (const cordon of this.#cordons.values()) this.#kill(cordon, null, "the gateway shuts down", null);
    if (this.#cordons.size === 0 && this.#startingCount() === 0) return;
    await gone;
  }

  #startingCount(): number {
    let count = this.#spares.starting;
    for (const lane of this.#lanes.values()) if (lane.starting) count++;
    return count;
  }

  #on(thread: Thread, message: ToSupervisor): void {
    switch (message.type) {
      case "listening":
        thread.socketName = message.name;
        // Cordons that were started before it have no socket to it.
        for (const cordon of this.#cordons.values()) this.#retire(cordon);
        this.#spares.fill();
        return;
      case "acquire":
        void this.#acquire(message.engine, message.workspace);
        return;
      case "ready": {
        this.#cordons.get(message.cordon)?.cameUp();
        return;
      }
      case "kill": {
        const cordon = this.#cordons.get(message.cordon);
        if (cordon !== undefined) this.#kill(cordon, message.failure, message.message, message.blame);
        return;
      }
      case "suspect":
        this.#strike(message.blame);
        return;
    }
  }

  async #acquire(engine: EngineKind, workspace: string): Promise<void> {
    const key = `${engine}\n${workspace}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { engine, workspace, cordon: null, starting: false, deaths: [] };
      this.#lanes.set(key, lane);
    }
    if (lane.cordon !== null) return this.#announce(lane.cordon);
    if (lane.starting || this.#closing) return;
    const spare = this.#spares.take(engine);
    if (spare !== null) {
      this.#assign(lane, spare);
      return;
    }
    lane.starting = true;
    try {
      const wait = this.#backOff(lane);
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      this.#assign(lane, await this.#start(engine));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#options.log("error", "a cordon could not be started", { engine, workspace, reason: message });
      for (const thread of this.#threads.values())
        thread.port.post({ type: "refused", engine, workspace, message });
    } finally {
      lane.starting = false;
      this.#settleClose();
    }
  }

  /** How long the next start has to wait. A few quick deaths are met at once; a storm of them is slowed. */
  #backOff(lane: Lane): number {
    const now = Date.now();
    lane.deaths = lane.deaths.filter((at) => now - at < DEATHS_WINDOW_MS);
    const excess = lane.deaths.length - DEATHS;
    return excess < 0 ? 0 : Math.min(100 * 2 ** Math.min(excess, 10), 5000);
  }

  #assign(lane: Lane, cordon: CordonProcess): void {
    lane.cordon = cordon;
    cordon.workspace = lane.workspace;
    this.#budgets.open(lane.workspace);
    this.#cpuWatch.assigned(cordon);
    cordon.lastUsedAt = Date.now();
    this.#watch.wake(cordon.lastUsedAt);
    this.#announce(cordon);
    this.#spares.fill();
  }

  #announce(cordon: CordonProcess): void {
    const { id, slot, engine, workspace } = cordon;
    if (workspace === null) return;
    for (const thread of this.#threads.values())
      if (cordon.threads.has(thread.id))
        thread.port.post({ type: "assigned", cordon: id, slot, engine, workspace });
  }

  async #start(engine: EngineKind): Promise<CordonProcess> {
    if (this.#cordons.size >= this.#options.maxCordons && !this.#evictOne())
      throw new Error(`there are ${this.#cordons.size} cordons already and none of them is idle`);
    const slot = this.#slots.pop();
    if (slot === undefined) throw new Error(`there can be ${MAX_CORDONS} cordons at most`);
    this.#activity.clear(slot);
    const id = this.#nextCordon++;
    const addresses = [];
    for (const { id: thread, port, socketName } of this.#threads.values()) {
      if (socketName === null) continue;
      const token = newToken();
      port.post({ type: "expect", cordon: id, token });
      addresses.push({ thread, socketName, token });
    }
    let cordon: CordonProcess;
    try {
      cordon = await startCordon(this.#options, id, slot, engine, addresses);
    } catch (error) {
      this.#slots.push(slot);
      throw error;
    }
    this.#cordons.set(id, cordon);
    cordon.onExit((how) => this.#died(cordon, how));
    if (this.#closing) this.#kill(cordon, null, "the gateway shuts down", null);
    for (const { thread } of addresses) if (!this.#threads.has(thread)) this.#retire(cordon);
    this.#watch.start();
    return cordon;
  }

  #kill(cordon: CordonProcess, failure: Failure | null, message: string, blame: Blame | null): void {
    if (cordon.cause !== null) return;
    cordon.cause = { failure, message, blame };
    this.#cpuWatch.settle(cordon);
    cordon.kill();
  }

  #died(cordon: CordonProcess, how: string): void {
    const cause = cordon.cause ?? { failure: "crashed" as const, message: `it died: ${how}`, blame: null };
    this.#cordons.delete(cordon.id);
    this.#cpuWatch.forget(cordon);
    // Threads may still count a call out of this slot: it is used again when they have heard.
    setTimeout(() => this.#slots.push(cordon.slot), SLOT_REST_MS).unref();
    this.#spares.drop(cordon);
    const { engine, workspace, id } = cordon;
    const lane = workspace === null ? undefined : this.#lanes.get(`${engine}\n${workspace}`);
    if (lane?.cordon === cordon) lane.cordon = null;
    if (cause.failure !== null) {
      this.#deaths++;
      lane?.deaths.push(Date.now());
      this.#options.log("warn", "a cordon died", {
        cordon: id,
        engine,
        workspace,
        kind: cause.failure,
        plugin: cause.blame?.plugin ?? null,
        reason: cause.message,
        rss_bytes: cordon.rssBytes,
        ...(cordon.lastWords === "" ? {} : { stderr: cordon.lastWords }),
      });
      if (cause.blame !== null) this.#strike(cause.blame);
    }
    for (const thread of this.#threads.values())
      if (cordon.threads.has(thread.id)) thread.port.post({ type: "gone", cordon: id, ...cause });
    this.#settleClose();
    if (workspace === null) this.#spares.fill();
  }

  #settleClose(): void {
    if (this.#closing && this.#cordons.size === 0 && this.#startingCount() === 0) this.#allGone?.();
  }

  #strike(blame: Blame): void {
    const untilMs = this.#suspensions.strike(blame, Date.now());
    if (untilMs === null) return;
    this.#options.log("error", "a plugin is suspended: it keeps killing its cordon", {
      workspace: blame.workspace,
      plugin: blame.plugin,
      until: new Date(untilMs).toISOString(),
    });
    for (const thread of this.#threads.values()) thread.port.post({ type: "suspended", blame, untilMs });
  }

  /** Gets no new calls; is killed when its open ones have ended, or after two seconds. */
  #retire(cordon: CordonProcess): void {
    if (cordon.retired) return;
    cordon.retired = true;
    this.#spares.drop(cordon);
    const lane = this.#lanes.get(`${cordon.engine}\n${cordon.workspace}`);
    if (lane?.cordon === cordon) lane.cordon = null;
    for (const thread of this.#threads.values())
      if (cordon.threads.has(thread.id)) thread.port.post({ type: "retired", cordon: cordon.id });
    const since = Date.now();
    const look = () => {
      if (!this.#cordons.has(cordon.id)) return;
      if (this.#activity.open(cordon.slot) <= 0 || Date.now() - since > RETIREMENT_MS)
        this.#kill(cordon, null, "retired", null);
      else setTimeout(look, 20).unref();
    };
    setTimeout(look, 20).unref();
  }

  /** Retires the cordon that was idle for the longest time. False if all are busy. */
  #evictOne(): boolean {
    let oldest: CordonProcess | null = null;
    for (const cordon of this.#cordons.values()) {
      if (cordon.retired || cordon.workspace === null || this.#activity.open(cordon.slot) > 0) continue;
      if (oldest === null || cordon.lastUsedAt < oldest.lastUsedAt) oldest = cordon;
    }
    if (oldest === null) return false;
    this.#retire(oldest);
    return true;
  }
}
