/**
 * Which cordons serve which lane. A lane has one cordon, or none while nothing is asked of it. One whose cordons
 * are busy all the time gets another, up to a maximum, and gives it up when it has been too little to do for a
 * while. Busy is a cordon that works or waits for a core while more than one of its calls is open: on a machine
 * that is busy with other things it has just as much of a queue.
 */
import { setTimeout } from "node:timers/promises";
import { OneAtATime } from "../../tenancy/owners-turns.ts";
import type { EngineKind } from "../protocol/engine.ts";
import { type Activity, type LaneName, laneKey, MAX_CORDONS } from "../protocol/messages.ts";
import type { CordonProcess } from "./cordon-process.ts";

/** How long a look at the load of lanes takes. */
const ROUND_MS = 200;
/** Part of a round that a busy cordon works. */
const BUSY = 0.8;
/** Rounds in a row after which a busy lane gets another cordon. */
const BUSY_ROUNDS = 2;
/** A lane has a cordon too many if the others would be this busy without it. */
const SLACK = 0.5;
/** A lane whose cordons die faster than this has to wait before the next one. */
const DEATHS = 20;
const DEATHS_WINDOW_MS = 10_000;
/** One whose cordons have died so often in that time is not trusted with a core before it has served at ease. */
const SUSPECT_DEATHS = 2;
/** For how long the start of one holds up the next: on a machine that is busy it takes long. */
const TURN_MS = 1000;

/** For whom a cordon is started. */
export interface Want {
  /** Whether it is for a lane whose cordons die. */
  readonly suspect: boolean;
  /** Since when others' calls than those of a plugin that is alone wait for it, milliseconds since the epoch. */
  readonly since: number;
}

interface Death {
  readonly at: number;
  /** Who is to blame, if anybody. */
  readonly plugin: string | null;
}

interface Lane {
  readonly name: LaneName;
  /** In the order in which they were assigned. */
  readonly cordons: CordonProcess[];
  starting: boolean;
  /** Since when calls wait for its first cordon, milliseconds since the epoch. */
  askedAt: number;
  deaths: Death[];
  busyRounds: number;
  /** Since when it has a cordon too many, milliseconds since the epoch; 0 if it has not. */
  slackSince: number;
}

export interface PlacementOptions {
  readonly activity: Activity;
  /** Cordons that one lane may have. */
  readonly maxReplicas: number;
  /** How long a lane has a cordon too many before it gives one up. */
  readonly slackMs: number;
  readonly takeSpare: (engine: EngineKind) => CordonProcess | null;
  /** Until when a lane gets no cordon because they keep dying, milliseconds since the epoch. */
  readonly heldUntilMs: (lane: LaneName) => number;
  readonly start: (engine: EngineKind, want: Want) => Promise<CordonProcess>;
  /** Whether there is a place for a cordon without another one having to go. */
  readonly hasPlace: () => boolean;
  /** It belongs to its lane from now on. May throw: then it is retired. */
  readonly onAssigned: (cordon: CordonProcess) => void;
  /** It serves its lane from now on, or somebody has asked again. */
  readonly announce: (cordon: CordonProcess) => void;
  readonly refuse: (lane: LaneName, reason: string) => void;
  readonly retire: (cordon: CordonProcess) => void;
  /** A start has ended, well or not. */
  readonly onSettled: () => void;
  readonly log: (level: "info" | "error", message: string, fields: Record<string, unknown>) => void;
}

export class Placement {
  readonly #options: PlacementOptions;
  readonly #lanes = new Map<string, Lane>();
  #roundAt = 0;
  /** Starts of those whose cordons die: however many they are, they start one at a time, and take turns. */
  readonly #restarts = new OneAtATime(MAX_CORDONS);
  #closing = false;

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  /** How many lanes wait for a cordon that is being started. */
  get starting(): number {
    let count = 0;
    for (const lane of this.#lanes.values()) if (lane.starting) count++;
    return count;
  }

  /** No further cordon is started. */
  close(): void {
    this.#closing = true;
  }

  /** A thread has calls for this lane and no cordon. */
  acquire(name: LaneName): void {
    const lane = this.#lane(name);
    if (lane.cordons.length > 0) for (const cordon of lane.cordons) this.#options.announce(cordon);
    else if (!lane.starting && !this.#closing) {
      lane.askedAt = Date.now();
      if (lane.askedAt < this.#options.heldUntilMs(name))
        return this.#options.refuse(name, "its workspace's cordons keep dying; the next one has to wait");
      void this.#add(lane);
    }
  }

  /** The cordons of a lane. */
  cordonsOf(name: LaneName): readonly CordonProcess[] {
    return this.#lanes.get(laneKey(name))?.cordons ?? [];
  }

  /** This cordon gets no new calls. */
  drop(cordon: CordonProcess): void {
    if (cordon.lane === null) return;
    const key = laneKey(cordon.lane);
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    const at = lane.cordons.indexOf(cordon);
    if (at >= 0) lane.cordons.splice(at, 1);
    lane.slackSince = 0;
  }

  /** A cordon of this lane has failed. */
  countDeath({ lane: name }: CordonProcess, plugin: string | null, now: number): void {
    if (name !== null) this.#lane(name).deaths.push({ at: now, plugin });
  }

  /** A plugin has left for a lane of its own: those who stay do not answer for its deaths. */
  forgive(name: LaneName, plugin: string): void {
    const lane = this.#lane(name);
    lane.deaths = lane.deaths.filter((death) => death.plugin !== plugin);
  }

  #lane(name: LaneName): Lane {
    const key = laneKey(name);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { name, cordons: [], starting: false, askedAt: 0, deaths: [], busyRounds: 0, slackSince: 0 };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  async #add(lane: Lane): Promise<void> {
    const { name } = lane;
    const { takeSpare, start, refuse, onSettled, log } = this.#options;
    lane.starting = true;
    try {
      // Spares are for those who come, not for those whose cordons die.
      const lost = this.#recentDeaths(lane) > 0;
      const spare = lane.cordons.length === 0 && !lost ? takeSpare(name.engine) : null;
      if (spare !== null) return this.#assign(lane, spare);
      const wait = this.#backOff(lane);
      if (wait > 0) await setTimeout(wait);
      this.#assign(
        lane,
        lost ? await this.#restart(lane) : await start(name.engine, { suspect: false, since: Date.now() }),
      );
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log("error", "a cordon could not be started", { ...name, reason });
      if (lane.cordons.length === 0) refuse(name, reason);
    } finally {
      lane.starting = false;
      onSettled();
    }
  }

  #assign(lane: Lane, cordon: CordonProcess): void {
    cordon.lane = lane.name;
    cordon.lastUsedAt = Date.now();
    try {
      this.#options.onAssigned(cordon);
    } catch (error) {
      this.#options.retire(cordon);
      throw error;
    }
    lane.cordons.push(cordon);
    this.#options.announce(cordon);
  }

  /** Starts a cordon for a lane that has lost one, when it is its workspace's turn. */
  #restart(lane: Lane): Promise<CordonProcess> {
    const { engine, workspace, plugin } = lane.name;
    const { promise, resolve, reject } = Promise.withResolvers<CordonProcess>();
    const start = async () => {
      if (this.#closing) throw new Error("the gateway shuts down");
      const suspect = this.#recentDeaths(lane) >= SUSPECT_DEATHS;
      const since = plugin === null && lane.cordons.length === 0 ? lane.askedAt : Date.now();
      const cordon = await this.#options.start(engine, { suspect, since });
      resolve(cordon);
      await Promise.race([cordon.up, setTimeout(TURN_MS, null, { ref: false })]);
    };
    const turn = this.#restarts.run(workspace, start);
    if (turn === null) reject(new Error("too many cordons wait to be started again"));
    else turn.catch(reject);
    return promise;
  }

  #recentDeaths(lane: Lane): number {
    const now = Date.now();
    lane.deaths = lane.deaths.filter(({ at }) => now - at < DEATHS_WINDOW_MS);
    return lane.deaths.length;
  }

  /** How long the next start has to wait. A few quick deaths are met at once; a storm of them is slowed. */
  #backOff(lane: Lane): number {
    const excess = this.#recentDeaths(lane) - DEATHS;
    return excess < 0 ? 0 : Math.min(100 * 2 ** Math.min(excess, 10), 5000);
  }

  /** Called often. Once a round it looks at how busy the lanes are. */
  weigh(now: number): void {
    const elapsed = now - this.#roundAt;
    if (elapsed < ROUND_MS) return;
    this.#roundAt = now;
    for (const [key, lane] of this.#lanes) {
      if (lane.cordons.length > 0) this.#weighLane(lane, now, elapsed);
      else if (!lane.starting && lane.deaths.every(({ at }) => now - at >= DEATHS_WINDOW_MS))
        this.#lanes.delete(key);
    }
  }

  #weighLane(lane: Lane, now: number, elapsed: number): void {
    const { activity, maxReplicas, slackMs, hasPlace, retire, log } = this.#options;
    const mostReplicas = lane.name.plugin === null ? maxReplicas : 1;
    if (mostReplicas === 1) return;
    const [first] = lane.cordons as [CordonProcess];
    if (lane.cordons.length === 1 && activity.open(first.slot) <= 1) {
      lane.busyRounds = 0; // most lanes, most of the time: nothing is read for them
      return;
    }
    let load = 0;
    let allBusy = true;
    for (const cordon of lane.cordons) {
      const part = cordon.takeWantedMs() / elapsed;
      load += part;
      allBusy &&= part >= BUSY && activity.open(cordon.slot) > 1;
    }
    const count = lane.cordons.length;
    lane.busyRounds = allBusy ? lane.busyRounds + 1 : 0;
    if (lane.busyRounds >= BUSY_ROUNDS && count < mostReplicas && !lane.starting && !this.#closing) {
      lane.busyRounds = 0;
      if (!hasPlace()) return;
      log("info", "a workspace gets another cordon: those it has are busy all the time", {
        ...lane.name,
        cordons: count + 1,
      });
      void this.#add(lane);
      return;
    }
    if (count === 1 || load > SLACK * (count - 1)) {
      lane.slackSince = 0;
      return;
    }
    if (lane.slackSince === 0) lane.slackSince = now;
    if (now - lane.slackSince < slackMs) return;
    const youngest = lane.cordons.at(-1) as CordonProcess;
    log("info", "a workspace gives a cordon up: the others have room", {
      ...lane.name,
      cordons: count - 1,
    });
    retire(youngest); // which drops it
  }
}
