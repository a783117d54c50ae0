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
import { randomBytes } from "node:crypto";
import type IsolatedVM from "isolated-vm";
import type { Engine, Failure, GuestCall, GuestConfig, HostCall, Turn, Usage, Verdict } from "../engine.ts";
import { FAILURES } from "../engine.ts";
import { HOST_CALL_LIMITS } from "../host-call-limits.ts";

type Ivm = typeof IsolatedVM;
type Fn = IsolatedVM.Reference<(...args: unknown[]) => unknown>;

/** For evaluating a module and its `create()`; a call has `limits.cpuMs`. */
const STARTUP_MS = 200;
/**
 * isolated-vm's timer runs on the wall's clock. On a machine that is busy a good guest can be interrupted
 * although it had hardly any of the processor; its turn is then run once more, in a new isolate. Nothing has left
 * the first one: a turn's effects are told when it ends.
 */
const STARVED = Symbol("starved");
/** An interrupt that came so late tells of a machine that stood still (time stolen from a virtual one). */
const LATE_MS = 15;
const TIMED_OUT = "it used up its CPU time";
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

/** What could not be loaded; `failure` is `load` unless a limit was passed. */
class LoadFailure extends Error {
  readonly failure: Failure;
  constructor(failure: Failure, message: string) {
    super(message);
    this.failure = failure;
  }
}

export function createIsolateEngine(ivm: Ivm, bootstrap: string): Engine {
  return new IsolateEngine(ivm, bootstrap);
}

class IsolateEngine implements Engine {
  readonly #ivm: Ivm;
  readonly #bootstrap: string;
  readonly #sources = new Map<string, string>();
  readonly #instances = new Map<number, Instance>();
  readonly #open = new Map<number, OpenCall>();

  constructor(ivm: Ivm, bootstrap: string) {
    this.#ivm = ivm;
    this.#bootstrap = bootstrap;
  }

  load(digest: string, artifact: Uint8Array): void {
    this.#sources.set(digest, Buffer.from(artifact).toString("utf8"));
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

  start(call: number, instanceId: number, request: GuestCall): Turn {
    const instance = this.#instances.get(instanceId);
    if (instance === undefined) return failure("load", "the plugin was released", 0, 0);
    const started = performance.now();
    const { body } = request.request;
    const text = callText(request);
    const extra = request.chunk?.data ?? request.response?.body ?? null;
    const args = [call, text, latin1(body), latin1(extra), undefined];
    const { cpuMs } = instance.config.limits;
    const turn = this.#attempt(call, instance, request.now, started, args, cpuMs);
    if (turn !== STARVED) return turn;
    const again = this.#attempt(call, instance, request.now, started, args, cpuMs);
    return again !== STARVED ? again : failure("timeout", TIMED_OUT, started, instance.memoryBytes);
  }

  prepare(instanceId: number, now: number): Turn {
    const started = performance.now();
    const instance = this.#instances.get(instanceId);
    if (instance === undefined) return failure("load", "the plugin was released", started, 0);
    try {
      const realm = this.#realm(instance, now);
      const { config, phases } = instance.config;
      const missing =
        config === undefined
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
    now: number,
    started: number,
    args: unknown[],
    timeout: number,
  ): Turn | typeof STARVED {
    let realm: Realm;
    try {
      realm = this.#realm(instance, now);
    } catch (error) {
      this.#discard(instance);
      const kind = error instanceof LoadFailure ? error.failure : "load";
      return failure(kind, messageOf(error), started, instance.memoryBytes);
    }
    args[4] = this.#random(realm);
    const { isolate } = instance;
    const cpuBefore = isolate?.cpuTime ?? 0n;
    const began = performance.now();
    const open = { instance, generation: instance.generation, realm, now };
    return this.#run(
      call,
      open,
      started,
      () => {
        const said = realm.invoke.applySync(undefined, args as never[], { timeout });
        return said === "" ? this.#collect(realm, call, instance) : said;
      },
      () =>
        Number((isolate?.cpuTime ?? 0n) - cpuBefore) / 1e6 < instance.config.limits.cpuMs * 0.8 ||
        performance.now() - began > timeout + LATE_MS,
    );
  }

  resume(call: number, seq: number, result: { value: unknown } | { error: string }): Turn {
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
  #run(call: number, open: OpenCall, started: number, turn: () => unknown): Turn;
  #run(
    call: number,
    open: OpenCall,
    started: number,
    turn: () => unknown,
    isStarved: () => boolean,
  ): Turn | typeof STARVED;
  #run(
    call: number,
    open: OpenCall,
    started: number,
    turn: () => unknown,
    isStarved?: () => boolean,
  ): Turn | typeof STARVED {
    const { instance, realm } = open;
    let said: unknown;
    try {
      said = turn();
    } catch (error) {
      const kind = this.#kindOf(error, instance);
      const starved = kind === "timeout" && isStarved?.() === true;
      this.#discard(instance);
      if (starved) return STARVED;
      return failure(kind, kind === "timeout" ? TIMED_OUT : messageOf(error), started, instance.memoryBytes);
    }
    if (instance.turns++ % HEAP_EVERY === 0) this.#measure(instance);
    const read = readSaid(said, usageSince(started, instance.memoryBytes), realm);
    if (read.kind === "waiting") this.#open.set(call, open);
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
    return randomBytes(wanted).toString("latin1");
  }

  #realm(instance: Instance, now: number): Realm {
    if (instance.resident !== null) return instance.resident;
    const { config } = instance;
    const source = this.#sources.get(config.digest);
    if (source === undefined) throw new LoadFailure("load", `no artifact ${config.digest}`);
    instance.isolate ??= new this.#ivm.Isolate({
      memoryLimit: Math.max(8, Math.ceil(config.limits.memoryBytes / (1024 * 1024))),
      // Called when V8 has lost control over the isolate: nothing can be saved but the neighbours' time.
      onCatastrophicError: () => process.abort(),
    });
    const { isolate } = instance;
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
      throw new LoadFailure(kind === "throw" ? "load" : kind, messageOf(error));
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

/**
 * A call as JSON, without its bodies and without what is not there: half of what a call costs is writing and
 * reading this text.
 */
function callText(call: GuestCall): string {
  const { method, scheme, host, port, path, query, clientIp, clientPort, startedAt, headers } = call.request;
  const request: Record<string, unknown> = {
    method,
    scheme,
    host,
    port,
    path,
    query,
    clientIp,
    clientPort,
    startedAt,
    headers,
  };
  if (call.request.upstreamPath !== null) request.upstreamPath = call.request.upstreamPath;
  if (call.request.uriCaptures !== null) request.uriCaptures = call.request.uriCaptures;
  const { phase, now, workspace, requestId, response, route, service, consumer, credential, vars } = call;
  const text: Record<string, unknown> = { phase, now, workspace, requestId, request };
  if (call.chunk !== null) text.last = call.chunk.last;
  if (response !== null) {
    const { status, source, headers: fields } = response;
    text.response = { status, source, headers: fields };
  }
  if (route !== null) text.route = route;
  if (service !== null) text.service = service;
  if (consumer !== null) text.consumer = consumer;
  if (credential !== null) text.credential = credential;
  for (const _ in vars) {
    text.vars = vars;
    break;
  }
  if (phase === "log") text.measures = call.measures;
  return JSON.stringify(text);
}

function latin1(body: Uint8Array | null): string | null {
  if (body === null) return null;
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1");
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

interface Said {
  k: number;
  h?: HostCall[];
  u?: number;
  f?: Failure;
  m?: string;
  v?: EncodedVerdict;
}

/** Verdict of guest-call.ts: bodies are the lengths of what follows the JSON. */
interface EncodedVerdict extends Omit<Verdict, "request" | "response" | "chunk" | "reply"> {
  request?: Omit<NonNullable<Verdict["request"]>, "body"> & { body?: number };
  response?: Omit<NonNullable<Verdict["response"]>, "body"> & { body?: number };
  chunk?: number;
  reply?: Omit<NonNullable<Verdict["reply"]>, "body"> & { body: number };
}

function readSaid(said: unknown, usage: Usage, realm: Realm): Turn {
  const nonsense = (): Turn => ({
    kind: "failure",
    failure: "violation",
    message: "the guest's runtime gave an unreadable answer",
    hostCalls: [],
    usage,
  });
  if (typeof said !== "string" || said.length > MAX_RESULT) return nonsense();
  const colon = said.indexOf(":");
  const jsonEnd = colon + 1 + Number(said.slice(0, colon));
  let parsed: Said;
  try {
    parsed = JSON.parse(said.slice(colon + 1, jsonEnd));
  } catch {
    return nonsense();
  }
  const hostCalls = parsed.h ?? [];
  const { u: wanted = 0 } = parsed;
  realm.wantsRandom = Number.isInteger(wanted)
    ? Math.min(Math.max(wanted, 0), HOST_CALL_LIMITS.randomBytes)
    : 0;
  if (parsed.k === 1) return { kind: "waiting", hostCalls, usage };
  if (parsed.k === 2) {
    const kind = FAILURES.find((name) => name === parsed.f) ?? "violation";
    return { kind: "failure", failure: kind, message: parsed.m ?? "", hostCalls, usage };
  }
  return { kind: "verdict", verdict: parsed.v ? verdictOf(parsed.v, said, jsonEnd) : {}, hostCalls, usage };
}

function verdictOf(encoded: EncodedVerdict, said: string, bodiesAt: number): Verdict {
  let at = bodiesAt;
  const take = (length: number): Uint8Array => {
    const body = Buffer.from(said.slice(at, at + length), "latin1");
    at += length;
    return body;
  };
  const { request, response, chunk, reply, ...rest } = encoded;
  const verdict: Verdict = rest;
  if (request !== undefined) {
    const { body, ...edit } = request;
    verdict.request = body === undefined ? edit : { ...edit, body: take(body) };
  }
  if (response !== undefined) {
    const { body, ...edit } = response;
    verdict.response = body === undefined ? edit : { ...edit, body: take(body) };
  }
  if (chunk !== undefined) verdict.chunk = take(chunk);
  if (reply !== undefined) verdict.reply = { ...reply, body: take(reply.body) };
  return verdict;
}
