/**
 * How a guest's calls are counted in and out. Every call has exactly one end: its verdict, or a failure, which
 * rejects (`fail: closed`) or is counted and passed over (`fail: open`).
 */
import type { Context, MaybePromise, Phase } from "@gatehouse/sdk";
import { chargeFailure } from "../ledger.ts";
import type { Failure } from "../protocol/engine.ts";
import { type Call, type Guest, GuestFailure } from "./guest.ts";

export interface CallEvents {
  /** Told of every failure of a guest, also of those that `fail: open` passes over. */
  onFailure(failure: GuestFailure): void;
  /** There were no open calls, and now there is one. */
  onFirst(): void;
  /** A guest that was given up has no open call any more. */
  onUnused(guest: Guest): void;
}

/** Why a call is not made. */
export interface Reason {
  readonly failure: Failure;
  readonly message: string;
  /** After how many milliseconds it may help to come back; absent or null where nobody knows. */
  readonly retryAfterMs?: number | null;
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
    call.tally?.end();
    const { guest } = call;
    guest.row.wallMs += performance.now() - call.askedAt;
    guest.openCalls--;
    this.#open--;
    if (guest.released && guest.openCalls === 0) this.#events.onUnused(guest);
  }

  fail(call: Call, failure: Failure, message: string, retryAfterMs: number | null = null): void {
    if (call.ended) return;
    this.end(call);
    const { guest, ctx, phase } = call;
    const error = this.#failure(guest, ctx, phase, { failure, message, retryAfterMs });
    if (call.guest.settings.fail === "open") call.resolve(call.chunk?.data);
    else call.reject(error);
  }

  /** A call that fails without having been made. */
  refuse<T>(guest: Guest, ctx: Context, phase: Phase, reason: Reason, skipped: T): MaybePromise<T> {
    guest.row.calls++;
    const error = this.#failure(guest, ctx, phase, reason);
    if (guest.settings.fail === "open") return skipped;
    return Promise.reject(error);
  }

  #failure(guest: Guest, ctx: Context, phase: Phase, reason: Reason): GuestFailure {
    const { failure, message, retryAfterMs = null } = reason;
    chargeFailure(guest.row, failure);
    const error = new GuestFailure(failure, guest, phase, ctx.request.id, message, retryAfterMs);
    this.#events.onFailure(error);
    return error;
  }
}
