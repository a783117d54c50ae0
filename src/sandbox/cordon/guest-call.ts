/**
 * One open hook call inside an isolate: its host calls, how it ended, and the text that tells the cordon.
 * Part of the in-isolate runtime: see bootstrap.ts.
 */
import { HOST_CALL_LIMITS, MAX_ARGUMENTS_BYTES } from "../host-call-limits.ts";
import type { GuestContext } from "./guest-context.ts";

export interface Limits {
  outputBytes: number;
  headerCount: number;
  headerBytes: number;
  hostCalls: number;
}

interface PendingHostCall {
  seq: number;
  method: string;
  args: unknown[];
  waits: boolean;
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
  untold: PendingHostCall[] = [];
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

  log(level: string, line: string): void {
    if (this.#lines++ < HOST_CALL_LIMITS.logLines) this.tell("log", [level, line]);
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

/** Bodies follow the JSON as latin1 text, in this order; the JSON holds their lengths. */
export interface EncodedVerdict {
  request?: { headers?: string[][]; method?: string; path?: string; query?: string; body?: number };
  response?: { headers?: string[][]; status?: number; body?: number };
  chunk?: number;
  reply?: { status: number; headers: string[][]; body: number };
  vars?: Record<string, unknown>;
  authenticated?: { consumer: string | null; credential: string | null };
  /** What follows the JSON. */
  bodies: string;
}

/** `<length of the JSON>:<JSON><bodies>`; the JSON is `{k, h?, u?, v?}` or `{k, h?, u?, f, m}`, where `u` asks for that many random bytes. */
function encode(record: CallRecord, fields: Record<string, unknown>, bodies: string): string {
  if (record.untold.length > 0) {
    fields.h = record.untold;
    record.untold = [];
  }
  const wanted = record.host?.wantsRandom() ?? 0;
  if (wanted > 0) fields.u = wanted;
  let text = JSON.stringify(fields);
  if (text.length + bodies.length > record.limits.outputBytes + OVERHEAD) {
    const message = `its answer has more than ${record.limits.outputBytes} bytes`;
    text = JSON.stringify({ k: 2, f: "violation", m: message });
    return `${text.length}:${text}`;
  }
  return `${text.length}:${text}${bodies}`;
}

/** Room for what the host calls and the JSON's own punctuation take beside the guest's bytes. */
const OVERHEAD = 64 * 1024 + 2 * MAX_ARGUMENTS_BYTES;

export function encodeVerdict(record: CallRecord, verdict: EncodedVerdict | null): string {
  record.closeLog();
  // Nobody would hear the answers to calls that the guest did not wait for.
  for (const call of record.untold) call.waits = false;
  if (verdict === null) return encode(record, { k: 0 }, "");
  const { bodies, ...fields } = verdict;
  return encode(record, { k: 0, v: fields }, bodies);
}

export function encodeWaiting(record: CallRecord): string {
  return encode(record, { k: 1 }, "");
}

export function encodeFailure(record: CallRecord, failure: string, message: string): string {
  record.closeLog();
  for (const call of record.untold) call.waits = false;
  return encode(record, { k: 2, f: failure, m: message }, "");
}
