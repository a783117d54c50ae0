/**
 * Holds back lanes whose cordons die and no call is known to be to blame: what has taken over a cordon can end it when no
 * call runs, again and again, so that its workspace has none for long and the gateway does nothing but start them.
 *
 * A cordon that was ended by SIGKILL may have been killed by somebody outside, which is nothing that its workspace does.
 * There may be many times as many of those.
 */
import { type LaneName, laneKey } from "../protocol/messages.ts";
import { Strikes } from "./strikes.ts";

/** Deaths within a minute. */
export const UNEXPLAINED = 15;
export const UNEXPLAINED_KILLS = 60;

interface Record {
  readonly lane: LaneName;
  readonly ends: Strikes;
  readonly kills: Strikes;
  lastAt: number;
}

export class Unexplained {
  readonly #forgivenAfterMs: number;
  readonly #records = new Map<string, Record>();

  constructor(forgivenAfterMs: number) {
    this.#forgivenAfterMs = forgivenAfterMs;
  }

  /** Counts a death. Returns until when the lane gets no cordon, milliseconds since the epoch; null if it gets one. */
  count(lane: LaneName, killed: boolean, now: number): number | null {
    for (const [key, { lastAt }] of this.#records)
      if (now - lastAt >= this.#forgivenAfterMs) this.#records.delete(key);
    const key = laneKey(lane);
    let record = this.#records.get(key);
    if (record === undefined) {
      record = {
        lane,
        ends: new Strikes(UNEXPLAINED),
        kills: new Strikes(UNEXPLAINED_KILLS),
        lastAt: now,
      };
      this.#records.set(key, record);
    }
    record.lastAt = now;
    const strikes = killed ? record.kills : record.ends;
    strikes.add(now);
    return strikes.suspend(now);
  }

  /** Until when the lane gets no cordon; 0 if it never had to wait. */
  untilMs(lane: LaneName): number {
    const record = this.#records.get(laneKey(lane));
    return record === undefined ? 0 : Math.max(record.ends.untilMs, record.kills.untilMs);
  }

  /** A workspace is no more. */
  forget(workspace: string): void {
    for (const [key, { lane }] of this.#records) if (lane.workspace === workspace) this.#records.delete(key);
  }
}
