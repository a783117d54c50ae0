/**
 * The data threads as the main thread sees them: started together, given each configuration in two steps (all
 * prepare, then all serve), watched, replaced when one dies or hangs, drained at the end.
 *
 * A thread that is lost holds up nobody: whoever waits for its answer goes on without it, its share of new
 * connections goes to the others as soon as its sockets are closed, and the thread in its place gets whatever is
 * in force by then. What it held is cut off, counted and logged.
 */
import { setImmediate as rest } from "node:timers/promises";
import { serialize, setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Logger } from "pino";
import { inPieces, sizeOf } from "../entities/change.ts";
import type { MetricsJson } from "../observe/thread-metrics.ts";
import { SpillBudget } from "../pipeline/body-store.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { ProxyListen, Settings } from "../settings.ts";
import type { KeyPair } from "../tls/contexts.ts";
import type { ThreadTls } from "../tls/terminator.ts";
import type { CapColumns } from "./connection-caps.ts";
import { type CounterTableSpec, releaseCounters } from "./counter-table.ts";
import type {
  AccessRecord,
  ConnectionStates,
  Deployment,
  FromThread,
  ThreadData,
  ThreadStats,
  ToThread,
} from "./messages.ts";
import { type LastSeen, type Losses, type LossReason, PastThreads } from "./past-threads.ts";
import type { SandboxChannel } from "./sandbox.ts";
import { sharedBytes } from "./shared-bytes.ts";
import { Vitals } from "./vitals.ts";
import { LOOK_MS, Watch } from "./watch.ts";

export interface ThreadsOptions {
  readonly settings: Settings;
  readonly counters: CounterTableSpec;
  readonly caps: CapColumns;
  readonly ca: readonly string[] | null;
  readonly clientPair: KeyPair | null;
  /** What threads are told of TLS when they start; null if no listener speaks it. */
  tls(): ThreadTls | null;
  readonly log: Logger;
  onAccess(records: readonly AccessRecord[]): void;
  /** A thread is there: connect its sandbox. The function gets what the thread says to its supervisor. */
  connectSandbox(post: (message: unknown) => void): { onMessage(message: unknown): void; close(): void };
}

interface Thread {
  readonly index: number;
  readonly worker: Worker;
  /** Node's number of the thread, which the worker forgets when it ends. */
  readonly id: number;
  /** Where it counts its connections. */
  readonly capColumn: number;
  readonly vitals: Vitals;
  readonly watch: Watch;
  readonly sandbox: SandboxChannel;
  /** Milliseconds of `performance.now()`. */
  readonly startedAt: number;
  /** What it may take without a beat on top of `thread_hang_ms`, for the work that it was given. */
  patienceMs: number;
  serving: boolean;
  lastSeen: (LastSeen & { readonly connections: ConnectionStates }) | null;
}

/** What all threads have counted. */
export interface Collected {
  readonly metrics: readonly MetricsJson[];
  readonly stats: ThreadStats;
  /** A row for each guest and thread. */
  readonly ledger: readonly LedgerRow[];
  readonly losses: Losses;
}

const SHORT_LIFE_MS = 1000;
/** What loading its modules may take a thread on a busy machine. */
const START_PATIENCE_MS = 30_000;
/** What compiling one entity may take: ten times what it takes (bench/router.ts). */
const ENTITY_PATIENCE_MS = 0.1;
/** Entities that are sent at once: a thread takes 2 ms to read so many. */
const PIECE_ENTITIES = 250;
/** A thread that has not ended by then is stuck outside of JavaScript, where nothing can end it. */
const END_MS = 5000;

type Waiter = (message: FromThread) => boolean;

export class DataThreads {
  readonly #options: ThreadsOptions;
  /** Bytes of bodies on disk, by column. */
  readonly #spill: SharedArrayBuffer;
  readonly #threads: Thread[] = [];
  readonly #waiters = new Map<Thread, Set<Waiter>>();
  /** What is in force. */
  #whole: (() => Deployment) | null = null;
  #version = 0;
  #listeners: readonly ProxyListen[] = [];
  #stopping = false;
  #scrapes = 0;
  /** Deployments and replacements follow each other: a new thread gets what is in force, whole. */
  #lastChange: Promise<unknown> = Promise.resolve();
  readonly #past = new PastThreads();
  #looking: NodeJS.Timeout | null = null;
  #lookedAt = 0;
  /** Told to end and not gone yet. */
  readonly #ending = new Set<Thread>();
  /** Places of threads that get no successor before one of those that end is gone. */
  readonly #vacant: number[] = [];
  #stuck = 0;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.#spill = SpillBudget.memory(options.caps.spec.columns);
  }

  /** Whether every data thread serves. */
  get serving(): boolean {
    return (
      this.#threads.length === this.#options.settings.dataThreads && this.#threads.every((t) => t.serving)
    );
  }

  /** Whether a thread hangs that cannot be ended: it keeps its part of new connections waiting. */
  get stuck(): boolean {
    return this.#stuck > 0;
  }

  async start(): Promise<void> {
    const { dataThreads, threadHangMs } = this.#options.settings;
    if (threadHangMs > 0) {
      this.#lookedAt = performance.now();
      this.#looking = setInterval(() => this.#look(threadHangMs), LOOK_MS);
    }
    await Promise.all(Array.from({ length: dataThreads }, (_, index) => this.#spawn(index)));
    if (this.#threads.length < dataThreads) throw new Error("a data thread ended before it had started");
  }

  /**
   * Opens the proxy's listeners on every thread. Where port 0 is asked for, the first thread's number serves
   * all. Returns the ports.
   */
  listen(listeners: readonly ProxyListen[]): Promise<readonly number[]> {
    return this.#inTurn(() => this.#listen(listeners));
  }

  async #listen(listeners: readonly ProxyListen[]): Promise<readonly number[]> {
    const [first, ...others] = this.#threads as [Thread, ...Thread[]];
    const ports = await this.#open(first, listeners);
    this.#listeners = listeners.map((listener, i) => ({ ...listener, port: ports[i] as number }));
    await Promise.all(others.map((thread) => this.#open(thread, this.#listeners)));
    return ports;
  }

  /**
   * Puts a change in force on all threads, or on none. What it leaves alone is neither sent nor compiled again.
   * @param whole what is in force after it, as a change from nothing: for threads that start later.
   * @throws {Error} if a thread cannot prepare it; the old configuration goes on.
   */
  deploy(change: Deployment, whole: () => Deployment): Promise<void> {
    return this.#inTurn(() => this.#deploy(change, whole));
  }

  async #deploy(change: Deployment, whole: () => Deployment): Promise<void> {
    const version = ++this.#version;
    const threads = [...this.#threads];
    const errors = await this.#prepare(threads, version, change);
    const error = errors.find((message) => message !== null);
    if (error !== undefined) {
      for (const thread of threads) this.#post(thread, { kind: "discard", version });
      throw new Error(error);
    }
    this.#whole = whole;
    await Promise.all(threads.map((thread) => this.#commit(thread, version)));
  }

  /** Metrics and sums of every thread, those that are gone included. */
  async collect(): Promise<Collected> {
    const id = ++this.#scrapes;
    await Promise.all(
      this.#threads.map(async (thread) => {
        const answer = this.#await(thread, (m) => m.kind === "metrics" && m.id === id);
        this.#post(thread, { kind: "metrics", id });
        const message = await answer;
        if (message?.kind === "metrics") thread.lastSeen = message;
      }),
    );
    // Threads may have died while others answered, so everything is summed up at one moment.
    const { requests, accepted, metrics: past, losses } = this.#past;
    const stats = { requests, accepted, active: 0, waiting: 0, reading: 0 };
    const metrics = [past.metrics];
    const ledger = [...past.ledger];
    for (const { vitals, lastSeen } of this.#threads) {
      stats.requests += vitals.finished;
      stats.accepted += vitals.accepted;
      if (lastSeen === null) continue;
      metrics.push(lastSeen.metrics);
      ledger.push(...lastSeen.ledger);
      stats.active += lastSeen.connections.active;
      stats.waiting += lastSeen.connections.waiting;
      stats.reading += lastSeen.connections.reading;
    }
    return { metrics, stats, ledger, losses };
  }

  /** Other certificates of the settings, other keys for session tickets. */
  replaceTls(tls: ThreadTls): void {
    for (const thread of this.#threads) this.#post(thread, { kind: "tls", tls });
  }

  /**
   * Lets requests in flight finish, refuses new ones; ends all threads after `timeoutMs` at the latest.
   * @returns whether all have ended: a process with one that has not can only be killed.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#stopping = true;
    const all = Promise.all(
      this.#threads.map((thread) => {
        const drained = this.#await(thread, (m) => m.kind === "drained");
        this.#post(thread, { kind: "drain" });
        return drained;
      }),
    );
    if (!(await within(timeoutMs, all))) {
      const lost = { connections: 0, requests: 0 };
      for (const { vitals } of this.#threads) {
        lost.connections += vitals.open;
        lost.requests += vitals.inProgress;
      }
      this.#options.log.warn(
        { drain_timeout_ms: timeoutMs, ...lost },
        "requests in flight were cut off: draining took too long",
      );
    }
    if (this.#looking !== null) clearInterval(this.#looking);
    const left = [...this.#threads, ...this.#ending];
    return within(END_MS, Promise.all(left.map(({ worker }) => worker.terminate())));
  }

  async #spawn(index: number): Promise<Thread> {
    const { settings, counters, caps, ca, clientPair, tls } = this.#options;
    const memory = Vitals.memory();
    const capColumn = caps.open();
    const shared = { settings, counters, caps: caps.spec, spill: this.#spill, ca, clientPair, tls: tls() };
    const workerData: ThreadData = { ...shared, vitals: memory, capColumn };
    const worker = new Worker(new URL("./data-thread.ts", import.meta.url), {
      workerData,
      name: `data-${index}`,
    });
    const vitals = new Vitals(memory);
    const thread: Thread = {
      index,
      worker,
      id: worker.threadId,
      capColumn,
      vitals,
      watch: new Watch(vitals),
      sandbox: this.#options.connectSandbox((message) =>
        worker.postMessage({ kind: "sandbox", message } satisfies ToThread),
      ),
      startedAt: performance.now(),
      patienceMs: START_PATIENCE_MS,
      serving: false,
      lastSeen: null,
    };
    this.#waiters.set(thread, new Set());
    this.#threads.push(thread);
    worker.on("message", (message: FromThread) => this.#onMessage(thread, message));
    worker.on("error", (error) => {
      this.#options.log.error({ thread: index, err: error }, "a data thread failed");
    });
    worker.on("exit", () => this.#onExit(thread));
    await this.#await(thread, (m) => m.kind === "started");
    this.#calm(thread);
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
        if (this.#threads.includes(thread)) thread.sandbox.onMessage(message.message);
        break;
      default:
        for (const waiter of this.#waiters.get(thread) ?? []) {
          if (waiter(message)) break;
        }
    }
  }

  #onExit(thread: Thread): void {
    releaseCounters(this.#options.counters, thread.id);
    SpillBudget.clear(this.#spill, thread.capColumn);
    this.#options.caps.close(thread.capColumn);
    if (this.#ending.delete(thread)) {
      const vacant = this.#vacant.shift();
      if (vacant !== undefined) this.#fill(vacant, 0);
    } else if (this.#stopping) this.#forget(thread);
    else this.#lose(thread, "crash", {}, "a data thread is gone; another takes its place");
  }

  #look(hangMs: number): void {
    const now = performance.now();
    const elapsedMs = now - this.#lookedAt;
    this.#lookedAt = now;
    for (const thread of [...this.#threads]) {
      const stuckMs = thread.watch.look(elapsedMs);
      if (stuckMs >= hangMs + thread.patienceMs) this.#end(thread, stuckMs);
    }
  }

  /** The thread has answered: it lives, and what it was given to do is done. */
  #calm(thread: Thread): void {
    thread.patienceMs = 0;
    thread.watch.reset();
  }

  /** Ends a thread that hangs. Its successor does not wait until it is gone. */
  #end(thread: Thread, stuckMs: number): void {
    this.#ending.add(thread);
    this.#lose(
      thread,
      "hang",
      { stuck_ms: Math.round(stuckMs), manner: thread.watch.manner },
      "a data thread hangs and is ended; another takes its place",
    );
    let overdue = false;
    const late = setTimeout(() => {
      overdue = true;
      this.#stuck++;
      this.#options.log.error(
        { thread: thread.index },
        "a data thread hangs outside of JavaScript and cannot be ended: connections that the system deals to it " +
          "wait in vain; restart the gateway",
      );
    }, END_MS);
    thread.worker.once("exit", () => {
      clearTimeout(late);
      if (!overdue) return;
      this.#stuck--;
      this.#options.log.info({ thread: thread.index }, "a data thread that could not be ended is gone");
    });
    void thread.worker.terminate();
  }

  #lose(thread: Thread, reason: LossReason, details: object, message: string): void {
    this.#forget(thread);
    const lost = this.#past.add(reason, thread.vitals, thread.lastSeen);
    this.#options.log.error(
      {
        thread: thread.index,
        reason,
        ...details,
        lost_connections: lost.connections,
        lost_requests: lost.requests,
      },
      message,
    );
    if (this.#stopping) return;
    if (this.#ending.size > this.#options.settings.dataThreads) {
      this.#vacant.push(thread.index);
      return;
    }
    // One that is lost as soon as it starts is not started again without a pause.
    this.#fill(thread.index, performance.now() - thread.startedAt < SHORT_LIFE_MS ? SHORT_LIFE_MS : 0);
  }

  /** Nobody waits for the thread any longer. */
  #forget(thread: Thread): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
    for (const waiter of this.#waiters.get(thread) ?? []) waiter({ kind: "drained" });
    this.#waiters.delete(thread);
    thread.sandbox.close();
  }

  #fill(index: number, pauseMs: number): void {
    setTimeout(() => {
      this.#inTurn(() => this.#replace(index)).catch((error) =>
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
    try {
      const version = this.#version;
      if (this.#whole !== null) {
        const [error] = await this.#prepare([thread], version, this.#whole());
        if (typeof error === "string") throw new Error(error);
        await this.#commit(thread, version);
      }
      if (this.#listeners.length > 0) await this.#open(thread, this.#listeners);
    } catch (error) {
      // It is of no use; where it ends another begins.
      void thread.worker.terminate();
      throw error;
    }
    this.#options.log.info({ thread: index }, "a data thread has taken the place of the one that was lost");
  }

  async #open(thread: Thread, listeners: readonly ProxyListen[]): Promise<readonly number[]> {
    const answer = this.#await(thread, (m) => m.kind === "listening" || m.kind === "listen-failed");
    this.#post(thread, { kind: "listen", listeners });
    const message = await answer;
    if (message?.kind !== "listening")
      throw new Error(message?.kind === "listen-failed" ? message.message : "the data thread is gone");
    thread.serving = true;
    return message.ports;
  }

  /** What each thread has against the change; null if nothing. */
  async #prepare(
    threads: readonly Thread[],
    version: number,
    { change, packages }: Deployment,
  ): Promise<(string | null)[]> {
    const answers = threads.map((thread) => {
      thread.patienceMs = sizeOf(change) * ENTITY_PATIENCE_MS;
      return this.#await(thread, (m) => m.kind === "prepared" && m.version === version);
    });
    for (const piece of inPieces(change, PIECE_ENTITIES)) {
      // Once for all threads, and in pieces: neither the main thread nor one of the others is held up for long.
      const bytes = sharedBytes(serialize(piece));
      for (const thread of threads) this.#post(thread, { kind: "piece", version, bytes });
      if (sizeOf(change) > PIECE_ENTITIES) await rest();
    }
    for (const thread of threads) this.#post(thread, { kind: "prepare", version, packages });
    const messages = await Promise.all(answers);
    for (const thread of threads) this.#calm(thread);
    // A thread that died meanwhile is replaced by one that gets whatever is in force then.
    return messages.map((message) => (message?.kind === "prepared" ? message.error : null));
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

/** Whether something is done in time. */
async function within(timeoutMs: number, done: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<"late">();
  const timer = setTimeout(() => resolve("late"), timeoutMs);
  const outcome = await Promise.race([done, late]);
  clearTimeout(timer);
  return outcome !== "late";
}
