/**
 * The data threads as the main thread sees them: started together, given each configuration in two steps (all
 * prepare, then all serve), watched, replaced when one dies or hangs, drained at the end.
 *
 * A thread that is lost holds up nobody: whoever waits for its answer goes on without it, its share of new
 * connections goes to the others as soon as its sockets are closed, and the thread in its place gets whatever is
 * in force by then. What it held is cut off, counted and logged.
 */
import type { MessagePort } from "node:worker_threads";
import type { Logger } from "pino";
import type { OwnListener } from "../egress/own-listeners.ts";
import { InTurn } from "../in-turn.ts";
import type { MetricsJson } from "../observe/thread-metrics.ts";
import { SpillBudget } from "../pipeline/body-store.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { SandboxChannel } from "../sandbox/sandbox.ts";
import type { ProxyListen, Settings } from "../settings.ts";
import type { TailEvent, TailWatch } from "../tail/events.ts";
import type { KeyPair } from "../tls/contexts.ts";
import type { ThreadTls } from "../tls/terminator.ts";
import type { CapColumns } from "./connection-caps.ts";
import { CounterTable, type CounterTableSpec, releaseCounters } from "./counter-table.ts";
import { NotDeployed, offer, timeoutOf } from "./deployment.ts";
import type { AccessRecord, Deployment, ThreadStats } from "./messages.ts";
import { type Losses, type LossReason, PastThreads } from "./past-threads.ts";
import { LATE, ThreadHandle } from "./thread-handle.ts";
import { LOOK_MS } from "./watch.ts";

export interface ThreadsOptions {
  readonly nodeId: string;
  readonly settings: Settings;
  readonly counters: CounterTableSpec;
  readonly caps: CapColumns;
  readonly ca: readonly string[] | null;
  readonly clientPair: KeyPair | null;
  /** What threads are told of TLS when they start; null if no listener speaks it. */
  tls(): ThreadTls | null;
  /** Where the gateway itself listens, as far as the settings say. */
  readonly own: readonly OwnListener[];
  readonly log: Logger;
  onAccess(records: readonly AccessRecord[]): void;
  onTail(events: readonly TailEvent[]): void;
  /** A thread is there: connect its sandbox. The function gets what the thread says to its supervisor. */
  connectSandbox(post: (message: unknown) => void): SandboxChannel;
  /** A thread's way to the store of plugins' values; null if it cannot be had now. */
  connectStore(): MessagePort | null;
  /** A thread's way to the file of recordings; null if it cannot be had now. */
  connectRecordings(): MessagePort | null;
}

/** What all threads have counted. */
export interface Collected {
  readonly metrics: readonly MetricsJson[];
  readonly stats: ThreadStats;
  /** A row for each guest and thread. */
  readonly ledger: readonly LedgerRow[];
  readonly losses: Losses;
  /** Bodies that are on disk now, and the bytes taken for them. */
  readonly spilled: { readonly bodies: number; readonly bytes: number };
}

/** What threads had of a workspace: series of metrics, rows of the ledger, windows that were counted. */
export interface Forgotten {
  readonly series: number;
  readonly rows: number;
  readonly counters: number;
}

const SHORT_LIFE_MS = 1000;
/** A thread that has not ended by then is stuck outside of JavaScript, where nothing can end it. */
const END_MS = 5000;

export class DataThreads {
  readonly #options: ThreadsOptions;
  /** Bytes of bodies on disk, by column. */
  readonly #spill: SharedArrayBuffer;
  readonly #threads: ThreadHandle[] = [];
  /** What is in force. */
  #whole: (() => Deployment) | null = null;
  #version = 0;
  #listeners: readonly ProxyListen[] = [];
  #own: readonly OwnListener[];
  #logLevel: Settings["logLevel"];
  #watches: readonly TailWatch[] = [];
  #stopping = false;
  #scrapes = 0;
  /** Deployments and replacements follow each other: a new thread gets what is in force, whole. */
  readonly #changes = new InTurn();
  readonly #past = new PastThreads();
  #looking: NodeJS.Timeout | null = null;
  #lookedAt = 0;
  /** Told to end and not gone yet. */
  readonly #ending = new Set<ThreadHandle>();
  /** Places of threads that get no successor before one of those that end is gone. */
  readonly #vacant: number[] = [];
  #stuck = 0;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    this.#own = options.own;
    this.#logLevel = options.settings.logLevel;
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
    return this.#changes.run(() => this.#listen(listeners));
  }

  async #listen(listeners: readonly ProxyListen[]): Promise<readonly number[]> {
    const { deployTimeoutMs } = this.#options.settings;
    const [first, ...others] = this.#threads as [ThreadHandle, ...ThreadHandle[]];
    const ports = await first.open(listeners, deployTimeoutMs);
    this.#listeners = listeners.map((listener, i) => ({ ...listener, port: ports[i] as number }));
    await Promise.all(others.map((thread) => thread.open(this.#listeners, deployTimeoutMs)));
    return ports;
  }

  /**
   * Puts a change in force on all threads, or on none. What it leaves alone is neither sent nor compiled again.
   * @param whole what is in force after it, as a change from nothing: for threads that start later.
   * @param decide is called once every thread has prepared the change: if it throws, the old configuration goes on.
   * A thread that does not answer in time counts as one that hangs: it is ended, the others go on without it, and the
   * one in its place gets what is in force by then.
   * @throws {NotDeployed} if a thread cannot prepare it, or does not and may not be ended; the old configuration goes on.
   * @throws whatever `decide` throws
   */
  deploy(
    change: Deployment,
    whole: () => Deployment,
    decide: () => Promise<void> = async () => {},
  ): Promise<void> {
    return this.#changes.run(() => this.#deploy(change, whole, decide));
  }

  async #deploy(change: Deployment, whole: () => Deployment, decide: () => Promise<void>): Promise<void> {
    const version = ++this.#version;
    const threads = [...this.#threads];
    const errors = await this.#prepare(threads, version, change);
    const error = errors.find((message) => message !== null);
    try {
      if (error !== undefined) throw new NotDeployed(error);
      await decide();
    } catch (refusal) {
      for (const thread of threads) thread.post({ kind: "discard", version });
      throw refusal;
    }
    this.#whole = whole;
    await Promise.all(threads.map((thread) => this.#commit(thread, version)));
  }

  async #commit(thread: ThreadHandle, version: number): Promise<void> {
    const { deployTimeoutMs } = this.#options.settings;
    if (await thread.commit(version, deployTimeoutMs)) return;
    // Every thread has prepared it: it is in force, also for one that comes back to its messages later.
    const message = this.#late(thread, deployTimeoutMs);
    if (message !== null) this.#options.log.warn({ thread: thread.index }, message);
  }

  /** One has not answered: it is ended. Returns why it is not. */
  #late(thread: ThreadHandle, waitedMs: number): string | null {
    if (this.#options.settings.threadHangMs === 0)
      return `data thread ${thread.index} has not answered for ${waitedMs} ms (deploy_timeout_ms), and thread_hang_ms is 0`;
    if (this.#threads.includes(thread)) this.#end(thread, waitedMs, "it does not answer");
    return null;
  }

  /** Metrics and sums of every thread, those that are gone included. */
  async collect(): Promise<Collected> {
    const id = ++this.#scrapes;
    await Promise.all(this.#threads.map((thread) => thread.scrape(id)));
    // Threads may have died while others answered, so everything is summed up at one moment.
    const { requests, accepted, metrics: past, losses } = this.#past;
    const stats = { requests, accepted, active: 0, waiting: 0, reading: 0 };
    const metrics = [past.metrics];
    const ledger = [...past.ledger];
    for (const { vitals, lastSeen, ledger: rows } of this.#threads) {
      stats.requests += vitals.finished;
      stats.accepted += vitals.accepted;
      ledger.push(...rows);
      if (lastSeen === null) continue;
      metrics.push(lastSeen.metrics);
      stats.active += lastSeen.connections.active;
      stats.waiting += lastSeen.connections.waiting;
      stats.reading += lastSeen.connections.reading;
    }
    return { metrics, stats, ledger, losses, spilled: SpillBudget.spilled(this.#spill) };
  }

  /** What guests have cost, as threads last told, those that are gone included. */
  ledger(): LedgerRow[] {
    return [...this.#past.metrics.ledger, ...this.#threads.flatMap(({ ledger }) => ledger)];
  }

  /**
   * A workspace is no more: nothing is remembered of what was counted for it.
   * @returns what there was, over all threads.
   */
  async forget({ id, name }: { readonly id: string; readonly name: string }): Promise<Forgotten> {
    const number = ++this.#scrapes;
    const answers = await Promise.all(this.#threads.map((thread) => thread.forget(number, name)));
    const sum = { series: this.#past.metrics.forget(name), rows: 0, counters: 0 };
    for (const answer of answers) {
      sum.series += answer?.series ?? 0;
      sum.rows += answer?.rows ?? 0;
    }
    const counters = new CounterTable(this.#options.counters);
    sum.counters = counters.forget(counters.owner(id), Date.now());
    return sum;
  }

  /** Where the gateway itself listens, with the ports that the system has chosen. */
  announce(listeners: readonly OwnListener[]): void {
    this.#own = listeners;
    for (const thread of this.#threads) thread.post({ kind: "own", listeners });
  }

  /** Lines are logged from this level on, in Kong's words. */
  setLogLevel(level: Settings["logLevel"]): void {
    this.#logLevel = level;
    for (const thread of this.#threads) thread.post({ kind: "log-level", level });
  }

  /** Has calls of these plugins told of; resolves once all threads do. */
  async tail(watches: readonly TailWatch[]): Promise<void> {
    this.#watches = watches;
    for (const thread of this.#threads) thread.post({ kind: "tail", watches });
    // Threads take messages in their order: whoever has answered this one has taken the other.
    const id = ++this.#scrapes;
    await Promise.all(this.#threads.map((thread) => thread.scrape(id)));
  }

  /** Other certificates of the settings, other keys for session tickets. */
  replaceTls(tls: ThreadTls): void {
    for (const thread of this.#threads) thread.post({ kind: "tls", tls });
  }

  /**
   * Lets requests in flight finish, refuses new ones; ends all threads after `timeoutMs` at the latest.
   * @returns whether all have ended: a process with one that has not can only be killed.
   */
  async drain(timeoutMs: number): Promise<boolean> {
    this.#stopping = true;
    const all = Promise.all(this.#threads.map((thread) => thread.drain()));
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
    return within(END_MS, Promise.all(left.map((thread) => thread.terminate())));
  }

  async #spawn(index: number): Promise<ThreadHandle> {
    const { nodeId, settings, counters, caps, ca, clientPair, tls, log, onAccess, onTail } = this.#options;
    const { connectSandbox, connectStore, connectRecordings } = this.#options;
    const thread = new ThreadHandle(index, {
      data: {
        nodeId,
        settings: { ...settings, logLevel: this.#logLevel },
        counters,
        caps: caps.spec,
        capColumn: caps.open(),
        spill: this.#spill,
        ca,
        clientPair,
        tls: tls(),
        own: this.#own,
      },
      connectSandbox,
      connectStore,
      connectRecordings,
      onMessage: (message) => {
        if (message.kind === "access") onAccess(message.records);
        else if (message.kind === "tail") onTail(message.events);
        else log[message.level]({ ...message.fields, thread: index }, message.message);
      },
      onError: (error) => log.error({ thread: index, err: error }, "a data thread failed"),
      onExit: () => this.#onExit(thread),
    });
    this.#threads.push(thread);
    if (this.#watches.length > 0) thread.post({ kind: "tail", watches: this.#watches });
    await thread.started();
    return thread;
  }

  #onExit(thread: ThreadHandle): void {
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
      const stuckMs = thread.stuckFor(elapsedMs, hangMs);
      if (stuckMs !== null) this.#end(thread, stuckMs, thread.manner);
    }
  }

  /** Ends a thread that hangs. Its successor does not wait until it is gone. */
  #end(thread: ThreadHandle, stuckMs: number, manner: string): void {
    this.#ending.add(thread);
    this.#lose(
      thread,
      "hang",
      { stuck_ms: Math.round(stuckMs), manner },
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
    void thread.terminate().then(() => {
      clearTimeout(late);
      if (!overdue) return;
      this.#stuck--;
      this.#options.log.info({ thread: thread.index }, "a data thread that could not be ended is gone");
    });
  }

  #lose(thread: ThreadHandle, reason: LossReason, details: object, message: string): void {
    this.#forget(thread);
    const lost = this.#past.add(reason, thread.vitals, thread.lastSeen?.metrics ?? [], thread.ledger);
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
  #forget(thread: ThreadHandle): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0) this.#threads.splice(at, 1);
    thread.lose();
  }

  #fill(index: number, pauseMs: number): void {
    setTimeout(() => {
      this.#changes
        .run(() => this.#replace(index))
        .catch((error) => this.#options.log.error({ err: error }, "a data thread could not be replaced"));
    }, pauseMs);
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
      if (this.#listeners.length > 0)
        await thread.open(this.#listeners, this.#options.settings.deployTimeoutMs);
    } catch (error) {
      // It is of no use; where it ends another begins.
      void thread.terminate();
      throw error;
    }
    this.#options.log.info({ thread: index }, "a data thread has taken the place of the one that was lost");
  }

  /** What each thread has against the change; null if nothing. */
  async #prepare(
    threads: readonly ThreadHandle[],
    version: number,
    deployment: Deployment,
  ): Promise<(string | null)[]> {
    const timeoutMs = timeoutOf(deployment, this.#options.settings.deployTimeoutMs);
    const answers = await offer(threads, version, deployment, timeoutMs);
    return answers.map((answer, i) =>
      answer === LATE ? this.#late(threads[i] as ThreadHandle, timeoutMs) : answer,
    );
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
