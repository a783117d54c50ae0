/**
 * One call of one WebAssembly guest, from its start to its end: fresh fuel, input through the kernel's arena, one
 * export called, its answer parsed. Whatever goes wrong discards the instance, so the next call meets a new one.
 *
 * A guest that never waits runs through in one go. One that may wait runs on a stack of its own, which V8
 * suspends (JavaScript Promise Integration: WebAssembly.Suspending and promising); its fuel and its host memory
 * are kept meanwhile, and nobody else enters its instance.
 */

import type { Phase } from "@gatehouse/sdk";
import { performance } from "../cordon/clock.ts";
import type { Failure, GuestConfig, ShownCall, Turn, Usage, Verdict } from "../protocol/engine.ts";
import type { HostResult } from "../protocol/frames.ts";
import { FUEL_EXPORT, INITIALIZE_EXPORT, MEMORY_EXPORT } from "./abi.ts";
import { maxOutputJson, parseOutput, renderInput } from "./exchange.ts";
import { GuestFault } from "./fault.ts";
import { type InstanceState, Kernel, newInstanceState, WAITS_FOR_NOTHING } from "./kernel.ts";
import { clearRemains, giveUp } from "./remains.ts";

/** A configured guest in a cordon. */
export interface Configured {
  readonly config: GuestConfig;
  readonly configJson: string;
  /** What config_get answers, by name. */
  readonly configValues: ReadonlyMap<string, Uint8Array>;
  readonly module: WebAssembly.Module | GuestFault;
  /** Whether its calls may be suspended. */
  readonly waits: boolean;
  /** Instances that no call is in, the last used last. */
  readonly idle: Live[];
  /** Calls that are in an instance. */
  running: number;
}

/** A running instance of a guest. */
interface Live {
  readonly kernel: Kernel;
  readonly hooks: Partial<Record<Phase, () => unknown>>;
  readonly fuel: WebAssembly.Global<bigint>;
  readonly state: InstanceState;
}

export class Run {
  readonly #guest: Configured;
  /** Where the call's host functions live; of an instance of its own if it may be suspended. */
  #kernel: Kernel;
  #live: Live | null = null;
  /** Set once the guest's hook runs: only then does the counter tell about this call. */
  #fuelled = false;
  #fuelTold = 0;
  #turnBegan = performance.now();
  /** Of a guest that may wait. */
  #turn: PromiseWithResolvers<Turn> | null = null;
  #isOver = false;

  /** `shared` is the kernel of the guests that never wait. */
  constructor(guest: Configured, shared: Kernel) {
    this.#guest = guest;
    this.#kernel = shared;
  }

  /** Brings a guest up and throws it away; its limit of fuel is what the forge gave it for that. */
  prepare(now: number): Turn {
    try {
      this.#guest.running++;
      this.#live = this.#instantiate(now);
      this.#fuelled = true;
      return this.#ended({});
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** Runs a guest that never waits, to its end. */
  through(request: ShownCall): Turn {
    try {
      return this.#verdict(this.#enter(request)(), request.phase);
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** Runs a guest until it waits or ends. */
  begin(request: ShownCall): Promise<Turn> {
    const turn = Promise.withResolvers<Turn>();
    this.#turn = turn;
    try {
      (this.#enter(request)() as Promise<unknown>).then(
        (code) => this.#end(() => this.#verdict(code, request.phase)),
        (error) => this.#end(() => this.#failure(error)),
      );
    } catch (error) {
      turn.resolve(this.#failure(error));
    }
    return turn.promise;
  }

  /** Goes on with a guest that waits; an answer to something else leaves it waiting. */
  resume(seq: number, result: HostResult): Turn | Promise<Turn> {
    this.#turnBegan = performance.now();
    if (!this.#kernel.isWaitingFor(seq)) return { kind: "waiting", hostCalls: [], usage: this.#usage() };
    const turn = Promise.withResolvers<Turn>();
    this.#turn = turn;
    this.#kernel.answer(result);
    return turn.promise;
  }

  /** Ends a guest that waits; its instance is not used again. */
  abandon(): void {
    this.#isOver = true;
    this.#guest.running--;
    if (this.#live !== null) this.#live.fuel.value = -1n;
    this.#kernel.unwind();
    this.#giveUp();
  }

  #end(turn: () => Turn): void {
    if (this.#isOver) return;
    let ended: Turn;
    try {
      ended = turn();
    } catch (error) {
      ended = this.#failure(error);
    }
    this.#turn?.resolve(ended);
  }

  /** Brings the guest to where its hook can be called. */
  #enter(request: ShownCall): () => unknown {
    const { config, configJson, waits, idle } = this.#guest;
    this.#guest.running++;
    // The data thread keeps to the limit; nothing depends on that.
    if (waits && this.#guest.running > config.limits.instances)
      throw new GuestFault("load", `all of its ${config.limits.instances} instances wait for the host`);
    const live = idle.pop() ?? this.#instantiate(request.now);
    this.#live = live;
    this.#kernel = live.kernel;
    const hook = config.phases.includes(request.phase) ? live.hooks[request.phase] : undefined;
    if (hook === undefined) throw new GuestFault("load", `the module exports no function '${request.phase}'`);
    this.#begin(live.state, request.now, renderInput(request, configJson));
    live.fuel.value = BigInt(config.limits.fuel);
    this.#fuelled = true;
    return hook;
  }

  #verdict(code: unknown, phase: Phase): Turn {
    const { config, idle } = this.#guest;
    const live = this.#live as Live;
    // The last stretch of a guest's code pays without looking what is left.
    if (live.fuel.value < 0n) throw this.#outOfFuel();
    checkMemory(live.state, config.limits.memoryBytes);
    const error = this.#kernel.error();
    if (code !== 0 || error !== null)
      throw new GuestFault("violation", `returned ${String(code)}${error === null ? "" : `: ${error}`}`);
    const turn = this.#ended(parseOutput(this.#kernel.output(), phase, config.limits));
    if (config.instance === "resident") idle.push(live);
    else this.#giveUp();
    return turn;
  }

  #ended(verdict: Verdict): Turn {
    const hostCalls = this.#kernel.takeLastHostCalls();
    this.#guest.running--;
    return { kind: "verdict", verdict, hostCalls, usage: this.#usage() };
  }

  #failure(error: unknown): Turn {
    const { failure, message } = this.#fault(error);
    this.#guest.running--;
    const hostCalls = this.#kernel.takeLastHostCalls();
    this.#giveUp();
    return { kind: "failure", failure, message, hostCalls, usage: this.#usage() };
  }

  /** Nobody enters its instance again. */
  #giveUp(): void {
    if (this.#live !== null) giveUp(this.#memoryBytes());
  }

  #memoryBytes(): number {
    return (this.#live?.state.memory?.buffer.byteLength ?? 0) + this.#kernel.used;
  }

  /** Names what ended the call. */
  #fault(error: unknown): GuestFault {
    if (error instanceof GuestFault) return error;
    if (this.#fuelled && this.#live !== null && this.#live.fuel.value < 0n) return this.#outOfFuel();
    if (error instanceof WebAssembly.RuntimeError) return new GuestFault("trap", error.message.slice(0, 200));
    if (error instanceof RangeError) return new GuestFault("trap", "used up the call stack");
    return new GuestFault("trap", `failed: ${String(error).slice(0, 200)}`);
  }

  #outOfFuel(): GuestFault {
    return new GuestFault("fuel", `used up its ${this.#guest.config.limits.fuel} units of fuel`);
  }

  /** Of this turn. */
  #usage(): Usage {
    const fuel = this.#fuelUsed();
    const fuelBefore = this.#fuelTold;
    this.#fuelTold = fuel;
    return {
      // While a turn lasts nothing else runs, so its wall time is its CPU time; the system's own count ticks too
      // coarsely for it.
      cpuMicros: Math.round((performance.now() - this.#turnBegan) * 1000),
      fuel: fuel - fuelBefore,
      memoryBytes: this.#live === null ? 0 : this.#memoryBytes(),
    };
  }

  #fuelUsed(): number {
    if (!this.#fuelled || this.#live === null) return 0;
    const { fuel } = this.#guest.config.limits;
    const left = Number(this.#live.fuel.value);
    return left < 0 ? fuel : fuel - left;
  }

  #begin(state: InstanceState, now: number, input: string | null): void {
    const { config, configValues, waits } = this.#guest;
    const { limits } = config;
    this.#kernel.begin({
      config: configValues,
      state,
      now,
      input,
      arenaBytes: Math.max(limits.memoryBytes, maxOutputJson(limits)),
      hostCalls: limits.hostCalls,
      ...(waits && input !== null ? { asks: config.asks, onSuspend: this.#onSuspend } : WAITS_FOR_NOTHING),
    });
  }

  readonly #onSuspend = (): void => {
    const hostCalls = this.#kernel.takeHostCalls();
    this.#turn?.resolve({ kind: "waiting", hostCalls, usage: this.#usage() });
  };

  #instantiate(now: number): Live {
    const { config, module, waits } = this.#guest;
    clearRemains();
    if (waits) this.#kernel = new Kernel(true);
    const state = newInstanceState();
    this.#begin(state, now, null);
    if (config.runtime !== "extism")
      throw new GuestFault("load", `a WebAssembly cordon cannot run a guest of runtime '${config.runtime}'`);
    if (module instanceof GuestFault) throw module;
    let exports: Record<string, unknown> = {};
    try {
      exports = new WebAssembly.Instance(module, this.#kernel.imports).exports;
      state.memory = (exports[MEMORY_EXPORT] as WebAssembly.Memory | undefined) ?? null;
      (exports[INITIALIZE_EXPORT] as (() => void) | undefined)?.();
    } catch (error) {
      const fuel = exports[FUEL_EXPORT] as WebAssembly.Global<bigint> | undefined;
      throw startFault(error, fuel !== undefined && fuel.value < 0n);
    }
    checkMemory(state, config.limits.memoryBytes);
    const hooks: Live["hooks"] = {};
    for (const phase of config.phases) {
      const hook = exports[phase];
      if (typeof hook !== "function") continue;
      hooks[phase] = waits ? WebAssembly.promising(hook) : (hook as () => unknown);
    }
    const fuel = exports[FUEL_EXPORT] as WebAssembly.Global<bigint>;
    return { kernel: this.#kernel, hooks, fuel, state };
  }
}

function checkMemory({ memory }: InstanceState, most: number): void {
  const bytes = memory?.buffer.byteLength ?? 0;
  if (bytes > most) throw new GuestFault("memory", `holds ${bytes} bytes of memory; it may hold ${most}`);
}

function startFault(error: unknown, isEmpty: boolean): GuestFault {
  if (isEmpty) return new GuestFault("load", `used up its start-up fuel in ${INITIALIZE_EXPORT}`);
  if (error instanceof GuestFault)
    return new GuestFault("load", `the start function failed: ${error.message}`);
  if (error instanceof WebAssembly.SuspendError)
    return new GuestFault("load", "it waits for the host while it starts: only a hook can");
  const words = error instanceof Error ? error.message : String(error);
  const failure: Failure = error instanceof RangeError && /memory/i.test(words) ? "memory" : "load";
  // Metered code traps by this instruction when its fuel is used up, and a start function may do so of its own.
  const why = /unreachable/.test(words) ? " (its start-up fuel was used up, or it trapped)" : "";
  return new GuestFault(failure, `could not be started: ${words.slice(0, 200)}${why}`);
}
