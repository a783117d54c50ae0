/**
 * One open hook call inside an isolate: its host calls, how it ended, and the text that tells the cordon.
 * Part of the in-isolate runtime: see bootstrap.ts.
 */

import { HOST_CALL_LIMITS, MAX_ARGUMENTS_BYTES } from "../calls/host-call-limits.ts";
import type { Failure, HostCall } from "../protocol/engine.ts";
import { u16 } from "../protocol/text.ts";
import { failureTurn, type VerdictText, verdictTurn, waitingTurn } from "../protocol/turn-text.ts";
import type { GuestContext } from "./guest-context.ts";

export interface Limits {
  outputBytes: number;
  headerCount: number;
  headerBytes: number;
  hostCalls: number;
}

interface Settlement {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class CallRecord {
  readonly id: number;
  readonly limits: Limits;
  readonly host: { wantsRandom(): number } | null;
  context: GuestContext | null = null;
  settled: { value: unknown } | null = null;
  failure: { error: unknown } | null = null;
  /** Why the call fails whatever the guest returns. */
  violation: string | null = null;
  /** Host calls that were not told to the cordon yet. */
  untold: HostCall[] = [];
  readonly #waiting = new Map<number, Settlement>();
  #made = 0;
  #lines = 0;

  constructor(id: number, limits: Limits, host: CallRecord["host"]) {
    this.id = id;
    this.host = host;
    this.limits = limits;
  }

  settle(value: unknown): void {
    this.settled = { value };
  }

  fail(error: unknown): void {
    this.failure = { error };
  }

  isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** Marks the call as failed and stops the guest by throwing; a guest that catches it gains nothing. */
  violate(message: string): never {
    this.violation ??= message;
    throw new RangeError(message);
  }

  tell(method: string, args: unknown[]): void {
    this.untold.push({ seq: this.#next(), method, args, waits: false });
  }

  /** Counts a line of the log. Some that are too many are dropped; a flood of them is a violation. */
  hasRoomForLine(): boolean {
    const { logLines, droppedLines } = HOST_CALL_LIMITS;
    if (this.#lines++ < logLines) return true;
    if (this.#lines > logLines + droppedLines)
      this.violate(`more than ${logLines + droppedLines} log lines in one hook call`);
    return false;
  }

  /** Tells how many lines were dropped. Once, at the call's end. */
  closeLog(): void {
    const dropped = this.#lines - HOST_CALL_LIMITS.logLines;
    if (dropped <= 0 || this.#made >= this.limits.hostCalls) return;
    this.tell("log", ["warn", `${dropped} more log lines were dropped`]);
  }

  ask(method: string, args: unknown[]): Promise<unknown> {
    const seq = this.#next();
    this.untold.push({ seq, method, args, waits: true });
    return new Promise((resolve, reject) => this.#waiting.set(seq, { resolve, reject }));
  }

  answer(seq: number, answer: { value: unknown } | { error: string }): void {
    const waiter = this.#waiting.get(seq);
    if (waiter === undefined) return;
    this.#waiting.delete(seq);
    if ("error" in answer) waiter.reject(new Error(answer.error));
    else waiter.resolve(answer.value);
  }

  #next(): number {
    if (this.#made >= this.limits.hostCalls)
      this.violate(`more than ${this.limits.hostCalls} host calls in one hook call`);
    return this.#made++;
  }
}

/** Room for what the host calls take beside the guest's bytes. */
const OVERHEAD = 64 * 1024 + 2 * MAX_ARGUMENTS_BYTES;

/** What `invoke` and `collect` return: how many random bytes are wanted (u16), then the turn (turn-text.ts). */
function told(record: CallRecord, write: (hostCalls: HostCall[]) => string): string {
  const hostCalls = record.untold;
  record.untold = [];
  const turn = write(hostCalls);
  const wanted = u16(record.host?.wantsRandom() ?? 0);
  if (turn.length <= record.limits.outputBytes + OVERHEAD) return wanted + turn;
  const message = `its answer has more than ${record.limits.outputBytes} bytes`;
  return wanted + failureTurn("violation", message, []);
}

/** Nobody would hear the answers to calls that the guest did not wait for. */
function last(record: CallRecord): void {
  record.closeLog();
  for (const call of record.untold) call.waits = false;
}

export function tellVerdict(record: CallRecord, verdict: VerdictText): string {
  last(record);
  return told(record, (hostCalls) => verdictTurn(verdict, hostCalls));
}

export function tellWaiting(record: CallRecord): string {
  return told(record, waitingTurn);
}

export function tellFailure(record: CallRecord, failure: Failure, message: string): string {
  last(record);
  return told(record, (hostCalls) => failureTurn(failure, message, hostCalls));
}
