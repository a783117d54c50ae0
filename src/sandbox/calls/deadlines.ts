/**
 * Keeps the deadlines of all calls of a data thread with one sweep every ten milliseconds: of those that run in
 * a cordon, of those that wait for a host call's answer, and of those that wait for a cordon. No call has a
 * timer of its own.
 */
import type { CallEnds } from "./call-ends.ts";
import { isPending } from "./guest.ts";
import type { Lanes } from "./lanes.ts";
import type { CordonLink } from "./link.ts";

const SWEEP_MS = 10;
/** How long a call waits for a cordon before it fails as `unavailable`. */
export const MAX_QUEUED_MS = 5000;
/** A call with host calls may take this many times `limits.wallMs`, its waits included. */
export const WAITING_FACTOR = 10;

export class Deadlines {
  readonly #ends: CallEnds;
  readonly #lanes: Lanes;
  #sweeper: NodeJS.Timeout | null = null;

  constructor(ends: CallEnds, lanes: Lanes) {
    this.#ends = ends;
    this.#lanes = lanes;
  }

  /** Sweeps for as long as calls are open. */
  start(): void {
    this.#sweeper ??= setInterval(() => {
      if (this.#ends.open === 0) this.stop();
      else this.#sweep();
    }, SWEEP_MS);
  }

  stop(): void {
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
    this.#sweeper = null;
  }

  #sweep(): void {
    const now = performance.now();
    for (const link of this.#lanes.links()) {
      if (!link.condemned && link.isOverdue(now)) {
        this.#judge(link);
        continue;
      }
      if (!link.condemned && link.isStalled(now)) {
        this.#lanes.condemn(link, "violation", "the cordon does not begin the calls that it was sent");
        continue;
      }
      if (!link.condemned && link.isCutOff(now)) {
        this.#lanes.condemn(link, "violation", "the cordon closed its socket");
        continue;
      }
      for (const call of link.open.values()) {
        if (!isPending(call) || link.order.includes(call)) continue;
        const limit = call.guest.config.limits.wallMs * WAITING_FACTOR;
        if (now - call.sentAt <= limit) continue;
        link.abandon(call);
        this.#ends.fail(call, "deadline", `the call took more than ${limit} ms, its host calls included`);
      }
    }
    for (const link of this.#lanes.links())
      for (const call of link.takeParked(now - MAX_QUEUED_MS))
        this.#ends.fail(call, "unavailable", "all of its instances wait for the host");
    this.#lanes.resumeHeld();
    this.#lanes.expireQueued(now - MAX_QUEUED_MS);
  }

  /**
   * The running call seems overdue. If this thread itself was held up, its turn may lie unread in the socket, or the
   * call has not left yet: what is there is read and sent first, and the call is condemned only if no turn was among
   * it and it is overdue all the same.
   */
  #judge(link: CordonLink): void {
    const { turns } = link;
    setImmediate(() => {
      const [head] = link.order;
      if (head === undefined || link.turns !== turns || link.condemned) return;
      if (!link.isOverdue(performance.now())) return;
      const { wallMs } = head.guest.config.limits;
      this.#lanes.condemn(link, "deadline", `the call ran for more than ${wallMs} ms`);
    });
  }
}
