/** The main thread's hold of the store: starts its thread when the first value is asked for, and connects data threads. */
import { once } from "node:events";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { FromStore, StoreKind, ToStore } from "./store-thread.ts";

/** A thread that ends as soon as it has started is not started again before this time is over. */
const PAUSE_MS = 1000;

export interface GuestStoreOptions {
  readonly store: StoreKind;
  readonly log: (level: "warn" | "error", message: string, fields: Record<string, unknown>) => void;
}

export class GuestStore {
  readonly #options: GuestStoreOptions;
  #worker: Worker | null = null;
  #startedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: GuestStoreOptions) {
    this.#options = options;
  }

  /** A data thread's port; null if the store cannot be had now. */
  connect(): MessagePort | null {
    const worker = this.#running();
    if (worker === null) return null;
    const { port1, port2 } = new MessageChannel();
    worker.postMessage({ type: "connect", port: port1 } satisfies ToStore, [port1]);
    return port2;
  }

  /** A published plugin is no more: what it kept goes, in every workspace. */
  forget(owner: string, plugin: string): void {
    this.#running()?.postMessage({ type: "forget", owner, plugin } satisfies ToStore);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    if (worker === null) return;
    const gone = once(worker, "exit");
    worker.postMessage({ type: "close" } satisfies ToStore);
    await gone;
  }

  #running(): Worker | null {
    if (this.#closed) return null;
    if (this.#worker !== null) return this.#worker;
    if (performance.now() - this.#startedAt < PAUSE_MS) return null;
    this.#startedAt = performance.now();
    const { store, log } = this.#options;
    const worker = new Worker(new URL("./store-thread.ts", import.meta.url), {
      workerData: store,
      name: "guest-store",
    });
    worker.on("message", ({ level, message, fields }: FromStore) => log(level, message, fields));
    worker.on("error", (err) =>
      log("error", "the store of plugins' values is gone; another takes its place when it is needed", {
        err,
      }),
    );
    worker.on("exit", () => {
      if (this.#worker === worker) this.#worker = null;
    });
    this.#worker = worker;
    return worker;
  }
}
