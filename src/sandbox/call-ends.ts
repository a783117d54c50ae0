/**
 * How a guest's calls are counted in and out. Every call has exactly one end: its verdict, or a failure, which
 * rejects (`fail: closed`) or is counted and passed over (`fail: open`).
 */
import type { Context, MaybePromise, Phase } from "@gatehouse/sdk";
import type { Failure } from "./engine.ts";
import { type Call, type Guest, GuestFailure } from "./guest.ts";
import { chargeFailure } from "./ledger.ts";

export interface CallEvents {
  /** Told of every failure of a guest, also of those that `fail: open` passes over. */
  onFailure(failure: GuestFailure): void;
  /** There were no open calls, and now there is one. */
  onFirst(): void;
  /** A guest that was given up has no open call any more. */
  onUnused(guest: Guest): void;
}

export class CallEnds {
  readonly #events: CallEvents;
  #open = 0;

  constructor(events: CallEvents) {
    this.#events = events;
  }

  /** Calls that have not ended. */
  get open(): number {
    return this.#open;
  }

  begin(guest: Guest): void {
    guest.row.calls++;
    guest.openCalls++;
    if (this.#open++ === 0) this.#events.onFirst();
  }

  /** The caller resolves its promise. */
  end(call: Call): void {
    call.ended = true;
    const { guest } = call;
    guest.row.wallMs += performance.now() - call.askedAt;
    guest.openCalls--;
    this.#open--;
    if (guest.released && guest.openCalls === 0) this.#events.onUnused(guest);
  }

  fail(call: Call, failure: Failure, message: string): void {
    if (call.ended) return;
    this.end(call);
    const error = this.#failure(call.guest, call.ctx, call.phase, failure, message);
    if (call.guest.settings.fail === "open") call.resolve(call.chunk?.data);
    else call.reject(error);
  }

  /** A call that fails without having been made. */
  refuse<T>(
    guest: Guest,
    ctx: Context,
    phase: Phase,
    failure: Failure,
    message: string,
    skipped: T,
  ): MaybePromise<T> {
    guest.row.calls++;
    const error = this.#failure(guest, ctx, phase, failure, message);
    if (guest.settings.fail === "open") return skipped;
    return Promise.reject(error);
  }

  #failure(guest: Guest, ctx: Context, phase: Phase, failure: Failure, message: string): GuestFailure {
    chargeFailure(guest.row, failure);
    const error = new GuestFailure(failure, guest, phase, ctx.request.id, message);
    this.#events.onFailure(error);
    return error;
  }
}
