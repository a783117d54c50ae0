/**
 * Where a guest's call hands in what it asks of the gateway: log lines, metrics, and questions that it waits for.
 * Everything is numbered and bounded here; the data thread executes it, and checks it against the grants.
 *
 * A guest has one stack, so it waits for one answer at a time.
 */

import { HOST_CALL_LIMITS } from "../calls/host-call-limits.ts";
import type { HostCall } from "../protocol/engine.ts";
import type { HostResult } from "../protocol/frames.ts";
import { GuestFault } from "./fault.ts";

export type Level = "debug" | "info" | "warn" | "error";

interface Pending {
  readonly seq: number;
  readonly resolve: (result: HostResult) => void;
  readonly reject: (error: GuestFault) => void;
}

export class HostDesk {
  #most = 0;
  #onSuspend: () => void = () => {};
  #made = 0;
  #lines = 0;
  #dropped = 0;
  #untold: HostCall[] = [];
  #pending: Pending | null = null;

  /** A call begins that may make `most` host calls; `onSuspend` is told each time it waits for an answer. */
  begin(most: number, onSuspend: () => void): void {
    this.#most = most;
    this.#onSuspend = onSuspend;
    this.#made = 0;
    this.#lines = 0;
    this.#dropped = 0;
    this.#untold = [];
    this.#pending = null;
  }

  /** Whether further lines are only counted. */
  get isLogFull(): boolean {
    return this.#lines >= Math.min(HOST_CALL_LIMITS.logLines, this.#most);
  }

  log(level: Level, message: string): void {
    if (this.isLogFull) this.#dropped++;
    else {
      this.#lines++;
      this.tell("log", [level, message.slice(0, HOST_CALL_LIMITS.logCharacters)]);
    }
  }

  /** Counts a line that is not even read. */
  drop(): void {
    this.#dropped++;
  }

  /** A host call that nobody waits for. */
  tell(method: string, args: unknown[]): void {
    this.#untold.push({ seq: this.#number(method), method, args, waits: false });
  }

  /** A host call that the guest waits for. */
  ask(method: string, args: unknown[]): Promise<HostResult> {
    const seq = this.#number(method);
    this.#untold.push({ seq, method, args, waits: true });
    const { promise, resolve, reject } = Promise.withResolvers<HostResult>();
    this.#pending = { seq, resolve, reject };
    this.#onSuspend();
    return promise;
  }

  isWaitingFor(seq: number): boolean {
    return this.#pending?.seq === seq;
  }

  /** Lets the guest go on. */
  answer(result: HostResult): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.resolve(result);
  }

  /**
   * Ends a guest that waits. It is unwound from where it stands and none of its code runs: the forge admits no
   * module that could catch. Left alone it would hold its stack and its memory for ever.
   */
  unwind(): void {
    const pending = this.#pending;
    this.#pending = null;
    pending?.reject(new GuestFault("load", "the call was given up"));
  }

  /** What has been handed in since the last turn. */
  take(): HostCall[] {
    const calls = this.#untold;
    this.#untold = [];
    return calls;
  }

  /** The same at the end of the call: what was dropped is told too, if there is room for it. */
  takeLast(): HostCall[] {
    if (this.#dropped > 0 && this.#made < this.#most)
      this.tell("log", ["warn", `${this.#dropped} more log lines were dropped`]);
    this.#dropped = 0;
    return this.take();
  }

  #number(method: string): number {
    if (this.#made >= this.#most)
      throw new GuestFault("violation", `${method}: a call may make ${this.#most} host calls`);
    return this.#made++;
  }
}
