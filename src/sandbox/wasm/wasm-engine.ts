/**
 * The engine for Extism guests: WebAssembly modules that the forge has emitted, run inside a cordon. run.ts is
 * one call.
 *
 * The engine trusts neither the guest nor the artifact: it runs only bytes whose hash is their name and that
 * carry the forge's fuel counter.
 */
import { createHash } from "node:crypto";
import type { MaybePromise } from "@gatehouse/sdk";
import { Artifacts } from "../cordon/artifacts.ts";
import type { Engine, GuestConfig, HostAsk, ShownCall, Turn } from "../protocol/engine.ts";
import type { HostResult } from "../protocol/frames.ts";
import { askOf, FUEL_EXPORT, importSignature } from "./abi.ts";
import { GuestFault } from "./fault.ts";
import { Kernel } from "./kernel.ts";
import { type Configured, Run } from "./run.ts";

export function createWasmEngine(): Engine<ShownCall> {
  return new WasmEngine();
}

class WasmEngine implements Engine<ShownCall> {
  /** Of the guests that never wait. */
  readonly #kernel = new Kernel(false);
  /** A compiled module by its digest, or why there is none. */
  readonly #modules = new Artifacts<WebAssembly.Module | GuestFault>();
  readonly #configured = new Map<number, Configured>();
  /** Calls that wait for the host. */
  readonly #waiting = new Map<number, Run>();

  load(digest: string, artifact: Uint8Array): void {
    this.#modules.load(digest, () => compile(digest, artifact));
  }

  unload(digest: string): void {
    this.#modules.unload(digest);
  }

  configure(instance: number, config: GuestConfig): void {
    const module =
      this.#modules.get(config.digest) ??
      new GuestFault("load", `artifact ${config.digest} is not in this cordon`);
    this.#configured.set(instance, {
      config,
      configJson: JSON.stringify(config.config ?? {}),
      configValues: renderConfig(config.config),
      module,
      waits: !(module instanceof GuestFault) && mayWait(module, config.asks),
      idle: [],
      running: 0,
    });
  }

  release(instance: number): void {
    this.#configured.delete(instance);
  }

  prepare(instance: number, now: number): Turn {
    const guest = this.#configured.get(instance);
    if (guest === undefined) return failure("load", "no such plugin instance in this cordon");
    return new Run(guest, this.#kernel).prepare(now);
  }

  start(call: number, instance: number, request: ShownCall): MaybePromise<Turn> {
    const guest = this.#configured.get(instance);
    if (guest === undefined) return failure("load", "no such plugin instance in this cordon");
    const run = new Run(guest, this.#kernel);
    return guest.waits ? this.#keep(call, run, run.begin(request)) : run.through(request);
  }

  resume(call: number, seq: number, result: HostResult): MaybePromise<Turn> {
    const run = this.#waiting.get(call);
    // An answer can cross with the end of its call.
    if (run === undefined) return failure("violation", "the call does not wait for anything");
    const turn = run.resume(seq, result);
    return turn instanceof Promise ? this.#keep(call, run, turn) : turn;
  }

  abandon(call: number): void {
    const run = this.#waiting.get(call);
    this.#waiting.delete(call);
    run?.abandon();
  }

  #keep(call: number, run: Run, turn: Promise<Turn>): Promise<Turn> {
    return turn.then((ended) => {
      if (ended.kind === "waiting") this.#waiting.set(call, run);
      else this.#waiting.delete(call);
      return ended;
    });
  }
}

function failure(kind: "load" | "violation", message: string): Turn {
  const usage = { cpuMicros: 0, fuel: 0, memoryBytes: 0 };
  return { kind: "failure", failure: kind, message, hostCalls: [], usage };
}

/** Whether a module imports something by which its grants let it wait. */
function mayWait(module: WebAssembly.Module, asks: readonly HostAsk[]): boolean {
  return WebAssembly.Module.imports(module).some(({ module: from, name }) => {
    const ask = askOf(from, name);
    return ask !== undefined && asks.includes(ask);
  });
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
