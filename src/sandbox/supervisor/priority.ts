/**
 * Whose turn it is on a core that the gateway's threads and guests want at the same time. A cordon starts far behind
 * the gateway's own threads and comes near when it serves a workspace; one that wants a core all the time goes far away
 * until it wants less, and one whose workspace's cordons die stays behind them all until then. So a guest that burns, or dies and is started
 * again, costs its neighbours hardly any of the time that they ask for, long before its workspace's budget is used up.
 *
 * Far behind is what the others leave, which may be nothing. So starts and ends that take long are carried: they come
 * near for a while, no more of them at a time than there are cores, and one of those that burn where all of them get
 * next to nothing.
 */
import { availableParallelism } from "node:os";
import { comesBack, place, type Standing } from "./scheduling.ts";

/** For how long a cordon must want a core to be put back, and which part of that time. */
const BURNS_MS = 100;
const BURNS = 0.9;
/** CPU time for each call that shows one to be busy and not burning: many short ones keep a core just as busy. */
const SERVES_MS = 10;
/** For how long one that burned must want less to come near. */
const RESTS_MS = 1000;
const RESTS = 0.7;
/** After so long a start, or an end, is carried: several times what it takes where nobody else wants the core. */
const START_MS = 250;
/**
 * The same for those of a workspace whose cordons die, from when calls began to wait for it: those of its other plugins
 * among them fail when they have waited for five times as long.
 */
const SUSPECTS_START_MS = 1000;
/** Part of its time that a cordon waits for a core which is to be carried. */
const STARVES = 0.5;
/** Part of a core that is left for those that burn, all together. Where they get less, one of them is carried. */
const LEAST = 0.02;
const CARRIED_MS = 100;

/** What is asked of a cordon here. */
export interface Runner {
  /** Whether it is up. */
  readonly ready: boolean;
  /** By `Date.now()`. */
  readonly startedAt: number;
  /** Since when calls wait for it to be up: before its start, where others were started first. */
  readonly awaitedSince: number;
  /** When it was killed, if it was, and has not come to its end yet: that takes a core as well. 0 if it was not. */
  readonly killedAt: number;
  /** Whom it serves; null while it is a spare. */
  readonly lane: object | null;
  /** Whether its workspace's cordons die lately. */
  readonly suspect: boolean;
  /** Its process; null before it is up. */
  readonly pid: number | null;
  /** That process, and those that started it and reap it. */
  pids(): readonly number[];
  /** Milliseconds for which its first thread has had a core or waited for one. */
  wantedMs(): number;
  /** Milliseconds of them for which it has waited. */
  waitedMs(now: number): number;
}

interface Seen {
  /** Where it stands by its own doing; one that is carried is near all the same. */
  near: boolean;
  /** When the present look at it began, what it had wanted, waited and been sent by then. 0 before the first one. */
  at: number;
  wantedMs: number;
  waitedMs: number;
  calls: number;
}

export class Priorities<C extends Runner> {
  readonly #most: number;
  readonly #seen = new WeakMap<C, Seen>();
  /** Who is carried, and until when. */
  readonly #carried = new Map<C, number>();
  /** What those that burn have had of the cores since then. */
  #burnt = { at: 0, ms: 0 };
  /** Part of a core that they had before. */
  #left = 1;

  /** `most` is how many are carried at a time. */
  constructor(most = availableParallelism()) {
    this.#most = most;
  }

  /** `calls` is how many it was ever sent, `now` is `Date.now()`. */
  look(cordon: C, calls: number, now: number): void {
    let seen = this.#seen.get(cordon);
    if (seen === undefined) {
      seen = { near: !comesBack, at: 0, wantedMs: 0, waitedMs: 0, calls: 0 };
      this.#seen.set(cordon, seen);
    }
    if (cordon.killedAt > 0) {
      if (now - cordon.killedAt >= START_MS) this.#carry(cordon, now);
    } else if (!cordon.ready) {
      const late = cordon.suspect
        ? now - cordon.awaitedSince >= SUSPECTS_START_MS
        : now - cordon.startedAt >= START_MS;
      if (late) this.#carry(cordon, now);
    } else if (cordon.lane === null) return;
    else if (seen.at === 0) {
      Object.assign(seen, { at: now, wantedMs: cordon.wantedMs(), waitedMs: cordon.waitedMs(now), calls });
      if (!cordon.suspect) this.#setNear(cordon, seen, true);
    } else if (now - seen.at >= (seen.near ? BURNS_MS : RESTS_MS)) this.#judge(cordon, seen, calls, now);
  }

  /** All have been looked at. */
  looked(now: number): void {
    for (const [cordon, until] of this.#carried) {
      if (now < until) continue;
      this.#carried.delete(cordon);
      const seen = this.#seen.get(cordon);
      if (!seen?.near) move(cordon, seen?.at && !cordon.suspect ? "far" : "back");
    }
    const passed = now - this.#burnt.at;
    if (passed < RESTS_MS) return;
    this.#left = this.#burnt.ms / passed;
    this.#burnt = { at: now, ms: 0 };
  }

  #judge(cordon: C, seen: Seen, calls: number, now: number): void {
    const passed = now - seen.at;
    const [wantedMs, waitedMs] = [cordon.wantedMs(), cordon.waitedMs(now)];
    const [wanted, waited] = [wantedMs - seen.wantedMs, waitedMs - seen.waitedMs];
    const ran = wanted - waited;
    const begun = calls - seen.calls;
    const serves = begun > 0 && ran <= SERVES_MS * begun;
    const busy = !serves && wanted > (seen.near ? BURNS : RESTS) * passed;
    // What has hardly had a core has shown nothing yet: the look goes on.
    if (busy && seen.near && ran <= BURNS_MS / 2) return;
    Object.assign(seen, { at: now, wantedMs, waitedMs, calls });
    if (!seen.near) this.#burnt.ms += ran;
    if (busy === seen.near) this.#setNear(cordon, seen, !busy);
    else if (busy && waited > STARVES * passed && this.#left < LEAST) this.#carry(cordon, now);
  }

  #setNear(cordon: C, seen: Seen, near: boolean): void {
    this.#carried.delete(cordon);
    seen.near = near;
    move(cordon, near ? "near" : cordon.suspect ? "back" : "far");
  }

  #carry(cordon: C, now: number): void {
    if (!comesBack) return;
    const carried = this.#carried.has(cordon);
    if (!carried && this.#carried.size >= this.#most) return;
    this.#carried.set(cordon, now + CARRIED_MS);
    if (!carried) move(cordon, "near");
  }
}

/**
 * Who reaps a cordon stays behind it: while another of the cordon's threads is far behind, removing its entries of
 * `/proc` (there are some where a monitor has looked at its threads), the kernel lets the one that reaps it spin, and
 * from nearby it would take all of the core that the other needs to be done.
 */
function move(cordon: Runner, standing: Standing): void {
  for (const pid of cordon.pids()) {
    const reaps = cordon.pid !== null && pid !== cordon.pid;
    place(pid, reaps && standing === "near" ? "far" : standing);
  }
}
