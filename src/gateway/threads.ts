/**
 * The data threads as the main thread sees them: started together, given each configuration in two steps (all
 * prepare, then all serve), replaced when one dies, drained at the end.
 */
import { Worker } from "node:worker_threads";
import type { Logger } from "pino";
import type { MetricsJson } from "../observe/thread-metrics.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { Listen, Settings } from "../settings.ts";
import type { CounterTableSpec } from "./counter-table.ts";
import type { AccessRecord, Deployment, FromThread, ThreadData, ThreadStats, ToThread } from "./messages.ts";
import type { SandboxChannel } from "./sandbox.ts";

export interface ThreadsOptions {
  readonly settings: Settings;
  readonly counters: CounterTableSpec;
  readonly ca: readonly string[] | null;
  readonly log: Logger;
  onAccess(records: readonly AccessRecord[]): void;
  /** A thread is there: connect its sandbox. The function gets what the thread says to its supervisor. */
  connectSandbox(post: (message: unknown) => void): { onMessage(message: unknown): void; close(): void };
}

interface Thread {
  readonly index: number;
  readonly worker: Worker;
  readonly sandbox: SandboxChannel;
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number;
  serving: boolean;
}

/** What all threads have counted. */
export interface Collected {
  readonly metrics: readonly MetricsJson[];
  readonly stats: ThreadStats;
  /** A row for each guest and thread. */
  readonly ledger: readonly LedgerRow[];
}

const SHORT_LIFE_MS = 1000;

type Waiter = (message: FromThread) => boolean;

export class DataThreads {
  readonly #options: ThreadsOptions;
  readonly #threads: Thread[] = [];
  readonly #waiters = new Map<Thread, Set<Waiter>>();
  #deployment: Deployment | null = null;
  #version = 0;
  #listeners: readonly Listen[] = [];
  #stopping = false;
  #scrapes = 0;
  /** Deployments and replacements follow each other: a new thread gets what is in force, whole. */
  #lastChange: Promise<unknown> = Promise.resolve();
  /** Sums of threads that are gone. */
  readonly #past: ThreadStats = { requests: 0, accepted: 0, active: 0, waiting: 0, reading: 0 };

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** Whether every data thread serves. */
  get serving(): boolean {
    return (
      this.#threads.length === this.#options.settings.dataThreads && this.#threads.every((t) => t.serving)
    );
  }

  async start(): Promise<void> {
    const { dataThreads } = this.#options.settings;
    await Promise.all(Array.from({ length: dataThreads }, (_, index) => this.#spawn(index)));
  }

  /**
   * Opens the proxy's listeners on every thread. Where port 0 is asked for, the first thread's number serves
   * all. Returns the ports.
   */
  async listen(listeners: readonly Listen[]): Promise<readonly number[]> {
    const [first, ...others] = this.#threads as [Thread, ...Thread[]];
    const ports = await this.#open(first, listeners);
    this.#listeners = listeners.map((listener, i) => ({ ...listener, port: ports[i] as number }));
    await Promise.all(others.map((thread) => this.#open(thread, this.#listeners)));
    return ports;
  }

  /**
   * Puts a configuration in force on all threads, or on none.
   * @throws {Error} if a thread cannot prepare it; the old one goes on.
   */
  deploy(deployment: Deployment): Promise<void> {
    return this.#inTurn(() => this.#deploy(deployment));
  }

  async #deploy(deployment: Deployment): Promise<void> {
    const version = ++this.#version;
    const threads = [...this.#threads];
    const errors = await Promise.all(threads.map((thread) => this.#prepare(thread, version, deployment)));
    const error = errors.find((message) => message !== null);
    if (error !== undefined) {
      for (const thread of threads) this.#post(thread, { kind: "discard", version });
      throw new Error(error);
    }
    this.#deployment = deployment;
    await Promise.all(threads.map((thread) => this.#commit(thread, version)));
  }

  /** Metrics and sums of every thread. */
  async collect(): Promise<Collected> {
    const id = ++this.#scrapes;
    const answers = await Promise.all(
      this.#threads.map(async (thread) => {
        const answer = this.#await(thread, (m) => m.kind === "metrics" && m.id === id);
        this.#post(thread, { kind: "metrics", id });
        return answer;
      }),
    );
    const stats = { ...this.#past };
    const metrics: MetricsJson[] = [];
    const ledger: LedgerRow[] = [];
    for (const answer of answers) {
      if (answer?.kind !== "metrics") continue;
      metrics.push(answer.metrics);
      ledger.push(...answer.ledger);
      stats.requests += answer.stats.requests;
      stats.accepted += answer.stats.accepted;
      stats.active += answer.stats.active;
      stats.waiting += answer.stats.waiting;
      stats.reading += answer.stats.reading;
    }
    return { metrics, stats, ledger };
  }

  /** Lets requests in flight finish, refuses new ones; ends all threads after `timeoutMs` at the latest. */
  async drain(timeoutMs: number): Promise<void> {
    this.#stopping = true;
    const threads = [...this.#threads];
    const all = Promise.all(
      threads.map((thread) => {
        const drained = this.#await(thread, (m) => m.kind === "drained");
        this.#post(thread, { kind: "drain" });
        return drained;
      }),
    );
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const timer = setTimeout(() => resolve("late"), timeoutMs);
    if ((await Promise.race([all, late])) === "late")
      this.#options.log.warn(
        { drain_timeout_ms: timeoutMs },
        "requests in flight were cut off: draining took too long",
      );
    clearTimeout(timer);
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  async #spawn(index: number): Promise<Thread> {
    const { settings, counters, ca } = this.#options;
    const workerData: ThreadData = { settings, counters, ca };
    const worker = new Worker(new URL("./data-thread.ts", import.meta.url), {
      workerData,
      name: `data-${index}`,
    });
    const thread: Thread = {
      index,
      worker,
      sandbox: this.#options.connectSandbox((message) =>
        worker.postMessage({ kind: "sandbox", message } satisfies ToThread),
      ),
      startedAt: performance.now(),
      serving: false,
    };
    this.#waiters.set(thread, new Set());
    this.#threads.push(thread);
    worker.on("message", (message: FromThread) => this.#onMessage(thread, message));
    worker.on("error", (error) => {
      this.#options.log.error({ thread: index, err: error }, "a data thread failed");
    });
    worker.on("exit", () => this.#onExit(thread));
    await this.#await(thread, (m) => m.kind === "started");
    return thread;
  }

  #onMessage(thread: Thread, message: FromThread): void {
    switch (message.kind) {
      case "access":
        this.#options.onAccess(message.records);
        break;
      case "log":
        this.#options.log[message.level]({ ...message.fields, thread: thread.index }, message.message);
        break;
      case "sandbox":
        thread.sandbox.onMessage(message.message);
        break;
      default:
        for (const waiter of this.#waiters.get(thread) ?? []) {
          if (waiter(message)) break;
        }
    }
  }

  #onExit(thread: Thread): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
    for (const waiter of this.#waiters.get(thread) ?? []) waiter({ kind: "drained" });
    this.#waiters.delete(thread);
    thread.sandbox.close();
    if (this.#stopping) return;
    this.#options.log.error({ thread: thread.index }, "a data thread is gone; another takes its place");
    // One that dies as soon as it starts is not started again without a pause.
    const pauseMs = performance.now() - thread.startedAt < SHORT_LIFE_MS ? SHORT_LIFE_MS : 0;
    setTimeout(() => {
      this.#inTurn(() => this.#replace(thread.index)).catch((error) =>
        this.#options.log.error({ err: error }, "a data thread could not be replaced"),
      );
    }, pauseMs);
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#lastChange.then(change);
    this.#lastChange = turn.catch(() => {});
    return turn;
  }

  async #replace(index: number): Promise<void> {
    if (this.#stopping) return;
    const thread = await this.#spawn(index);
    const version = this.#version;
    if (this.#deployment !== null) {
      const error = await this.#prepare(thread, version, this.#deployment);
      if (error !== null) throw new Error(error);
      await this.#commit(thread, version);
    }
    if (this.#listeners.length > 0) await this.#open(thread, this.#listeners);
  }

  async #open(thread: Thread, listeners: readonly Listen[]): Promise<readonly number[]> {
    const answer = this.#await(thread, (m) => m.kind === "listening" || m.kind === "listen-failed");
    this.#post(thread, { kind: "listen", listeners });
    const message = await answer;
    if (message?.kind !== "listening")
      throw new Error(message?.kind === "listen-failed" ? message.message : "the data thread is gone");
    thread.serving = true;
    return message.ports;
  }

  async #prepare(thread: Thread, version: number, deployment: Deployment): Promise<string | null> {
    const answer = this.#await(thread, (m) => m.kind === "prepared" && m.version === version);
    this.#post(thread, { kind: "prepare", version, deployment });
    const message = await answer;
    // A thread that died meanwhile is replaced by one that gets whatever is in force then.
    return message?.kind === "prepared" ? message.error : null;
  }

  async #commit(thread: Thread, version: number): Promise<void> {
    const answer = this.#await(thread, (m) => m.kind === "live" && m.version === version);
    this.#post(thread, { kind: "commit", version });
    await answer;
  }

  #post(thread: Thread, message: ToThread): void {
    thread.worker.postMessage(message);
  }

  /** The next message that fits; null if the thread ends first. */
  #await(thread: Thread, fits: (message: FromThread) => boolean): Promise<FromThread | null> {
    const waiters = this.#waiters.get(thread);
    if (waiters === undefined) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<FromThread | null>();
    const waiter: Waiter = (message) => {
      const gone = !this.#threads.includes(thread);
      if (!gone && !fits(message)) return false;
      waiters.delete(waiter);
      resolve(gone ? null : message);
      return !gone;
    };
    waiters.add(waiter);
    return promise;
  }
}
