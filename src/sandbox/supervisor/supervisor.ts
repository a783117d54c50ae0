/**
 * The only parent of cordons, on the main thread: starts them, gives each to one workspace, kills and reaps
 * them, and holds back plugins that keep killing them. `placement.ts` says which cordons serve whom, `watch.ts`
 * looks after what they use, `spares.ts` keeps some started.
 *
 * Nothing here waits for a cordon or reads from one. Data threads talk to cordons and judge their answers;
 * this judges by what the kernel says. A cordon is killed with SIGKILL only, and never changes hands.
 */

import type { EngineKind, Failure } from "../protocol/engine.ts";
import {
  Activity,
  type Blame,
  type LaneName,
  type SupervisorPort,
  type ToSupervisor,
  type ToThread,
} from "../protocol/messages.ts";
import { type CpuAccount, CpuBudgets } from "./budget.ts";
import { type Cause, type CordonProcess, newToken, startCordon } from "./cordon-process.ts";
import { type CordonStatus, statusOf } from "./cordon-status.ts";
import { CpuWatch } from "./cpu-watch.ts";
import { Discipline } from "./discipline.ts";
import { heaviest, idlest } from "./eviction.ts";
import { MemoryWatch } from "./memory-watch.ts";
import { Placement, type Want } from "./placement.ts";
import { Priorities } from "./priority.ts";
import { Spares } from "./spares.ts";
import { type SupervisorOptions, withDefaults } from "./supervisor-options.ts";
import type { HeldBack } from "./suspension.ts";
import { Watch } from "./watch.ts";

const RETIREMENT_MS = 2000;
const SLOT_REST_MS = 1000;
/** A cordon that data threads came or went under while it started is started again, this many times. */
const START_ATTEMPTS = 4;

interface Thread {
  readonly id: number;
  readonly port: SupervisorPort;
  socketName: string | null;
}

export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #threads = new Map<number, Thread>();
  readonly #cordons = new Map<number, CordonProcess>();
  readonly #placement: Placement;
  readonly #spares: Spares;
  readonly #watch: Watch;
  readonly #budgets: CpuBudgets;
  readonly #cpuWatch: CpuWatch<CordonProcess>;
  readonly #memoryWatch: MemoryWatch<CordonProcess>;
  readonly #priorities = new Priorities<CordonProcess>();
  readonly #activityBuffer = Activity.allocate();
  readonly #activity = new Activity(this.#activityBuffer);
  readonly #discipline: Discipline;
  /** Those that are free, counted from the first that is this supervisor's. */
  readonly #slots: number[];
  /** Cordons that died lately by another hand than ours or their own. */
  readonly #outsiders = new Set<number>();
  /** Cordons that died lately without anybody being blamed. */
  readonly #unexplained = new Set<number>();
  #nextThread = 1;
  #nextCordon: number;
  #closing = false;
  #draining = false;
  #deaths = 0;
  #allGone: (() => void) | null = null;

  constructor(given: SupervisorOptions) {
    const options = withDefaults(given);
    this.#options = options;
    const { slots, firstId } = options.numbers;
    this.#slots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#nextCordon = firstId;
    this.#budgets = new CpuBudgets({
      allowanceOf: options.cpuAllowance,
      totalMsPerSecond: options.cpuTotalMsPerSecond,
      onOpened: (workspace, slot) => this.#tell({ type: "budget", workspace, slot }),
      onExhausted: options.onExhausted,
    });
    this.#cpuWatch = new CpuWatch(
      this.#budgets,
      (cordon) => this.#kill(cordon, "budget", "its workspace's guests have used up their CPU time", null),
      ({ slot }) => this.#activity.takeWork(slot) / 1000,
    );
    this.#memoryWatch = new MemoryWatch(options.memoryOf, (cordon, bytes, limit) => {
      const message = `its workspace's guests used ${bytes} bytes of memory, ${limit} are allowed`;
      this.#kill(cordon, "memory", message, null);
    });
    this.#discipline = new Discipline({
      forgivenAfterMs: options.forgivenAfterMs,
      log: options.log,
      tell: (message) => this.#tell(message),
      retireLane: (lane) => {
        for (const cordon of [...this.#placement.cordonsOf(lane)]) this.#retire(cordon);
      },
    });
    const shared = {
      ...options,
      activity: this.#activity,
      start: (engine: EngineKind, want: Want | null = null) => this.#start(engine, want),
      retire: (cordon: CordonProcess) => this.#retire(cordon),
      onSettled: () => this.#settleClose(),
    };
    this.#spares = new Spares({
      ...shared,
      count: options.spares,
      mayStart: () => this.#mayStartSpare(),
      onFailure: (engine, { message: reason }) =>
        options.log("error", "a spare cordon could not be started", { engine, reason }),
    });
    this.#placement = new Placement({
      ...shared,
      takeSpare: (engine) => this.#spares.take(engine),
      hasPlace: () => this.#hasPlace(),
      heldUntilMs: (lane) => this.#discipline.laneHeldUntilMs(lane),
      onAssigned: (cordon) => this.#assigned(cordon),
      announce: (cordon) => this.#announce(cordon),
      refuse: (lane, message) => this.#tell({ type: "refused", lane, message }),
    });
    this.#watch = new Watch({
      ...shared,
      cordons: this.#cordons,
      kill: (cordon, failure, message) => this.#kill(cordon, failure, message, null),
      evictOne: () => this.#evictIdle("memory") || this.#evictSpare(),
      onLook: (cordon, busy, now) => {
        this.#cpuWatch.look(cordon, busy, now);
        this.#priorities.look(cordon, this.#activity.started(cordon.slot), now);
        if (busy) this.#activity.setWaited(cordon.slot, cordon.waitedMs(now));
        this.#memoryWatch.add(cordon);
      },
      onLooked: (now) => {
        this.#memoryWatch.judge();
        this.#priorities.looked(now);
        this.#placement.weigh(now);
      },
    });
  }

  /** What `cpuAllowance` says has changed. */
  allowancesMoved(): void {
    this.#budgets.refresh();
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
    for (const { blame, apart, untilMs } of this.#discipline.heldBack()) {
      if (apart) port.post({ type: "apart", blame, apart });
      if (untilMs !== null) port.post({ type: "suspended", blame, untilMs });
    }
    return () => {
      this.#threads.delete(thread.id);
      // Its calls are lost with it; the others' cordons must not keep counting them as open.
      for (const cordon of this.#cordons.values()) if (cordon.threads.has(thread.id)) this.#retire(cordon);
    };
  }

  /** There are guests for this engine: a spare is kept started for it from now on. */
  expectGuests(engine: EngineKind): void {
    this.#spares.want(engine);
  }

  /**
   * A workspace is no more: its cordons are killed, and nothing is remembered of what its guests used or did.
   * @returns how many cordons it had.
   */
  forgetWorkspace(workspace: string): number {
    let killed = 0;
    for (const cordon of this.#cordons.values()) {
      if (cordon.lane?.workspace !== workspace || cordon.cause !== null) continue;
      this.#kill(cordon, null, "its workspace is deleted", null);
      killed++;
    }
    this.#discipline.forget(workspace);
    this.#budgets.close(workspace);
    return killed;
  }

  /** `heldBack` are plugins that are kept apart or suspended; `deaths` counts cordons that failed. */
  status(): { cordons: CordonStatus[]; heldBack: HeldBack[]; deaths: number } {
    const cordons = [...this.#cordons.values()]
      .filter(({ lost }) => !lost)
      .map((cordon) => statusOf(cordon, this.#activity.started(cordon.slot)));
    return { cordons, heldBack: this.#discipline.heldBack(), deaths: this.#deaths };
  }

  /** Data threads are about to hang up, each when it is done. */
  drain(): void {
    this.#draining = true;
  }

  /** Kills every cordon; resolves when all are dead. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#watch.stop();
    this.#spares.close();
    this.#placement.close();
    this.#discipline.close();
    const gone = new Promise<void>((resolve) => {
      this.#allGone = resolve;
    });
    for (const cordon of this.#cordons.values()) this.#kill(cordon, null, "the gateway shuts down", null);
    this.#settleClose();
    await gone;
  }

  #settleClose(): void {
    if (this.#closing && this.#cordons.size + this.#placement.starting + this.#spares.starting === 0)
      this.#allGone?.();
  }

  #on(thread: Thread, message: ToSupervisor): void {
    switch (message.type) {
      case "listening":
        thread.socketName = message.name;
        // Cordons that were started before it have no socket to it.
        for (const cordon of this.#cordons.values()) this.#retire(cordon);
        return;
      case "acquire":
        this.#spares.want(message.lane.engine);
        this.#placement.acquire(message.lane);
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
        if (this.#outsiders.has(message.cordon)) return;
        this.#unexplained.delete(message.cordon);
        this.#strike(message.blame, false);
        return;
    }
  }

  /**
   * Whether its SIGKILL was somebody else's doing: neither ours, nor the kernel's, which sends it to one that
   * uses much memory when there is none left. Guests have no means to send it.
   */
  #isOutsiders({ cause, ownBytes }: CordonProcess): boolean {
    return cause === null && ownBytes < this.#options.maxRssBytes / 2;
  }

  #strike(blame: Blame, certain: boolean): void {
    if (!this.#discipline.strike(blame, certain)) return;
    const { workspace, plugin } = blame;
    for (const engine of ["isolate", "wasm"] as const)
      this.#placement.forgive({ engine, workspace, plugin: null }, plugin);
  }

  #tell(message: ToThread): void {
    for (const { port } of this.#threads.values()) port.post(message);
  }

  #assigned(cordon: CordonProcess): void {
    if (cordon.lane !== null) this.#budgets.open(cordon.lane.workspace);
    this.#cpuWatch.assigned(cordon);
  }

  #announce(cordon: CordonProcess): void {
    const { id, slot, lane, threads } = cordon;
    if (lane === null) return;
    this.#watch.wake(Date.now());
    for (const thread of this.#threads.values())
      if (threads.has(thread.id))
        thread.port.post({ type: "assigned", cordon: id, slot, lane, threads: threads.size });
  }

  /** A spare waits until every other cordon is up. */
  #mayStartSpare(): boolean {
    if (this.#placement.starting > 0 || !this.#hasPlace()) return false;
    if (this.#watch.ownBytes > this.#options.budgetBytes / 2) return false;
    for (const { ready, cause } of this.#cordons.values()) if (!ready && cause === null) return false;
    for (const { socketName } of this.#threads.values()) if (socketName !== null) return true;
    return false;
  }

  /** Whether there can be one more without another having to go. */
  #hasPlace(): boolean {
    return this.#cordons.size < this.#options.maxCordons;
  }

  async #start(engine: EngineKind, want: Want | null): Promise<CordonProcess> {
    for (let attempt = 1; ; attempt++) {
      const cordon = await this.#startOnce(engine, want);
      // A thread that began to listen in the meantime would wait for this lane's cordon for ever.
      const whole = [...this.#threads.values()].every(
        ({ id, socketName }) => socketName === null || cordon.threads.has(id),
      );
      if ((whole && !cordon.retired && cordon.cause === null) || this.#closing) return cordon;
      this.#kill(cordon, null, "data threads came or went while it started", null);
      if (attempt === START_ATTEMPTS) throw new Error("data threads come and go");
    }
  }

  async #startOnce(engine: EngineKind, want: Want | null): Promise<CordonProcess> {
    if (!this.#hasPlace() && !this.#evictSpare() && !this.#evictIdle("place"))
      throw new Error(`there are ${this.#cordons.size} cordons already and none of them is idle`);
    const slot = this.#slots.pop();
    if (slot === undefined) throw new Error(`there can be ${this.#options.numbers.slots} cordons at most`);
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
    if (want !== null) {
      cordon.suspect = want.suspect;
      cordon.awaitedSince = want.since;
    }
    this.#cordons.set(id, cordon);
    cordon.onExit((how, killed) => this.#died(cordon, how, killed));
    if (this.#closing) this.#kill(cordon, null, "the gateway shuts down", null);
    this.#watch.start();
    return cordon;
  }

  #kill(cordon: CordonProcess, failure: Failure | null, message: string, blame: Blame | null): void {
    if (cordon.cause !== null) return;
    cordon.cause = { failure, message, blame };
    this.#cpuWatch.settle(cordon);
    cordon.kill();
    // Its calls, and whoever needs one now, need not wait for its end: on a machine that is busy that takes a while.
    this.#lose(cordon, cordon.cause);
  }

  #died(cordon: CordonProcess, how: string, killed: boolean): void {
    // A cordon ends by itself when the last data thread has hung up.
    const failure = this.#draining && how === "exit code 0" ? null : ("crashed" as const);
    const { id } = cordon;
    this.#cordons.delete(id);
    if (killed && this.#isOutsiders(cordon)) this.#outsiders.add(id);
    // Threads may still count a call out of this slot: it is used again when they have heard.
    setTimeout(() => {
      this.#slots.push(cordon.slot);
      this.#outsiders.delete(id);
    }, SLOT_REST_MS).unref();
    cordon.cause ??= { failure, message: `it died: ${how}`, blame: null };
    if (!cordon.lost) this.#lose(cordon, cordon.cause);
    this.#settleClose();
  }

  /** It serves nobody any more: it is dead, or has been killed. */
  #lose(cordon: CordonProcess, cause: Cause): void {
    const { engine, lane, id } = cordon;
    cordon.lost = true;
    this.#placement.drop(cordon);
    this.#spares.drop(cordon);
    if (cause.failure !== null) {
      const itsDoing = cause.failure !== "budget" && !this.#outsiders.has(id);
      const blame = cause.blame ?? (itsDoing ? aloneIn(lane) : null);
      this.#deaths++;
      this.#placement.countDeath(cordon, blame?.plugin ?? null, Date.now());
      this.#options.log("warn", "a cordon died", {
        cordon: id,
        engine,
        workspace: lane?.workspace ?? null,
        kind: cause.failure,
        plugin: blame?.plugin ?? null,
        reason: cause.message,
        rss_bytes: cordon.rssBytes,
        ...(cordon.lastWords === "" ? {} : { stderr: cordon.lastWords }),
      });
      if (blame !== null) this.#strike(blame, true);
      else if (lane !== null && cause.failure !== "budget") this.#awaitBlame(id, lane);
    }
    for (const thread of this.#threads.values())
      if (cordon.threads.has(thread.id)) thread.port.post({ type: "gone", cordon: id, ...cause });
  }

  /** Threads may know whose call ran. Where none did, the deaths are laid to the whole lane. */
  #awaitBlame(cordon: number, lane: LaneName): void {
    const killed = this.#outsiders.has(cordon);
    this.#unexplained.add(cordon);
    setTimeout(() => {
      if (this.#unexplained.delete(cordon)) this.#discipline.strikeLane(lane, killed);
    }, SLOT_REST_MS).unref();
  }

  /** Gets no new calls; is killed when its open ones have ended, or after two seconds. */
  #retire(cordon: CordonProcess): void {
    if (cordon.retired || cordon.lost) return;
    cordon.retired = true;
    this.#spares.drop(cordon);
    this.#placement.drop(cordon);
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

  /** Retires an idle cordon, for its memory or for its place. False if all are busy. */
  #evictIdle(scarce: "memory" | "place"): boolean {
    const serving = [...this.#cordons.values()].filter(
      ({ retired, lost, lane }) => !retired && !lost && lane !== null,
    );
    const idle = serving.filter(({ slot }) => this.#activity.open(slot) <= 0);
    const victim = scarce === "memory" ? heaviest(serving, idle) : idlest(idle);
    if (victim === null) return false;
    this.#retire(victim);
    return true;
  }

  /** Retires a spare. False if there is none. */
  #evictSpare(): boolean {
    const spare = this.#spares.oldest();
    if (spare === null) return false;
    this.#retire(spare);
    return true;
  }
}

/** Who is to blame for whatever happens to the cordons of a lane: the plugin that is alone there. */
function aloneIn(lane: LaneName | null): Blame | null {
  if (lane === null || lane.plugin === null) return null;
  return { workspace: lane.workspace, plugin: lane.plugin };
}
