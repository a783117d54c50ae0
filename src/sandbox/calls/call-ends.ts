/**
 * How a guest's calls are counted in and out. Every call has exactly one end: its verdict, or a failure, which
 * rejects (`fail: closed`) or is counted and passed over (`fail: open`).
 */
import type { Context, MaybePromise, Phase } from "@gatehouse/sdk";
import { chargeFailure } from "../ledger.ts";
import type { Failure } from "../protocol/engine.ts";
import { type Call, type Guest, GuestFailure } from "./guest.ts";
import type { CallEnding, CallWitness, Witness } from "./witness.ts";

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
  /** Null while nobody watches. */
  witness: Witness | null = null;
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

  /** Whoever watches that call. */
  seen(guest: Guest, ctx: Context, phase: Phase): CallWitness | null {
    return this.witness === null ? null : this.witness(guest.settings, ctx, phase);
  }

  /** The caller resolves its promise. `reply` is the status of what the call answers. */
  end(call: Call, reply: number | null = null, failed: CallEnding["failed"] = null): void {
    call.ended = true;
    call.tally?.end();
    const { guest } = call;
    const wallMs = performance.now() - call.askedAt;
    guest.row.wallMs += wallMs;
    call.seen?.end({ wallMs, reply, failed });
    guest.openCalls--;
    this.#open--;
    if (guest.released && guest.openCalls === 0) this.#events.onUnused(guest);
  }

  fail(call: Call, failure: Failure, message: string, retryAfterMs: number | null = null): void {
    if (call.ended) return;
    this.end(call, null, { failure, message });
    const { guest, ctx, phase } = call;
    const error = this.#failure(guest, ctx, phase, { failure, message, retryAfterMs });
    if (call.guest.settings.fail === "open") call.resolve(call.chunk?.data);
    else call.reject(error);
  }

  /** A call that fails without having been made. */
  refuse<T>(guest: Guest, ctx: Context, phase: Phase, reason: Reason, skipped: T): MaybePromise<T> {
    guest.row.calls++;
    this.seen(guest, ctx, phase)?.end({ wallMs: 0, reply: null, failed: reason });
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
