/**
 * A data thread's lanes: the calls of one workspace to one engine, and the cordon that takes them. A call that
 * finds no place in a cordon is queued here, where it survives that cordon's death.
 */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { BudgetGate } from "./budget.ts";
import type { CallEnds, Reason } from "./call-ends.ts";
import type { Failure, Turn } from "./engine.ts";
import { BodyTooLong } from "./grants.ts";
import type { Call, Guest } from "./guest.ts";
import { CordonLink } from "./link.ts";
import { Lobby } from "./lobby.ts";
import { Activity, type Blame, type ClientPort, type ToThread } from "./messages.ts";

/** Calls that one cordon has at a time; the rest is queued here, where they survive its death. */
const MAX_IN_FLIGHT = 32;
const MAX_QUEUED = 1024;
const MAX_ATTEMPTS = 3;
/** When to come back to a plugin that has too many open calls. */
const BUSY_MS = 1000;

/** Whether a call may be sent to a cordon now, has to wait in its lane, or is refused with a reason. */
export type Admission = "now" | "later" | Reason;

interface Lane {
  readonly key: string;
  readonly engine: Guest["engine"];
  readonly workspace: string;
  link: CordonLink | null;
  readonly queue: Call[];
  asked: boolean;
  /** Its workspace's place at the gate; null while the workspace has used nothing. */
  budget: number | null;
}

export interface LanesOptions {
  readonly port: ClientPort;
  /** Finds an artifact's bytes by its digest. */
  readonly artifact: (digest: string) => Uint8Array;
  readonly ends: CallEnds;
  readonly onTurn: (link: CordonLink, call: Call, turn: Turn) => void;
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #links = new Map<number, CordonLink>();
  readonly #suspended = new Map<string, number>();
  /** What a cordon was assigned to before its socket was here. */
  readonly #assigned = new Map<number, { slot: number; key: string }>();
  readonly #lobby = new Lobby((cordon, socket, rest) => this.#admit(cordon, socket, rest));
  #activity: Activity | null = null;
  #gate: BudgetGate | null = null;
  /** Where the gate knows a workspace; absent while it has used nothing. */
  readonly #budgets = new Map<string, number>();
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
    for (const lane of this.#lanes.values())
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
    const { workspace, name } = guest.settings;
    if (this.#suspended.size > 0 && this.#isSuspended(workspace, name))
      return { failure: "suspended", message: "it keeps killing its cordon" };
    const { link, queue, budget } = this.#lane(guest);
    const waitMs = this.#waitFor(budget);
    if (waitMs > guest.settings.cpuWaitMs) return outOfBudget(waitMs);
    const { concurrentCalls } = guest.config.limits;
    if (guest.openCalls >= concurrentCalls)
      return { failure: "busy", message: `it has ${concurrentCalls} open calls`, retryAfterMs: BUSY_MS };
    if (queue.length >= MAX_QUEUED || this.#closed)
      return { failure: "unavailable", message: `${MAX_QUEUED} calls are waiting` };
    if (waitMs > 0 || link === null || queue.length > 0) return "later";
    return link.open.size < MAX_IN_FLIGHT ? "now" : "later";
  }

  /** Takes a call that was admitted. */
  submit(call: Call, admission: "now" | "later"): void {
    const lane = this.#lane(call.guest);
    const { link } = lane;
    if (admission === "now" && link !== null) return this.#send(link, call);
    lane.queue.push(call);
    if (link === null) this.#ask(lane);
  }

  /** Lets calls go that wait for their workspace's budget, or fails those that waited for long enough. */
  resumeHeld(): void {
    for (const lane of this.#lanes.values()) {
      if (lane.queue.length === 0) continue;
      if (lane.link !== null) this.#fill(lane.link);
      else this.#hold(lane);
    }
  }

  /** Lets every cordon forget an instance. */
  forget(guest: Guest): void {
    for (const link of this.#links.values()) link.release(guest);
  }

  /** Fails what has been in a queue since before `askedBefore` (`performance.now()`). */
  expireQueued(askedBefore: number): void {
    for (const { queue } of this.#lanes.values())
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
      blame: head === undefined ? null : blameOf(head),
    });
    this.#detach(link);
  }

  #lane(guest: Guest): Lane {
    const key = `${guest.engine}\n${guest.settings.workspace}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = {
        key,
        engine: guest.engine,
        workspace: guest.settings.workspace,
        link: null,
        queue: [],
        asked: false,
        budget: this.#budgets.get(guest.settings.workspace) ?? null,
      };
      this.#lanes.set(key, lane);
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
    this.#options.port.post({ type: "acquire", engine: lane.engine, workspace: lane.workspace });
  }

  #send(link: CordonLink, call: Call): void {
    try {
      link.send(call, this.#artifact, performance.now(), Date.now());
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

  #fill(link: CordonLink): void {
    if (link.key === null || link.retired || link.broken) return;
    const lane = this.#lanes.get(link.key);
    if (lane === undefined || this.#hold(lane)) return;
    const { queue } = lane;
    while (queue.length > 0 && link.open.size < MAX_IN_FLIGHT) this.#send(link, queue.shift() as Call);
  }

  #isSuspended(workspace: string, plugin: string): boolean {
    const key = `${workspace}\n${plugin}`;
    const until = this.#suspended.get(key);
    if (until === undefined) return false;
    if (Date.now() < until) return true;
    this.#suspended.delete(key);
    return false;
  }

  #on(message: ToThread): void {
    switch (message.type) {
      case "welcome":
        this.#activity = new Activity(message.activity);
        this.#gate = new BudgetGate(message.budgets);
        return;
      case "budget":
        this.#budgets.set(message.workspace, message.slot);
        for (const lane of this.#lanes.values())
          if (lane.workspace === message.workspace) lane.budget = message.slot;
        return;
      case "expect":
        this.#lobby.expect(message.cordon, message.token);
        return;
      case "assigned": {
        const key = `${message.engine}\n${message.workspace}`;
        const lane = this.#lanes.get(key);
        if (lane !== undefined) lane.asked = false;
        this.#assigned.set(message.cordon, { slot: message.slot, key });
        const link = this.#links.get(message.cordon);
        if (link !== undefined) this.#attach(link);
        return;
      }
      case "retired": {
        const link = this.#links.get(message.cordon);
        if (link !== undefined) {
          link.retired = true;
          this.#detach(link);
          this.#reask(link.key);
        }
        return;
      }
      case "gone":
        this.#gone(message.cordon, message.failure, message.message, message.blame);
        return;
      case "refused": {
        const lane = this.#lanes.get(`${message.engine}\n${message.workspace}`);
        if (lane === undefined) return;
        lane.asked = false;
        for (const call of lane.queue.splice(0))
          this.#options.ends.fail(call, "unavailable", message.message);
        return;
      }
      case "suspended":
        this.#suspended.set(`${message.blame.workspace}\n${message.blame.plugin}`, message.untilMs);
        return;
    }
  }

  #admit(cordon: number, socket: Socket, rest: Buffer): void {
    const link = new CordonLink(cordon, socket, this.#activity, {
      onReady: (ready) => {
        this.#options.port.post({ type: "ready", cordon });
        this.#attach(ready);
      },
      onTurn: (turned, call, turn) => {
        this.#options.onTurn(turned, call, turn);
        this.#fill(turned);
      },
      onNonsense: (broken, message) => this.condemn(broken, "violation", `the cordon sent ${message}`),
      onClose: (closed) => this.#detach(closed),
    });
    this.#links.set(cordon, link);
    if (rest.length > 0) link.push(rest);
    socket.resume();
  }

  /** Puts a link to use once it is connected, ready and assigned. */
  #attach(link: CordonLink): void {
    const assigned = this.#assigned.get(link.id);
    if (assigned === undefined || !link.ready || link.retired || link.broken || link.condemned) return;
    link.slot = assigned.slot;
    link.key = assigned.key;
    const lane = this.#lanes.get(assigned.key);
    if (lane === undefined) {
      const [engine, workspace] = assigned.key.split("\n") as [Guest["engine"], string];
      const budget = this.#budgets.get(workspace) ?? null;
      const { key } = assigned;
      this.#lanes.set(key, { key, engine, workspace, link, queue: [], asked: false, budget });
      return;
    }
    lane.link = link;
    this.#fill(link);
  }

  #detach(link: CordonLink): void {
    if (link.key === null) return;
    const lane = this.#lanes.get(link.key);
    if (lane?.link === link) lane.link = null;
  }

  #reask(key: string | null): void {
    const lane = key === null ? undefined : this.#lanes.get(key);
    if (lane !== undefined && lane.link === null && lane.queue.length > 0) {
      lane.asked = false;
      this.#ask(lane);
    }
  }

  /**
   * A cordon is dead. The call that ran in it fails, unless another thread's call is to blame; what had not
   * begun is sent to the successor.
   */
  #gone(cordon: number, failure: Failure | null, message: string, blame: Blame | null): void {
    const { ends, port } = this.#options;
    const link = this.#links.get(cordon);
    const key = link?.key ?? this.#assigned.get(cordon)?.key ?? null;
    this.#assigned.delete(cordon);
    this.#lobby.forget(cordon);
    if (link === undefined) {
      this.#reask(key);
      return;
    }
    this.#links.delete(cordon);
    link.broken = true;
    link.close();
    this.#detach(link);
    const lane = key === null ? undefined : this.#lanes.get(key);
    const othersFault = blame !== null && !link.condemned;
    const [head] = link.order;
    const retryAfterMs = failure === "budget" ? this.#waitFor(lane?.budget ?? null) : null;
    const again: Call[] = [];
    for (const call of link.open.values()) {
      const ran = call.began || (call === head && link.headSince > 0 && !othersFault && failure !== null);
      if (!ran && call.attempts < MAX_ATTEMPTS && lane !== undefined && !this.#closed) again.push(call);
      else if (call === head && failure !== null && !othersFault) {
        if (blame === null && failure !== "budget")
          port.post({ type: "suspect", cordon, failure, blame: blameOf(call) });
        ends.fail(call, failure, message, retryAfterMs);
      } else if (failure === "budget") ends.fail(call, failure, message, retryAfterMs);
      else ends.fail(call, failure === null ? "unavailable" : "crashed", `its cordon is gone: ${message}`);
    }
    if (lane !== undefined) {
      lane.queue.unshift(...again);
      this.#hold(lane);
    }
    this.#reask(key);
  }
}

function outOfBudget(waitMs: number): Reason {
  return {
    failure: "budget",
    message: "the guests of its workspace have used up their CPU time",
    retryAfterMs: waitMs,
  };
}

function blameOf(call: Call): Blame {
  return { workspace: call.guest.settings.workspace, plugin: call.guest.settings.name };
}
