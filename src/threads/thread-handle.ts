/**
 * One data thread as the main thread holds it: its worker, what it shows of itself, and the conversation with it.
 * Whoever waits for its answer goes on without it once it is lost.
 */
import { type MessagePort, Worker } from "node:worker_threads";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { SandboxChannel } from "../sandbox/sandbox.ts";
import type { ProxyListen } from "../settings.ts";
import type { ConnectionStates, FromThread, ThreadData, ToThread } from "./messages.ts";
import type { LastSeen } from "./past-threads.ts";
import { Vitals } from "./vitals.ts";
import { LONGEST_STEP_MS, LOOK_MS, Watch } from "./watch.ts";

/** What loading its modules may take a thread on a busy machine. */
const START_PATIENCE_MS = 30_000;

interface HandleParts {
  /** What the thread starts with; its vitals are added. */
  readonly data: Omit<ThreadData, "vitals">;
  /** Connects the thread's sandbox; the function carries messages to the thread. */
  connectSandbox(post: (message: unknown) => void): SandboxChannel;
  /** What the thread says without being asked. */
  onMessage(message: Extract<FromThread, { kind: "access" | "log" | "tail" }>): void;
  /** Connects the thread to the store of plugins' values; null if it cannot be had now. */
  connectStore(): MessagePort | null;
  /** Connects it to the file of recordings; null if that cannot be had now. */
  connectRecordings(): MessagePort | null;
  onError(error: unknown): void;
  onExit(): void;
}

interface Waiter {
  fits(message: FromThread): boolean;
  resolve(message: FromThread | null): void;
}

/** In place of the answer of a thread that has not come in time. */
export const LATE = Symbol("late");

/** What a thread that is at its end gets to take down what it held; it is lost by its own doing, and no hang. */
const LEAVING_MS = 5000;

/** What a thread gets to tell its metrics; one that does not is shown as it was when it last did. */
const SCRAPE_MS = 2000;

export class ThreadHandle {
  readonly index: number;
  /** Node's number of the thread, which the worker forgets when it ends. */
  readonly id: number;
  /** Where it counts its connections. */
  readonly capColumn: number;
  readonly vitals: Vitals;
  /** Milliseconds of `performance.now()`. */
  readonly startedAt = performance.now();
  /** Whether its listeners are open. */
  serving = false;
  /** What its guests have cost, as it last told. */
  ledger: readonly LedgerRow[] = [];
  lastSeen: (LastSeen & { readonly connections: ConnectionStates }) | null = null;
  readonly #worker: Worker;
  readonly #watch: Watch;
  readonly #sandbox: SandboxChannel;
  readonly #parts: HandleParts;
  readonly #waiters = new Set<Waiter>();
  /** What it may take without a beat on top of `thread_hang_ms`, for the work that it was given. */
  #patienceMs = START_PATIENCE_MS;
  #lost = false;

  constructor(index: number, parts: HandleParts) {
    const memory = Vitals.memory();
    const workerData: ThreadData = { ...parts.data, vitals: memory };
    const worker = new Worker(new URL("../data-thread/data-thread.ts", import.meta.url), {
      workerData,
      name: `data-${index}`,
    });
    this.index = index;
    this.id = worker.threadId;
    this.capColumn = parts.data.capColumn;
    this.vitals = new Vitals(memory);
    this.#worker = worker;
    this.#watch = new Watch(this.vitals);
    this.#parts = parts;
    this.#sandbox = parts.connectSandbox((message) => this.post({ kind: "sandbox", message }));
    worker.on("message", (message: FromThread) => this.#onMessage(message));
    worker.on("error", parts.onError);
    worker.on("exit", parts.onExit);
  }

  #onMessage(message: FromThread): void {
    switch (message.kind) {
      case "access":
      case "log":
      case "tail":
        this.#parts.onMessage(message);
        break;
      case "ledger":
        this.ledger = message.rows;
        break;
      case "store":
      case "recordings": {
        if (this.#lost) break;
        const { kind } = message;
        const port = kind === "store" ? this.#parts.connectStore() : this.#parts.connectRecordings();
        this.post({ kind, port }, port === null ? [] : [port]);
        break;
      }
      case "sandbox":
        if (!this.#lost) this.#sandbox.onMessage(message.message);
        break;
      default:
        for (const waiter of this.#waiters) {
          if (!waiter.fits(message)) continue;
          this.#waiters.delete(waiter);
          waiter.resolve(message);
          break;
        }
    }
  }

  post(message: ToThread, moved: readonly MessagePort[] = []): void {
    this.#worker.postMessage(message, moved);
  }

  /** The next message that fits; null if the thread is lost first. */
  #answer(fits: (message: FromThread) => boolean): Promise<FromThread | null> {
    if (this.#lost) return Promise.resolve(null);
    const { promise, resolve } = Promise.withResolvers<FromThread | null>();
    this.#waiters.add({ fits, resolve });
    return promise;
  }

  /** The same, within a time that stands still while the whole process does. */
  async #answerWithin(
    timeoutMs: number,
    fits: (message: FromThread) => boolean,
  ): Promise<FromThread | null | typeof LATE> {
    if (this.#lost) return null;
    const { promise, resolve } = Promise.withResolvers<FromThread | null | typeof LATE>();
    const waiter = { fits, resolve };
    this.#waiters.add(waiter);
    let leftMs = timeoutMs;
    let lookedAt = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      leftMs -= Math.min(now - lookedAt, LONGEST_STEP_MS);
      lookedAt = now;
      if (leftMs > 0) return;
      this.#waiters.delete(waiter);
      resolve(LATE);
    }, LOOK_MS);
    try {
      return await promise;
    } finally {
      clearInterval(timer);
    }
  }

  /** Resolves when the thread has started, or is lost. */
  async started(): Promise<void> {
    await this.#answer((m) => m.kind === "started");
    this.calm();
  }

  /**
   * Opens the proxy's listeners; returns their ports.
   * @throws {Error} if an address cannot be had, or the thread is lost or does not answer
   */
  async open(listeners: readonly ProxyListen[], timeoutMs: number): Promise<readonly number[]> {
    const answer = this.#answerWithin(timeoutMs, (m) => m.kind === "listening" || m.kind === "listen-failed");
    this.post({ kind: "listen", listeners });
    const message = await answer;
    if (message === LATE) throw new Error("the data thread has not answered in time");
    if (message?.kind !== "listening")
      throw new Error(message?.kind === "listen-failed" ? message.message : "the data thread is gone");
    this.serving = true;
    return message.ports;
  }

  /**
   * What the thread has against a change, once it is asked to prepare it; null if nothing, or if it is lost: the one
   * in its place gets whatever is in force then. `patienceMs` is what it may do so without a beat, `timeoutMs` at all.
   */
  async prepared(
    version: number,
    patienceMs: number,
    timeoutMs: number,
  ): Promise<string | null | typeof LATE> {
    this.#patienceMs = patienceMs;
    const message = await this.#answerWithin(
      timeoutMs,
      (m) => m.kind === "prepared" && m.version === version,
    );
    if (message === LATE) return LATE;
    return message?.kind === "prepared" ? message.error : null;
  }

  /** Serves what was prepared; returns whether it has answered in time, or is lost. */
  async commit(version: number, timeoutMs: number): Promise<boolean> {
    const answer = this.#answerWithin(timeoutMs, (m) => m.kind === "live" && m.version === version);
    this.post({ kind: "commit", version });
    return (await answer) !== LATE;
  }

  /** Asks for its metrics: `lastSeen` has them then, unless the thread does not answer. */
  async scrape(id: number): Promise<void> {
    const answer = this.#answerWithin(SCRAPE_MS, (m) => m.kind === "metrics" && m.id === id);
    this.post({ kind: "metrics", id });
    const message = await answer;
    if (message === LATE || message?.kind !== "metrics") return;
    this.lastSeen = { metrics: JSON.parse(message.metrics), connections: message.connections };
    this.ledger = message.ledger;
  }

  /**
   * A workspace is no more.
   * @returns how many series and rows of the ledger the thread had of it; null if it does not answer.
   */
  async forget(id: number, workspace: string): Promise<{ series: number; rows: number } | null> {
    const answer = this.#answerWithin(SCRAPE_MS, (m) => m.kind === "forgotten" && m.id === id);
    this.post({ kind: "forget", id, workspace });
    const message = await answer;
    this.ledger = this.ledger.filter((row) => row.workspace !== workspace);
    if (this.lastSeen !== null) {
      const isOthers = ({ labels }: { labels: Partial<Record<string, unknown>> }) =>
        labels.workspace !== workspace;
      const metrics = this.lastSeen.metrics.map((metric) => ({
        ...metric,
        values: metric.values.filter(isOthers),
      }));
      this.lastSeen = { ...this.lastSeen, metrics: metrics as typeof this.lastSeen.metrics };
    }
    if (message === LATE || message?.kind !== "forgotten") return null;
    return { series: message.series, rows: message.rows };
  }

  /** Resolves when its last request is over, or it is lost. */
  async drain(): Promise<void> {
    const answer = this.#answer((m) => m.kind === "drained");
    this.post({ kind: "drain" });
    await answer;
  }

  /**
   * Looks again whether it stands still, `elapsedMs` after the last time.
   * @returns for how many milliseconds it does, if that is longer than `hangMs` and what its work may take; else null.
   */
  stuckFor(elapsedMs: number, hangMs: number): number | null {
    const stuckMs = this.#watch.look(elapsedMs);
    const patienceMs = this.vitals.leaving ? LEAVING_MS : this.#patienceMs;
    return stuckMs >= hangMs + patienceMs ? stuckMs : null;
  }

  /** How it stands still: for the log. */
  get manner(): string {
    return this.#watch.manner;
  }

  /** The thread has answered: it lives, and what it was given to do is done. */
  calm(): void {
    this.#patienceMs = 0;
    this.#watch.reset();
  }

  /** Nobody waits for the thread any longer. */
  lose(): void {
    this.#lost = true;
    for (const { resolve } of this.#waiters) resolve(null);
    this.#waiters.clear();
    this.#sandbox.close();
  }

  /** Ends it; resolves when it has ended, which one that is stuck outside of JavaScript never does. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
