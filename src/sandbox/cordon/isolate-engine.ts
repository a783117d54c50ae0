/**
 * JavaScript guests in isolated-vm.
 *
 * One isolate for each configured plugin (1.2 MB, 2 ms), not one for a digest: a limit that is passed costs
 * the whole isolate, and so it costs nobody but the plugin that passed it. Calls cross as one JSON string
 * each way, which was measured to be half the price of structured copies, with bodies beside it as text of
 * one byte a character.
 *
 * This is the inner fence only. Some builtins run past the timer and some allocate past the limit; then the
 * data thread's deadline or the supervisor's memory watch kills the process that this runs in.
 */
import type IsolatedVM from "isolated-vm";
import { HOST_CALL_LIMITS } from "../calls/host-call-limits.ts";
import type { Engine, EngineTurn, Failure, GuestConfig, Turn, Usage } from "../protocol/engine.ts";
import { TURN_KINDS } from "../protocol/turn-text.ts";
import type { Reader } from "../protocol/wire.ts";
import { Artifacts } from "./artifacts.ts";
import { performance } from "./clock.ts";
import { randomText } from "./random.ts";
import { ThreadClock, threadMs } from "./thread-clock.ts";

type Ivm = typeof IsolatedVM;
type Fn = IsolatedVM.Reference<(...args: unknown[]) => unknown>;

/** For evaluating a module and its `create()`; a call has `limits.cpuMs`. */
export const STARTUP_MS = 200;
/** For one that was starved; the data thread's deadline may come first. */
const STARTUP_ATTEMPTS = 4;
/** For a call that was starved. */
const ATTEMPTS = 3;
/**
 * isolated-vm's timer runs on the wall's clock. On a machine that is busy a good guest can be interrupted
 * although it had hardly any of the processor; its turn is then run once more, in a new isolate. Nothing has left
 * the first one: a turn's effects are told when it ends.
 */
const STARVED = Symbol("starved");
/** An interrupt that came so late tells of a machine that stood still (time stolen from a virtual one). */
const LATE_MS = 15;
/** With less than this part of its time on the processor, a guest that was interrupted was starved. */
const ENOUGH = 0.8;
const timedOut = ({ config }: Instance) => `it used up its CPU time of ${config.limits.cpuMs} ms`;
/** Reading the heap's statistics costs as much as a small call, so it is done now and then. */
const HEAP_EVERY = 64;
const MAX_RESULT = 64 * 1024 * 1024;

/** A context with the runtime of bootstrap.ts and one configured guest in it. */
interface Realm {
  readonly context: IsolatedVM.Context;
  readonly missing: Fn;
  readonly invoke: Fn;
  readonly resume: Fn;
  readonly collect: Fn;
  readonly abandon: Fn;
  /** Bytes. */
  wantsRandom: number;
}

interface Instance {
  readonly config: GuestConfig;
  isolate: IsolatedVM.Isolate | null;
  bootstrap: IsolatedVM.Script | null;
  /** Null for `per-request`: every call makes its own. */
  resident: Realm | null;
  /** Counts isolates: a call that waits in a discarded one cannot go on in its successor. */
  generation: number;
  turns: number;
  memoryBytes: number;
}

interface OpenCall {
  readonly instance: Instance;
  readonly generation: number;
  readonly realm: Realm;
  readonly now: number;
}

const WAITING = TURN_KINDS.indexOf("waiting");

/** What could not be loaded; `failure` is `load` unless a limit was passed. */
class LoadFailure extends Error {
  readonly failure: Failure;
  /** Whether the timer ran out although the guest had hardly any of the processor. */
  readonly starved: boolean;
  constructor(failure: Failure, message: string, starved = false) {
    super(message);
    this.failure = failure;
    this.starved = starved;
  }
}

/** A call as it came, but for the time that its clock shows. */
export interface WrittenCall {
  readonly now: number;
  /** What `readCallText` reads in the isolate. */
  readonly text: string;
}

export function readWritten(payload: Reader): WrittenCall {
  return { now: payload.peekF64(), text: payload.restText() };
}

export function createIsolateEngine(ivm: Ivm, bootstrap: string): IsolateEngine {
  return new IsolateEngine(ivm, bootstrap);
}

class IsolateEngine implements Engine<WrittenCall, EngineTurn> {
  readonly #ivm: Ivm;
  readonly #bootstrap: string;
  readonly #sources = new Artifacts<string>();
  readonly #instances = new Map<number, Instance>();
  readonly #open = new Map<number, OpenCall>();
  readonly #clock = new ThreadClock();

  constructor(ivm: Ivm, bootstrap: string) {
    this.#ivm = ivm;
    this.#bootstrap = bootstrap;
  }

  load(digest: string, artifact: Uint8Array): void {
    this.#sources.load(digest, () => Buffer.from(artifact).toString("utf8"));
  }

  unload(digest: string): void {
    this.#sources.unload(digest);
  }

  configure(instance: number, config: GuestConfig): void {
    this.release(instance);
    this.#instances.set(instance, {
      config,
      isolate: null,
      bootstrap: null,
      resident: null,
      generation: 0,
      turns: 0,
      memoryBytes: 0,
    });
  }

  release(instance: number): void {
    const known = this.#instances.get(instance);
    if (known !== undefined) this.#discard(known);
    this.#instances.delete(instance);
  }

  start(call: number, instanceId: number, request: WrittenCall): EngineTurn {
    const instance = this.#instances.get(instanceId);
    if (instance === undefined) return failure("load", "the plugin was released", 0, 0);
    const started = performance.now();
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const turn = this.#attempt(call, instance, request, started);
      if (turn !== STARVED) return turn;
    }
    return failure("timeout", timedOut(instance), started, instance.memoryBytes);
  }

  prepare(instanceId: number, now: number): Turn {
    const started = performance.now();
    const instance = this.#instances.get(instanceId);
    if (instance === undefined) return failure("load", "the plugin was released", started, 0);
    try {
      const realm = this.#realm(instance, now);
      const { config, phases } = instance.config;
      // Which hooks there are may hang on the configuration: it is asked where there is nothing to configure.
      const missing =
        typeof config !== "object" || config === null || Object.keys(config).length > 0
          ? ""
          : realm.missing.applySync(undefined, [JSON.stringify(phases)], { timeout: STARTUP_MS });
      if (missing !== "")
        throw new LoadFailure("load", `create() returned no ${missing}, which the manifest's phases promise`);
      this.#measure(instance);
      return {
        kind: "verdict",
        verdict: {},
        hostCalls: [],
        usage: usageSince(started, instance.memoryBytes),
      };
    } catch (error) {
      this.#discard(instance);
      const kind = error instanceof LoadFailure ? error.failure : this.#kindOf(error, instance);
      return failure(kind, messageOf(error), started, instance.memoryBytes);
    }
  }

  #attempt(
    call: number,
    instance: Instance,
    { now, text }: WrittenCall,
    started: number,
  ): EngineTurn | typeof STARVED {
    const timeout = instance.config.limits.cpuMs;
    let realm: Realm;
    let random: string | undefined;
    try {
      realm = this.#realm(instance, now);
      random = this.#random(realm);
    } catch (error) {
      this.#discard(instance);
      const kind = error instanceof LoadFailure ? error.failure : "load";
      return failure(kind, messageOf(error), started, instance.memoryBytes);
    }
    // Each argument costs as much as a short text.
    const args = random === undefined ? [call, text] : [call, text, random];
    const began = performance.now();
    const cpuBefore = this.#clock.at(began);
    const open = { instance, generation: instance.generation, realm, now };
    return this.#run(
      call,
      open,
      started,
      () => {
        const said = realm.invoke.applySync(undefined, args, { timeout });
        return said === "" ? this.#collect(realm, call, instance) : said;
      },
      () => threadMs() - cpuBefore < timeout * ENOUGH || performance.now() - began > timeout + LATE_MS,
    );
  }

  resume(call: number, seq: number, result: { value: unknown } | { error: string }): EngineTurn {
    const started = performance.now();
    const open = this.#open.get(call);
    if (open === undefined) return failure("violation", "the call is not open", started, 0);
    this.#open.delete(call);
    if (open.generation !== open.instance.generation)
      return failure("crashed", "another call of the plugin passed a limit", started, 0);
    const { realm, instance } = open;
    return this.#run(call, open, started, () => {
      const args = [call, seq, JSON.stringify(result), open.now, this.#random(realm)];
      realm.resume.applySync(undefined, args, { timeout: instance.config.limits.cpuMs });
      return this.#collect(realm, call, instance);
    });
  }

  abandon(call: number): void {
    const open = this.#open.get(call);
    if (open === undefined) return;
    this.#open.delete(call);
    if (open.generation !== open.instance.generation) return;
    if (open.realm !== open.instance.resident) open.realm.context.release();
    else
      this.#run(call, open, performance.now(), () =>
        open.realm.abandon.applySync(undefined, [call], { timeout: open.instance.config.limits.cpuMs }),
      );
  }

  #collect(realm: Realm, call: number, instance: Instance): unknown {
    return realm.collect.applySync(undefined, [call], { timeout: instance.config.limits.cpuMs });
  }

  /**
   * Runs one turn, and throws the isolate away if a limit was passed in it. `isStarved` tells after a timeout
   * whether the guest had less of the processor than its limit allows.
   */
  #run(call: number, open: OpenCall, started: number, turn: () => unknown): EngineTurn;
  #run(
    call: number,
    open: OpenCall,
    started: number,
    turn: () => unknown,
    isStarved: () => boolean,
  ): EngineTurn | typeof STARVED;
  #run(
    call: number,
    open: OpenCall,
    started: number,
    turn: () => unknown,
    isStarved?: () => boolean,
  ): EngineTurn | typeof STARVED {
    const { instance, realm } = open;
    let said: unknown;
    try {
      said = turn();
    } catch (error) {
      const kind = this.#kindOf(error, instance);
      const starved = kind === "timeout" && isStarved?.() === true;
      this.#discard(instance);
      if (starved) return STARVED;
      const message = kind === "timeout" ? timedOut(instance) : messageOf(error);
      return failure(kind, message, started, instance.memoryBytes);
    }
    if (instance.turns++ % HEAP_EVERY === 0) this.#measure(instance);
    const read = readSaid(said, usageSince(started, instance.memoryBytes), realm);
    if (read.kind === "written" && read.waits) this.#open.set(call, open);
    else if (realm !== instance.resident) realm.context.release();
    return read;
  }

  #measure(instance: Instance): void {
    const heap = instance.isolate?.getHeapStatisticsSync();
    if (heap !== undefined) instance.memoryBytes = heap.used_heap_size + heap.externally_allocated_size;
  }

  #kindOf(error: unknown, instance: Instance): Failure {
    const message = messageOf(error);
    if (message.includes("timed out")) return "timeout";
    if (message.includes("memory limit") || instance.isolate?.isDisposed === true) return "memory";
    return "throw";
  }

  /** Random bytes come from outside: a context has no source of them that could not be guessed. */
  #random(realm: Realm): string | undefined {
    const wanted = realm.wantsRandom;
    if (wanted === 0) return undefined;
    realm.wantsRandom = 0;
    return randomText(wanted);
  }

  #realm(instance: Instance, now: number): Realm {
    if (instance.resident !== null) return instance.resident;
    for (let attempt = 1; ; attempt++)
      try {
        return this.#bringUp(instance, now);
      } catch (error) {
        if (!(error instanceof LoadFailure) || !error.starved || attempt === STARTUP_ATTEMPTS) throw error;
        this.#discard(instance);
      }
  }

  #bringUp(instance: Instance, now: number): Realm {
    const { config } = instance;
    const source = this.#sources.get(config.digest);
    if (source === undefined) throw new LoadFailure("load", `no artifact ${config.digest}`);
    instance.isolate ??= new this.#ivm.Isolate({
      memoryLimit: Math.max(8, Math.ceil(config.limits.memoryBytes / (1024 * 1024))),
      // Called when V8 has lost control over the isolate: nothing can be saved but the neighbours' time.
      onCatastrophicError: () => process.abort(),
    });
    const { isolate } = instance;
    const cpuBefore = threadMs();
    try {
      instance.bootstrap ??= isolate.compileScriptSync(this.#bootstrap);
      const context = isolate.createContextSync();
      const runtime = instance.bootstrap.runSync(context, { reference: true, timeout: STARTUP_MS });
      const member = (name: string): Fn => runtime.getSync(name, { reference: true }) as Fn;
      const module = isolate.compileModuleSync(source, { filename: `${config.pluginId}.js` });
      module.instantiateSync(context, (specifier) => {
        throw new Error(`it imports '${specifier}': bundle everything into one file`);
      });
      module.evaluateSync({ timeout: STARTUP_MS });
      const settings = { config: config.config, pluginId: config.pluginId, limits: config.limits, now };
      const wrong = member("configure").applySync(
        undefined,
        [module.namespace.derefInto(), JSON.stringify(settings)],
        { timeout: STARTUP_MS },
      );
      if (wrong !== "") throw new LoadFailure("load", String(wrong));
      const realm: Realm = {
        context,
        missing: member("missing"),
        invoke: member("invoke"),
        resume: member("resume"),
        collect: member("collect"),
        abandon: member("abandon"),
        wantsRandom: HOST_CALL_LIMITS.randomBytes,
      };
      if (config.instance === "resident") instance.resident = realm;
      return realm;
    } catch (error) {
      if (error instanceof LoadFailure) throw error;
      const kind = this.#kindOf(error, instance);
      const starved = kind === "timeout" && threadMs() - cpuBefore < STARTUP_MS * ENOUGH;
      const message = kind === "timeout" ? `starting it timed out after ${STARTUP_MS} ms` : messageOf(error);
      throw new LoadFailure(kind === "throw" ? "load" : kind, message, starved);
    }
  }

  #discard(instance: Instance): void {
    const { isolate } = instance;
    instance.isolate = null;
    instance.bootstrap = null;
    instance.resident = null;
    instance.generation++;
    instance.turns = 0;
    if (isolate !== null && !isolate.isDisposed) isolate.dispose();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error && typeof error.message === "string" ? error.message : "an unreadable error";
}

function usageSince(started: number, memoryBytes: number): Usage {
  return { cpuMicros: Math.round((performance.now() - started) * 1000), fuel: 0, memoryBytes };
}

function failure(kind: Failure, message: string, started: number, memoryBytes: number): Turn {
  const usage = started === 0 ? { cpuMicros: 0, fuel: 0, memoryBytes } : usageSince(started, memoryBytes);
  return { kind: "failure", failure: kind, message, hostCalls: [], usage };
}

/** What the isolate's runtime said: `told` of guest-call.ts. The data thread reads the turn, and believes none of it. */
function readSaid(said: unknown, usage: Usage, realm: Realm): EngineTurn {
  if (typeof said !== "string" || said.length < 3 || said.length > MAX_RESULT)
    return {
      kind: "failure",
      failure: "violation",
      message: "the guest's runtime gave an unreadable answer",
      hostCalls: [],
      usage,
    };
  const wanted = (said.charCodeAt(0) << 8) | said.charCodeAt(1);
  realm.wantsRandom = Math.min(wanted, HOST_CALL_LIMITS.randomBytes);
  return { kind: "written", text: said.slice(2), waits: said.charCodeAt(2) === WAITING, usage };
}
