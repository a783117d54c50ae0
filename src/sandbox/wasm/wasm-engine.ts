/**
 * The engine for Extism guests: WebAssembly modules that the forge has emitted, run inside a cordon.
 *
 * A call is synchronous from start to verdict: fresh fuel, input through the kernel's arena, one export called,
 * its answer parsed. Whatever goes wrong discards the instance, so the next call meets a new one. The engine
 * trusts neither the guest nor the artifact: it runs only bytes whose hash is their name and that carry the
 * forge's fuel counter.
 */
import { createHash } from "node:crypto";
import type { Phase } from "@gatehouse/sdk";
import type { Engine, Failure, GuestCall, GuestConfig, Turn, Usage, Verdict } from "../engine.ts";
import { FUEL_EXPORT, INITIALIZE_EXPORT, importSignature, MEMORY_EXPORT } from "./abi.ts";
import { maxOutputJson, parseOutput, renderInput } from "./exchange.ts";
import { GuestFault } from "./fault.ts";
import { type InstanceState, Kernel, newInstanceState } from "./kernel.ts";

export function createWasmEngine(): Engine {
  return new WasmEngine();
}

/** A running instance of a guest. */
interface Live {
  hooks: Partial<Record<Phase, () => unknown>>;
  fuel: WebAssembly.Global<bigint>;
  state: InstanceState;
}

interface Configured {
  config: GuestConfig;
  configJson: string;
  /** What config_get answers, by name. */
  configValues: Map<string, Uint8Array>;
  /** The resident instance, once there is one. */
  live: Live | null;
}

class WasmEngine implements Engine {
  readonly #kernel = new Kernel();
  /** A compiled module by its digest, or why there is none. */
  readonly #modules = new Map<string, WebAssembly.Module | GuestFault>();
  readonly #configured = new Map<number, Configured>();

  load(digest: string, artifact: Uint8Array): void {
    this.#modules.set(digest, compile(digest, artifact));
  }

  configure(instance: number, config: GuestConfig): void {
    this.#configured.set(instance, {
      config,
      configJson: JSON.stringify(config.config ?? {}),
      configValues: renderConfig(config.config),
      live: null,
    });
  }

  release(instance: number): void {
    this.#configured.delete(instance);
  }

  prepare(instance: number, now: number): Turn {
    return this.#turn(instance, (run) => run.prepare(now));
  }

  start(_call: number, instance: number, request: GuestCall): Turn {
    return this.#turn(instance, (run) => run.hook(request));
  }

  #turn(instance: number, act: (run: Run) => Verdict): Turn {
    const before = performance.now();
    const configured = this.#configured.get(instance);
    const run = new Run(this.#kernel, this.#modules, configured);
    try {
      const verdict = act(run);
      return { kind: "verdict", verdict, hostCalls: this.#kernel.hostCalls(), usage: run.usage(before) };
    } catch (error) {
      const fault = run.fault(error);
      if (configured) configured.live = null;
      return {
        kind: "failure",
        failure: fault.failure,
        message: fault.message,
        hostCalls: this.#kernel.hostCalls(),
        usage: run.usage(before),
      };
    }
  }

  resume(call: number): Turn {
    throw new Error(`call ${call}: a WebAssembly guest cannot wait for the host, so nothing can be resumed`);
  }

  abandon(): void {
    // Every call has ended when `start` returns.
  }
}

/** One call of one guest. */
class Run {
  readonly #kernel: Kernel;
  readonly #modules: ReadonlyMap<string, WebAssembly.Module | GuestFault>;
  readonly #configured: Configured | undefined;
  #live: Live | null = null;
  /** Set while the guest's hook runs: only then does the counter tell about this call. */
  #fuelled = false;

  constructor(
    kernel: Kernel,
    modules: ReadonlyMap<string, WebAssembly.Module | GuestFault>,
    configured: Configured | undefined,
  ) {
    this.#kernel = kernel;
    this.#modules = modules;
    this.#configured = configured;
  }

  /** Brings the guest up and throws it away; its limit of fuel is what the forge gave it for that. */
  prepare(now: number): Verdict {
    const configured = this.#configured;
    this.#begin(configured, newInstanceState(), now, null);
    if (configured === undefined) throw new GuestFault("load", "no such plugin instance in this cordon");
    this.#live = this.#instantiate(configured, now);
    this.#fuelled = true;
    return {};
  }

  hook(request: GuestCall): Verdict {
    const configured = this.#configured;
    this.#begin(configured, newInstanceState(), request.now, null);
    if (configured === undefined) throw new GuestFault("load", "no such plugin instance in this cordon");
    const { config } = configured;
    const resident = config.instance === "resident";
    const live = (resident ? configured.live : null) ?? this.#instantiate(configured, request.now);
    this.#live = live;
    if (resident) configured.live = live;
    const hook = config.phases.includes(request.phase) ? live.hooks[request.phase] : undefined;
    if (hook === undefined) throw new GuestFault("load", `the module exports no function '${request.phase}'`);

    this.#begin(configured, live.state, request.now, renderInput(request, configured.configJson));
    live.fuel.value = BigInt(config.limits.fuel);
    this.#fuelled = true;
    const code = hook();
    this.#checkMemory(live, config.limits.memoryBytes);
    const error = this.#kernel.error();
    if (code !== 0 || error !== null)
      throw new GuestFault("violation", `returned ${String(code)}${error === null ? "" : `: ${error}`}`);
    return parseOutput(this.#kernel.output(), request.phase, config.limits);
  }

  usage(before: number): Usage {
    return {
      // A turn never waits, so its wall time is its CPU time; the system's own count ticks too coarsely for it.
      cpuMicros: Math.round((performance.now() - before) * 1000),
      fuel: this.#fuelUsed(),
      memoryBytes: (this.#live?.state.memory?.buffer.byteLength ?? 0) + this.#kernel.used,
    };
  }

  /** Names what ended the call. */
  fault(error: unknown): GuestFault {
    if (error instanceof GuestFault) return error;
    if (this.#fuelled && this.#live !== null && this.#live.fuel.value < 0n)
      return new GuestFault("fuel", `used up its ${this.#configured?.config.limits.fuel} units of fuel`);
    if (error instanceof WebAssembly.RuntimeError) return new GuestFault("trap", error.message.slice(0, 200));
    if (error instanceof RangeError) return new GuestFault("trap", "used up the call stack");
    return new GuestFault("trap", `failed: ${String(error).slice(0, 200)}`);
  }

  #fuelUsed(): number {
    if (!this.#fuelled || this.#live === null) return 0;
    const limit = this.#configured?.config.limits.fuel ?? 0;
    const left = Number(this.#live.fuel.value);
    return left < 0 ? limit : limit - left;
  }

  #begin(configured: Configured | undefined, state: InstanceState, now: number, input: string | null): void {
    const limits = configured?.config.limits;
    this.#kernel.begin({
      config: configured?.configValues ?? new Map(),
      state,
      now,
      input,
      arenaBytes: limits ? Math.max(limits.memoryBytes, maxOutputJson(limits)) : 0,
      hostCalls: limits?.hostCalls ?? 0,
    });
  }

  #instantiate(configured: Configured, now: number): Live {
    const { config } = configured;
    if (config.runtime !== "extism")
      throw new GuestFault("load", `a WebAssembly cordon cannot run a guest of runtime '${config.runtime}'`);
    const module = this.#modules.get(config.digest);
    if (module === undefined) throw new GuestFault("load", `artifact ${config.digest} is not in this cordon`);
    if (module instanceof GuestFault) throw module;
    const state = newInstanceState();
    this.#begin(configured, state, now, null);
    let exports: Record<string, unknown> = {};
    try {
      exports = new WebAssembly.Instance(module, this.#kernel.imports).exports;
      state.memory = (exports[MEMORY_EXPORT] as WebAssembly.Memory | undefined) ?? null;
      (exports[INITIALIZE_EXPORT] as (() => void) | undefined)?.();
    } catch (error) {
      const fuel = exports[FUEL_EXPORT] as WebAssembly.Global<bigint> | undefined;
      throw startFault(error, fuel !== undefined && fuel.value < 0n);
    }
    const hooks: Live["hooks"] = {};
    for (const phase of config.phases)
      if (typeof exports[phase] === "function") hooks[phase] = exports[phase] as () => unknown;
    const live = { hooks, fuel: exports[FUEL_EXPORT] as WebAssembly.Global<bigint>, state };
    this.#checkMemory(live, config.limits.memoryBytes);
    return live;
  }

  #checkMemory({ state }: Live, most: number): void {
    const bytes = state.memory?.buffer.byteLength ?? 0;
    if (bytes > most) throw new GuestFault("memory", `holds ${bytes} bytes of memory; it may hold ${most}`);
  }
}

function startFault(error: unknown, isEmpty: boolean): GuestFault {
  if (isEmpty) return new GuestFault("load", `used up its start-up fuel in ${INITIALIZE_EXPORT}`);
  if (error instanceof GuestFault)
    return new GuestFault("load", `the start function failed: ${error.message}`);
  const words = error instanceof Error ? error.message : String(error);
  const failure: Failure = error instanceof RangeError && /memory/i.test(words) ? "memory" : "load";
  return new GuestFault(failure, `could not be started within its start-up fuel: ${words.slice(0, 200)}`);
}

/** Compiles an artifact after checking that it is what its name says, and that it is the forge's work. */
function compile(digest: string, artifact: Uint8Array): WebAssembly.Module | GuestFault {
  const actual = `sha256:${createHash("sha256").update(artifact).digest("hex")}`;
  if (actual !== digest)
    return new GuestFault("load", `artifact ${digest} has other bytes: they hash to ${actual}`);
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(artifact);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    return new GuestFault("load", `artifact ${digest} does not compile: ${words.slice(0, 200)}`);
  }
  if (!WebAssembly.Module.exports(module).some(({ name, kind }) => name === FUEL_EXPORT && kind === "global"))
    return new GuestFault("load", `artifact ${digest} is not metered: only what the forge emitted is run`);
  const foreign = WebAssembly.Module.imports(module).find(
    (item) => item.kind !== "function" || importSignature(item.module, item.name) === undefined,
  );
  if (foreign) return new GuestFault("load", `artifact ${digest} imports ${foreign.module}.${foreign.name}`);
  return module;
}

/** Config values as Extism's config_get gives them: strings as they are, everything else as JSON, null as absent. */
function renderConfig(config: unknown): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  if (typeof config !== "object" || config === null) return values;
  for (const [name, value] of Object.entries(config)) {
    if (value === null || value === undefined) continue;
    values.set(name, encoder.encode(typeof value === "string" ? value : JSON.stringify(value)));
  }
  return values;
}

const encoder = new TextEncoder();
