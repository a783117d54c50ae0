/**
 * Who watches single calls of guests: what each of them cost, what it logged and how it ended. As a rule nobody does,
 * and then a call pays for one comparison.
 */
import type { Context, Phase } from "@gatehouse/sdk";
import type { Failure, HostCall, Usage } from "../protocol/engine.ts";
import type { GuestSettings } from "./guest.ts";

/** Asked at the beginning of each call. Null: of this one nothing is to be told. */
export type Witness = (guest: GuestSettings, ctx: Context, phase: Phase) => CallWitness | null;

export interface CallEnding {
  /** From asking to the end, waiting for a cordon included. */
  readonly wallMs: number;
  /** Status of the reply that it gave; null if it gave none. */
  readonly reply: number | null;
  /** Null if it did its work. */
  readonly failed: { readonly failure: Failure; readonly message: string } | null;
}

export interface CallWitness {
  /** A turn of the guest, with what it cost and asked of its host. */
  turn(usage: Usage, hostCalls: readonly HostCall[]): void;
  end(ending: CallEnding): void;
}
