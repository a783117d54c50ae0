/** The main thread's hold of the store: starts its thread when the first value is asked for, and connects data threads. */
import { once } from "node:events";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { Outcome } from "./key-value-store.ts";
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

  /**
   * A workspace is no more: what is kept in it goes, and what its plugins keep in others.
   * @returns how many keys went.
   * @throws {Error} if the store cannot be had now.
   */
  async forgetWorkspace(workspace: string): Promise<number> {
    const worker = this.#running();
    if (worker === null) throw new Error("the store of plugins' values cannot be had now");
    const { port1, port2 } = new MessageChannel();
    const answer = once(port1, "message");
    const lost = Promise.race([once(port1, "close"), once(worker, "exit")]);
    const message: ToStore = { type: "forget_workspace", workspace, answer: port2 };
    worker.postMessage(message, [port2]);
    const [outcome] = (await Promise.race([answer, lost])) as [Outcome | undefined];
    port1.close();
    if (typeof outcome !== "object" || "fault" in outcome)
      throw new Error("the store of plugins' values cannot be reached");
    return outcome.removed ?? 0;
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
