/**
 * A data thread's lanes: which calls are admitted, which lane each belongs to, and what becomes of it when
 * cordons come, go and die. A call that finds no place in a cordon is queued, where it survives that cordon's
 * death.
 */
import { createHash } from "node:crypto";
import type { PlainWire } from "../../http1/plain-wire.ts";
import type { Failure, Turn } from "../protocol/engine.ts";
import { Activity, type Blame, type ClientPort, type LaneName, type ToThread } from "../protocol/messages.ts";
import { BudgetGate } from "../supervisor/budget.ts";
import type { CallEnds, Reason } from "./call-ends.ts";
import { BodyTooLong } from "./grants.ts";
import type { Call, Guest } from "./guest.ts";
import { HeldBackPlugins } from "./held-back.ts";
import { Homes, hasRoom, type Lane, LaneTable } from "./lane.ts";
import { CordonLink } from "./link.ts";
import { Lobby } from "./lobby.ts";

export const MAX_QUEUED = 1024;
export const MAX_ATTEMPTS = 3;
/** When to come back to a plugin that has too many open calls. */
const BUSY_MS = 1000;

/** Whether a call may be sent to a cordon now, has to wait in its lane, or is refused with a reason. */
export type Admission = "now" | "later" | Reason;

export interface LanesOptions {
  readonly port: ClientPort;
  /** Finds an artifact's bytes by its digest. */
  readonly artifact: (digest: string) => Uint8Array;
  /** What guests take for the time, milliseconds since the epoch. */
  readonly clock: () => number;
  readonly ends: CallEnds;
  readonly onTurn: (link: CordonLink, call: Call, turn: Turn) => void;
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new LaneTable();
  readonly #links = new Map<number, CordonLink>();
  readonly #heldBack = new HeldBackPlugins();
  /** What is computed for each call otherwise. Replaced when a plugin changes its lane. */
  #laneOf = new WeakMap<Guest, Lane>();
  readonly #homes = new Homes();
  /** What a cordon was assigned to before its socket was here. */
  readonly #assigned = new Map<number, { slot: number; lane: LaneName; threads: number }>();
  readonly #lobby = new Lobby((cordon, wire, rest) => this.#admit(cordon, wire, rest));
  #activity: Activity | null = null;
  #gate: BudgetGate | null = null;
  #closed = false;

  constructor(options: LanesOptions) {
    this.#options = options;
    options.port.onMessage((message) => this.#on(message));
  }

  async listen(): Promise<void> {
    const name = await this.#lobby.listen();
    this.#options.port.post({ type: "listening", name });
  }

  /** Closes every socket. Open calls fail as `unavailable`. */
  close(): void {
    const { ends } = this.#options;
    this.#closed = true;
    this.#lobby.close();
    for (const lane of this.#lanes)
      for (const call of lane.queue.splice(0)) ends.fail(call, "unavailable", "the gateway shuts down");
    for (const link of this.#links.values()) {
      for (const call of [...link.open.values()]) ends.fail(call, "unavailable", "the gateway shuts down");
      link.close();
    }
  }

  links(): Iterable<CordonLink> {
    return this.#links.values();
  }

  /**
   * Where every new call is judged, before anything is made for it: a limit on what a workspace or a plugin may
   * use belongs here, and in `#fill` for those that wait.
   */
  admission(guest: Guest): Admission {
    if (this.#isSuspended(guest)) return SUSPENDED;
    const { links, queue, budget } = this.#lane(guest);
    const waitMs = this.#waitFor(budget);
    if (waitMs > guest.settings.cpuWaitMs) return outOfBudget(waitMs);
    const { concurrentCalls } = guest.config.limits;
    if (guest.openCalls >= concurrentCalls)
      return { failure: "busy", message: `it has ${concurrentCalls} open calls`, retryAfterMs: BUSY_MS };
    if (queue.length >= MAX_QUEUED || this.#closed)
      return { failure: "unavailable", message: `${MAX_QUEUED} calls are waiting` };
    return waitMs === 0 && queue.length === 0 && links.some(hasRoom) ? "now" : "later";
  }

  /** Takes a call that was admitted. */
  submit(call: Call, admission: "now" | "later"): void {
    const lane = this.#lane(call.guest);
    if (admission === "now") return this.#send(this.#homes.choose(lane, call.ctx), call);
    lane.queue.push(call);
    if (lane.links.length === 0) this.#ask(lane);
  }

  /** Lets calls go that wait for their workspace's budget, or fails those that waited for long enough. */
  resumeHeld(): void {
    for (const lane of this.#lanes) this.#fill(lane);
  }

  /** Lets every cordon forget an instance. */
  forget(guest: Guest): void {
    for (const link of this.#links.values()) link.release(guest);
    this.#lanes.tidy();
  }

  /** Fails what has been in a queue since before `askedBefore` (`performance.now()`). */
  expireQueued(askedBefore: number): void {
    for (const { queue } of this.#lanes)
      while (queue[0] !== undefined && queue[0].askedAt < askedBefore)
        this.#options.ends.fail(queue.shift() as Call, "unavailable", "no cordon was free in time");
  }

  /** Asks for a cordon's death on account of the call that runs in it. */
  condemn(link: CordonLink, failure: Failure, message: string): void {
    link.condemned = true;
    const [head] = link.order;
    this.#options.port.post({
      type: "kill",
      cordon: link.id,
      failure,
      message,
      blame: head === undefined ? null : blameOf(head.guest),
    });
    this.#detach(link);
  }

  #isSuspended(guest: Guest): boolean {
    return this.#heldBack.suspended > 0 && this.#heldBack.isSuspended(blameOf(guest), Date.now());
  }

  #lane(guest: Guest): Lane {
    let lane = this.#laneOf.get(guest);
    if (lane === undefined || lane.gone) {
      const blame = blameOf(guest);
      const isAlone = guest.settings.onTrial === true || this.#heldBack.isApart(blame);
      const plugin = isAlone ? blame.plugin : null;
      lane = this.#lanes.named({ engine: guest.engine, workspace: blame.workspace, plugin });
      this.#laneOf.set(guest, lane);
    }
    return lane;
  }

  #waitFor(budget: number | null): number {
    return budget === null || this.#gate === null ? 0 : this.#gate.waitMs(budget);
  }

  /** Whether calls of the lane have to wait for its workspace's budget. Those that would wait too long fail. */
  #hold({ queue, budget }: Lane): boolean {
    const waitMs = this.#waitFor(budget);
    if (waitMs === 0) return false;
    const freeAt = performance.now() + waitMs;
    while (queue[0] !== undefined && freeAt - queue[0].askedAt > queue[0].guest.settings.cpuWaitMs) {
      const { failure, message } = outOfBudget(waitMs);
      this.#options.ends.fail(queue.shift() as Call, failure, message, waitMs);
    }
    return true;
  }

  #ask(lane: Lane): void {
    if (lane.asked) return;
    lane.asked = true;
    this.#options.port.post({ type: "acquire", lane: lane.name });
  }

  #send(link: CordonLink, call: Call): void {
    try {
      link.send(call, this.#artifact, performance.now(), this.#options.clock());
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#options.ends.fail(call, error instanceof BodyTooLong ? "violation" : "load", message);
    }
  }

  /** An artifact runs only if its bytes are those that its digest names. */
  readonly #artifact = (digest: string): Uint8Array => {
    const bytes = this.#options.artifact(digest);
    if (`sha256:${createHash("sha256").update(bytes).digest("hex")}` !== digest)
      throw new Error(`the stored artifact is not the one that ${digest} names`);
    return bytes;
  };

  /** Sends what waits, as far as there is room and the workspace's budget allows. */
  #fill(lane: Lane): void {
    if (lane.queue.length === 0 || this.#hold(lane)) return;
    if (lane.links.length === 0) return this.#ask(lane);
    while (lane.queue.length > 0 && lane.links.some(hasRoom)) {
      const call = lane.queue.shift() as Call;
      this.#send(this.#homes.choose(lane, call.ctx), call);
    }
  }

  #on(message: ToThread): void {
    switch (message.type) {
      case "welcome":
        this.#activity = new Activity(message.activity);
        this.#gate = new BudgetGate(message.budgets);
        return;
      case "budget":
        this.#lanes.setBudget(message.workspace, message.slot);
        return;
      case "expect":
        this.#lobby.expect(message.cordon, message.token);
        return;
      case "assigned": {
        this.#assigned.set(message.cordon, message);
        const link = this.#links.get(message.cordon);
        if (link !== undefined) this.#attach(link);
        return;
      }
      case "retired": {
        const link = this.#links.get(message.cordon);
        if (link !== undefined) {
          link.retired = true;
          this.#detach(link);
        }
        this.#reask(message.cordon);
        this.#assigned.delete(message.cordon); // its socket may come yet
        return;
      }
      case "gone":
        this.#gone(message.cordon, message.failure, message.message, message.blame);
        return;
      case "refused": {
        const lane = this.#lanes.named(message.lane);
        lane.asked = false;
        for (const call of lane.queue.splice(0))
          this.#options.ends.fail(call, "unavailable", message.message);
        this.#lanes.tidy();
        return;
      }
      case "suspended":
        this.#heldBack.suspend(message.blame, message.untilMs, Date.now());
        // Those that wait would kill one cordon after the other in the meantime.
        this.#requeue(this.#takeQueued(message.blame));
        return;
      case "apart":
        this.#setApart(message.blame, message.apart);
        return;
    }
  }

  #admit(cordon: number, wire: PlainWire, rest: Buffer): void {
    const link = new CordonLink(cordon, wire, this.#activity, {
      onReady: (ready) => {
        this.#options.port.post({ type: "ready", cordon });
        this.#attach(ready);
      },
      onTurn: (turned, call, turn) => {
        this.#options.onTurn(turned, call, turn);
        if (turned.lane !== null) this.#fill(turned.lane);
      },
      onNonsense: (broken, message) => this.condemn(broken, "violation", `the cordon sent ${message}`),
      onClose: (closed) => this.#detach(closed),
    });
    this.#links.set(cordon, link);
    if (rest.length > 0) link.push(rest);
    wire.resume();
  }

  /** Puts a link to use once it is connected, ready and assigned. */
  #attach(link: CordonLink): void {
    const assigned = this.#assigned.get(link.id);
    if (assigned === undefined || !link.ready || link.retired || link.broken || link.condemned) return;
    link.slot = assigned.slot;
    link.threads = assigned.threads;
    const lane = this.#lanes.named(assigned.lane);
    link.lane = lane;
    lane.asked = false;
    if (!lane.links.includes(link)) lane.links.push(link);
    this.#fill(lane);
  }

  #detach(link: CordonLink): void {
    if (link.lane === null) return;
    const { links } = link.lane;
    const at = links.indexOf(link);
    if (at >= 0) links.splice(at, 1);
  }

  /** This cordon is lost to its lane. */
  #reask(cordon: number): void {
    const name = this.#links.get(cordon)?.lane?.name ?? this.#assigned.get(cordon)?.lane;
    if (name === undefined) return;
    const lane = this.#lanes.named(name);
    if (lane.links.length === 0) lane.asked = false;
    this.#fill(lane);
  }

  /** Calls that wait move with their plugin. The cordons that it leaves forget it, unless it runs there now. */
  #setApart(blame: Blame, apart: boolean): void {
    if (!this.#heldBack.setApart(blame, apart)) return;
    this.#laneOf = new WeakMap();
    const moved = this.#takeQueued(blame);
    for (const lane of this.#lanes)
      if (lane.name.workspace === blame.workspace)
        for (const link of lane.links) link.releaseIdle((guest) => isOf(guest, blame));
    this.#requeue(moved);
  }

  /** Takes a plugin's calls out of the queues. */
  #takeQueued(blame: Blame): Call[] {
    const taken: Call[] = [];
    for (const lane of this.#lanes) {
      if (lane.name.workspace !== blame.workspace) continue;
      const isIts = ({ guest }: Call) => isOf(guest, blame);
      taken.push(...lane.queue.filter(isIts));
      lane.queue = lane.queue.filter((call) => !isIts(call));
    }
    return taken;
  }

  /** Puts calls before those that wait already; those of a plugin that is suspended now fail. */
  #requeue(calls: readonly Call[]): void {
    const lanes = new Map<Lane, Call[]>();
    for (const call of calls) {
      if (this.#isSuspended(call.guest)) {
        this.#options.ends.fail(call, SUSPENDED.failure, SUSPENDED.message);
        continue;
      }
      const lane = this.#lane(call.guest);
      const own = lanes.get(lane);
      if (own === undefined) lanes.set(lane, [call]);
      else own.push(call);
    }
    for (const [lane, own] of lanes) {
      lane.queue.unshift(...own);
      this.#fill(lane);
    }
  }

  /**
   * A cordon is dead. The call that ran in it fails, unless another thread's call is to blame; what had not
   * begun is sent to the successor.
   */
  #gone(cordon: number, failure: Failure | null, message: string, blame: Blame | null): void {
    const { ends, port } = this.#options;
    const link = this.#links.get(cordon);
    this.#lobby.forget(cordon);
    if (link !== undefined) {
      link.broken = true;
      link.close();
      this.#detach(link);
    }
    this.#reask(cordon);
    this.#assigned.delete(cordon);
    this.#links.delete(cordon);
    this.#lanes.tidy();
    if (link === undefined) return;
    const othersFault = blame !== null && !link.condemned;
    const [head] = link.order;
    const retryAfterMs =
      failure === "budget" && link.lane !== null
        ? this.#waitFor(this.#lanes.budgetOf(link.lane.name.workspace))
        : null;
    const again: Call[] = [];
    for (const call of link.open.values()) {
      const ran = call.began || (call === head && link.headRuns && !othersFault && failure !== null);
      if (!ran && call.attempts < MAX_ATTEMPTS && !this.#closed) again.push(call);
      else if (call === head && failure !== null && !othersFault) {
        // Who is alone in a lane is known to the supervisor.
        if (blame === null && failure !== "budget" && link.lane?.name.plugin === null)
          port.post({ type: "suspect", cordon, failure, blame: blameOf(call.guest) });
        ends.fail(call, failure, message, retryAfterMs);
      } else if (failure === "budget") ends.fail(call, failure, message, retryAfterMs);
      else ends.fail(call, failure === null ? "unavailable" : "crashed", `its cordon is gone: ${message}`);
    }
    // A cordon that ran out of time without an open call ran something that a call had left behind.
    const { last } = link;
    if (head === undefined && failure === "timeout" && last !== null && link.lane?.name.plugin === null)
      port.post({ type: "suspect", cordon, failure, blame: blameOf(last) });
    this.#requeue(again);
  }
}

const SUSPENDED: Reason = { failure: "suspended", message: "it keeps killing its cordon" };

function outOfBudget(waitMs: number): Reason {
  return {
    failure: "budget",
    message: "the guests of its workspace have used up their CPU time",
    retryAfterMs: waitMs,
  };
}

function blameOf({ settings: { workspace, name, version, onTrial } }: Guest): Blame {
  return { workspace, plugin: onTrial === true ? `${name}@${version}` : name };
}

function isOf(guest: Guest, { workspace, plugin }: Blame): boolean {
  const blame = blameOf(guest);
  return blame.workspace === workspace && blame.plugin === plugin;
}
