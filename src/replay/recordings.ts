/** The main thread's hold of what was recorded: starts the thread that has the file when somebody needs it. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { KeptRecording } from "./recording.ts";
import type { RecordingSummary, Selection } from "./recordings-file.ts";
import type { Answers, FromRecordings, Question, RecordingsData, ToRecordings } from "./recordings-thread.ts";

/** A thread that ends as soon as it has started is not started again before this time is over. */
const PAUSE_MS = 1000;

export interface RecordingsOptions {
  readonly path: string;
  /** Setting `recordings_max_bytes`. */
  readonly maxBytes: number;
  readonly log: (level: "error", message: string, fields: Record<string, unknown>) => void;
}

/** The thread that has the file cannot be had now. */
export class RecordingsUnavailable extends Error {
  override readonly name = "RecordingsUnavailable";
}

export class Recordings {
  readonly #options: RecordingsOptions;
  readonly #waiting = new Map<number, PromiseWithResolvers<Answers[keyof Answers]>>();
  /** Ids of workspaces that are no more. */
  readonly #forgotten = new Set<string>();
  #worker: Worker | null = null;
  #startedAt = Number.NEGATIVE_INFINITY;
  #next = 0;
  #closed = false;

  constructor(options: RecordingsOptions) {
    this.#options = options;
  }

  /** A data thread's port; null if there can be none now. */
  connect(): MessagePort | null {
    const worker = this.#running();
    if (worker === null) return null;
    const { port1, port2 } = new MessageChannel();
    worker.postMessage({ type: "connect", port: port1 } satisfies ToRecordings, [port1]);
    return port2;
  }

  /** Those of a workspace, or of one of its routes. @throws {RecordingsUnavailable} */
  async list(of: Selection): Promise<RecordingSummary[]> {
    return this.#isEmpty() ? [] : this.#ask("list", { ask: "list", of });
  }

  /** One of a workspace. @throws {RecordingsUnavailable} */
  async get(of: Selection): Promise<KeptRecording | null> {
    return this.#isEmpty() ? null : this.#ask("get", { ask: "get", of });
  }

  /** The last ones, the oldest of them first. @throws {RecordingsUnavailable} */
  async newest(of: Selection, count: number): Promise<KeptRecording[]> {
    return this.#isEmpty() ? [] : this.#ask("newest", { ask: "newest", of, count });
  }

  /** @returns how many there were. @throws {RecordingsUnavailable} */
  async remove(of: Selection): Promise<number> {
    return this.#isEmpty() ? 0 : this.#ask("remove", { ask: "remove", of });
  }

  /** A workspace is no more. @returns how many it had. @throws {RecordingsUnavailable} */
  async forget(workspace: string): Promise<number> {
    this.#forgotten.add(workspace);
    return this.#isEmpty() ? 0 : this.#ask("forget", { ask: "forget", of: { workspace } });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    if (worker === null) return;
    const gone = once(worker, "exit");
    worker.postMessage({ type: "close" } satisfies ToRecordings);
    await gone;
  }

  /** Nothing was ever recorded: no thread is started to learn that. */
  #isEmpty(): boolean {
    return this.#worker === null && !existsSync(this.#options.path);
  }

  #ask<A extends keyof Answers>(_: A, question: Question): Promise<Answers[A]> {
    const worker = this.#running();
    if (worker === null) throw new RecordingsUnavailable("what was recorded cannot be had now");
    const id = this.#next++;
    const waiter = Promise.withResolvers<Answers[keyof Answers]>();
    this.#waiting.set(id, waiter);
    worker.postMessage({ type: "ask", id, question } satisfies ToRecordings);
    return waiter.promise as Promise<Answers[A]>;
  }

  #on(message: FromRecordings): void {
    if (message.type === "log") return this.#options.log(message.level, message.message, message.fields);
    const waiter = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === "answer") waiter?.resolve(message.answer);
    else waiter?.reject(new RecordingsUnavailable(`what was recorded cannot be read: ${message.reason}`));
  }

  #running(): Worker | null {
    if (this.#closed) return null;
    if (this.#worker !== null) return this.#worker;
    if (performance.now() - this.#startedAt < PAUSE_MS) return null;
    this.#startedAt = performance.now();
    const { path, maxBytes, log } = this.#options;
    const worker = new Worker(new URL("./recordings-thread.ts", import.meta.url), {
      workerData: { path, maxBytes, forgotten: [...this.#forgotten] } satisfies RecordingsData,
      name: "recordings",
    });
    worker.on("message", (message: FromRecordings) => this.#on(message));
    worker.on("error", (err) =>
      log("error", "the thread of recordings is gone; another takes its place when it is needed", { err }),
    );
    worker.on("exit", () => {
      if (this.#worker === worker) this.#worker = null;
      for (const [id, waiter] of this.#waiting) {
        this.#waiting.delete(id);
        waiter.reject(new RecordingsUnavailable("the thread of recordings has ended"));
      }
    });
    this.#worker = worker;
    return worker;
  }
}
