/** A data thread's way to the store: operations with numbers over a port, which is asked for when one is needed. */
import type { MessagePort } from "node:worker_threads";
import type { KeyValues } from "@gatehouse/sdk";
import { HostCallError } from "../sandbox/calls/host-call-error.ts";
import { HOST_CALL_LIMITS } from "../sandbox/calls/host-call-limits.ts";
import { Shares } from "../tenancy/shares.ts";
import { explainFault, type Operation, type Outcome, type Quota, type Scope } from "./key-value-store.ts";
import type { StoreAnswer, StoreRequest } from "./store-thread.ts";

/** Operations that a data thread waits for, of one workspace and of all: each may hold a value of 64 KiB. */
export const MAX_WAITING = 256;
export const MAX_WAITING_OF_ALL = 1024;

interface Waiter {
  readonly workspace: string;
  resolve(outcome: Outcome): void;
}

export class StoreClient {
  readonly #ask: () => void;
  #port: MessagePort | null = null;
  #asked = false;
  /** Operations for which there is no port yet. */
  #unsent: StoreRequest[] = [];
  readonly #waiting = new Map<number, Waiter>();
  readonly #shares = new Shares(MAX_WAITING_OF_ALL, MAX_WAITING);
  #next = 0;

  /** `ask` has the main thread send a port, which is for `connect`. */
  constructor(ask: () => void) {
    this.#ask = ask;
  }

  /** The port that was asked for; null if the store cannot be had now. */
  connect(port: MessagePort | null): void {
    this.#asked = false;
    if (port === null) return this.#lose();
    this.#port = port;
    port.on("message", ({ id, outcome }: StoreAnswer) => this.#take(id)?.resolve(outcome));
    port.on("close", () => {
      if (this.#port === port) this.#lose();
    });
    for (const request of this.#unsent.splice(0)) port.postMessage(request);
  }

  /** What one plugin keeps. */
  values(scope: Scope, quota: Quota): KeyValues {
    const run = async (operation: Operation): Promise<Uint8Array | null> => {
      const outcome = await this.#run(scope.workspace, operation);
      if ("fault" in outcome) throw new HostCallError(explainFault(outcome.fault, quota));
      return outcome.value;
    };
    return {
      get: (key) => run({ op: "get", scope, key: checkedKey(key) }),
      set: async (key, given, { ttlMs = null } = {}) => {
        const value = checkedValue(given);
        await run({ op: "set", scope, key: checkedKey(key), value, ttlMs: checkedTime(ttlMs), quota });
      },
      delete: async (key) => {
        await run({ op: "delete", scope, key: checkedKey(key) });
      },
    };
  }

  close(): void {
    this.#port?.close();
  }

  #run(workspace: string, operation: Operation): Promise<Outcome> {
    if (!this.#shares.take(workspace, 1))
      throw new HostCallError("too many operations of the workspace are waiting for the store");
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#waiting.set(id, { workspace, resolve });
    const request = { id, operation };
    if (this.#port !== null) this.#port.postMessage(request);
    else {
      this.#unsent.push(request);
      if (!this.#asked) {
        this.#asked = true;
        this.#ask();
      }
    }
    return promise;
  }

  #take(id: number): Waiter | undefined {
    const waiter = this.#waiting.get(id);
    if (waiter === undefined) return undefined;
    this.#waiting.delete(id);
    this.#shares.give(waiter.workspace, 1);
    return waiter;
  }

  /** Nobody answers what was asked. The next operation asks for another port. */
  #lose(): void {
    this.#port = null;
    this.#unsent = [];
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.resolve({ fault: "unavailable" });
  }
}

function checkedKey(key: string): string {
  const { kvKeyBytes } = HOST_CALL_LIMITS;
  if (typeof key !== "string" || key === "" || Buffer.byteLength(key) > kvKeyBytes)
    throw new HostCallError(`a key is a string of 1 to ${kvKeyBytes} bytes`);
  return key;
}

/** A copy: what is posted is the whole memory under it. */
function checkedValue(value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  const { kvValueBytes } = HOST_CALL_LIMITS;
  if (bytes.length > kvValueBytes)
    throw new HostCallError(`a value has at most ${kvValueBytes} bytes, not ${bytes.length}`);
  return new Uint8Array(bytes);
}

function checkedTime(ttlMs: number | null): number | null {
  const { kvTtlMs } = HOST_CALL_LIMITS;
  if (ttlMs !== null && !(Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= kvTtlMs))
    throw new HostCallError(`ttlMs is a whole number from 1 to ${kvTtlMs}`);
  return ttlMs;
}
