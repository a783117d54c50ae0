/**
 * What a guest's call can reach: the 27 host functions of Extism's kernel over one arena, WASI, and the functions
 * of `extism:host/user`.
 *
 * A kernel serves one call at a time; `begin` sets whose it is. All guests that never wait share one, because
 * their calls never overlap; an instance that may be suspended has its own. What a guest may do wrong with these
 * functions (addresses outside the arena, lengths that overflow, endless allocations, endless logging) ends in a
 * GuestFault or is cut short, never in work without bound.
 */

import { HOST_CALL_LIMITS } from "../calls/host-call-limits.ts";
import type { HostAsk, HostCall } from "../protocol/engine.ts";
import type { HostResult } from "../protocol/frames.ts";
import {
  ABORT_MODULE,
  ABORT_NAME,
  askOf,
  KERNEL_MODULE,
  type KernelImport,
  USER_MODULE,
  WASI_MODULE,
} from "./abi.ts";
import { Arena } from "./arena.ts";
import { type Functions, quickAccess } from "./arena-code.ts";
import { GuestFault } from "./fault.ts";
import { HostDesk, type Level } from "./host-desk.ts";
import { HostFunctions } from "./host-functions.ts";
import { Wasi, type WasiState } from "./wasi.ts";

/** Of names and of what is read of a log line: none is that long. */
const MAX_TEXT_BYTES = HOST_CALL_LIMITS.logCharacters;
/** Calls of functions that copy or search, together. */
const MAX_LOOKUPS = 1000;
export const MAX_VARS = 128;
export const MAX_VARS_BYTES = 64 * 1024;
/** What get_log_level answers: 1 is debug in Extism's order of trace, debug, info, warn, error. */
const LOG_LEVEL = 1;

/** Extism's variables: bytes by name, bounded, kept as long as the guest's instance lives. */
export class Vars {
  readonly #values = new Map<string, Uint8Array>();
  #bytes = 0;

  get(name: string): Uint8Array | undefined {
    return this.#values.get(name);
  }

  set(name: string, value: Uint8Array): void {
    this.delete(name);
    const bytes = this.#bytes + name.length + value.length;
    if (bytes > MAX_VARS_BYTES || this.#values.size >= MAX_VARS)
      throw new GuestFault(
        "memory",
        `var_set: a guest may keep ${MAX_VARS} variables of ${MAX_VARS_BYTES} bytes in all`,
      );
    this.#values.set(name, value.slice());
    this.#bytes = bytes;
  }

  delete(name: string): void {
    const value = this.#values.get(name);
    if (value === undefined) return;
    this.#values.delete(name);
    this.#bytes -= name.length + value.length;
  }
}

/** What an instance of a guest keeps from call to call, beside its memory. */
export interface InstanceState extends WasiState {
  readonly vars: Vars;
}

export function newInstanceState(): InstanceState {
  return { vars: new Vars(), memory: null, sleptNs: 0n };
}

/** Whose call it is. */
export interface KernelCall {
  /** Config values by name as config_get returns them. */
  config: ReadonlyMap<string, Uint8Array>;
  state: InstanceState;
  /** Milliseconds since the epoch, frozen for the call. */
  now: number;
  /** What the guest gets as input; null while a module starts. */
  input: string | null;
  /** Bytes of host memory that the guest may use beside its input. */
  arenaBytes: number;
  /** Bound of the log lines and other host calls of one hook call. */
  hostCalls: number;
  /** What the guest may wait for. */
  asks: readonly HostAsk[];
  /** Told each time the guest waits. */
  onSuspend: () => void;
}

/** For a module that starts, or a guest that never waits. */
export const WAITS_FOR_NOTHING = { asks: [], onSuspend: () => {} } as const;

const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder();

export class Kernel {
  readonly imports: Record<string, Record<string, unknown>>;
  readonly #arena = new Arena();
  readonly #wasi = new Wasi((stream, line) => this.#desk.log(stream === "stdout" ? "info" : "warn", line));
  #call: KernelCall = {
    config: new Map(),
    state: newInstanceState(),
    now: 0,
    input: null,
    arenaBytes: 0,
    hostCalls: 0,
    ...WAITS_FOR_NOTHING,
  };
  #inputAt = 0n;
  #inputLength = 0n;
  #output: readonly [address: bigint, length: bigint] | null = null;
  #error = 0n;
  #lookups = 0;
  readonly #desk = new HostDesk();
  readonly #functions: HostFunctions;

  /** `suspends` tells whether the instance that it is for may be suspended while it waits. */
  constructor(suspends: boolean) {
    this.#functions = new HostFunctions({
      block: (address, what) => this.#block(address, what),
      store: (bytes) => BigInt(this.#arena.store(bytes)),
      ask: (method, args) => this.#desk.ask(method, args),
      tell: (method, args) => this.#desk.tell(method, args),
      warn: (message) => this.#desk.log("warn", message),
      isGranted: (ask) => this.#call.asks.includes(ask),
    });
    const kernel: Functions = this.#kernelImports();
    // One that may be suspended is one of many, and waiting costs it more than its copying.
    const quick = suspends ? null : quickAccess(kernel);
    if (quick !== null) this.#arena.useMemory(quick.memory);
    const imports = {
      [KERNEL_MODULE]: { ...kernel, ...quick?.functions },
      [USER_MODULE]: this.#userImports(),
    };
    this.imports = {
      ...(suspends ? suspending(imports) : imports),
      [WASI_MODULE]: this.#wasi.imports,
      [ABORT_MODULE]: {
        [ABORT_NAME]: () => {
          throw new GuestFault("trap", "the guest aborted (a failed assertion)");
        },
      },
    };
  }

  begin(call: KernelCall): void {
    const inputLength = call.input === null ? 0 : Buffer.byteLength(call.input);
    this.#call = call;
    this.#arena.reset(call.arenaBytes + inputLength + 8);
    this.#inputAt = call.input === null ? 0n : BigInt(this.#arena.storeInput(call.input, inputLength));
    this.#inputLength = BigInt(inputLength);
    this.#output = null;
    this.#error = 0n;
    this.#lookups = 0;
    this.#desk.begin(call.hostCalls, call.onSuspend);
    this.#functions.begin();
    this.#wasi.begin(call.state, call.now);
  }

  /** What the guest set as output; valid until the next `begin`. */
  output(): Uint8Array {
    return this.#output === null ? EMPTY : this.#arena.range(...this.#output);
  }

  /** What the guest set as error, cut to a log line; null if nothing. */
  error(): string | null {
    if (this.#error === 0n) return null;
    return this.#text(this.#error, "error_set");
  }

  /** The host calls that were made since the last turn of a call that waits. */
  takeHostCalls(): HostCall[] {
    return this.#desk.take();
  }

  /** The same at the call's end. */
  takeLastHostCalls(): HostCall[] {
    this.#wasi.flush();
    return this.#desk.takeLast();
  }

  isWaitingFor(seq: number): boolean {
    return this.#desk.isWaitingFor(seq);
  }

  /** Lets a suspended guest go on, in a microtask. */
  answer(result: HostResult): void {
    this.#desk.answer(result);
  }

  /** Ends a suspended guest without running any more of its code. */
  unwind(): void {
    this.#desk.unwind();
  }

  /** Bytes of host memory that the call has used. */
  get used(): number {
    return this.#arena.used;
  }

  #kernelImports(): Record<KernelImport, (...args: never[]) => unknown> {
    const arena = this.#arena;
    const store = (bytes: Uint8Array | undefined): bigint =>
      bytes === undefined ? 0n : BigInt(arena.store(bytes));
    return {
      alloc: (length: bigint) => BigInt(arena.alloc(length)),
      free: (address: bigint) => arena.free(address),
      length: (address: bigint) => BigInt(arena.length(address)),
      length_unsafe: (address: bigint) => BigInt(arena.length(address)),
      load_u8: (address: bigint) => arena.loadByte(address),
      load_u64: (address: bigint) => arena.loadWord(address),
      store_u8: (address: bigint, value: number) => arena.storeByte(address, value),
      store_u64: (address: bigint, value: bigint) => arena.storeWord(address, value),
      input_offset: () => this.#inputAt,
      input_length: () => this.#inputLength,
      input_load_u8: (offset: bigint) => arena.loadByte(this.#inputAddress(offset, 1n, "input_load_u8")),
      input_load_u64: (offset: bigint) => arena.loadWord(this.#inputAddress(offset, 8n, "input_load_u64")),
      output_set: (address: bigint, length: bigint) => {
        // Address 0 with length 0 is how PDKs say "empty".
        if (length === 0n) this.#output = null;
        else {
          arena.range(address, length);
          this.#output = [address, length];
        }
      },
      error_set: (address: bigint) => {
        if (address !== 0n) this.#block(address, "error_set");
        this.#error = address;
      },
      error_get: () => this.#error,
      config_get: (key: bigint) => {
        this.#lookup("config_get");
        return store(this.#call.config.get(this.#text(key, "config_get")));
      },
      var_get: (key: bigint) => {
        this.#lookup("var_get");
        return store(this.#call.state.vars.get(this.#text(key, "var_get")));
      },
      var_set: (key: bigint, value: bigint) => {
        this.#lookup("var_set");
        const name = this.#text(key, "var_set");
        if (value === 0n) this.#call.state.vars.delete(name);
        else this.#call.state.vars.set(name, this.#block(value, "var_set"));
      },
      http_request: (request: bigint, body: bigint) => {
        this.#lookup("http_request");
        return this.#functions.httpRequest(request, body);
      },
      http_status_code: () => this.#functions.httpStatus(),
      http_headers: () => this.#functions.httpHeaders(),
      log_trace: (line: bigint) => this.#logBlock("debug", line),
      log_debug: (line: bigint) => this.#logBlock("debug", line),
      log_info: (line: bigint) => this.#logBlock("info", line),
      log_warn: (line: bigint) => this.#logBlock("warn", line),
      log_error: (line: bigint) => this.#logBlock("error", line),
      get_log_level: () => LOG_LEVEL,
    };
  }

  #userImports(): Record<string, (...args: never[]) => unknown> {
    return Object.fromEntries(
      Object.entries(this.#functions.user).map(([name, run]) => [
        name,
        (...args: never[]) => {
          this.#lookup(name);
          return run(...args);
        },
      ]),
    );
  }

  #inputAddress(offset: bigint, length: bigint, what: string): bigint {
    if (offset < 0n || offset + length > this.#inputLength)
      throw new GuestFault(
        "violation",
        `${what}: offset ${offset} is outside the input of ${this.#inputLength} bytes`,
      );
    return this.#inputAt + offset;
  }

  /** A block's bytes; address 0 is how kits write an empty text. */
  #block(address: bigint, what: string): Uint8Array {
    if (address === 0n) return EMPTY;
    const bytes = this.#arena.block(address);
    if (bytes === null) throw new GuestFault("violation", `${what}: no block starts at ${address}`);
    return bytes;
  }

  /** A block as text, cut to the longest that a name or a log line can be. */
  #text(address: bigint, what: string): string {
    return decoder.decode(this.#block(address, what).subarray(0, MAX_TEXT_BYTES));
  }

  #lookup(what: string): void {
    if (++this.#lookups > MAX_LOOKUPS)
      throw new GuestFault("violation", `${what}: a call may ask the host ${MAX_LOOKUPS} times`);
  }

  #logBlock(level: Level, line: bigint): void {
    if (this.#desk.isLogFull) this.#desk.drop();
    else this.#desk.log(level, this.#text(line, "log"));
  }
}

type Imports = Record<string, Record<string, unknown>>;

/** The same imports, with those that may wait made so that V8 suspends the guest while they do. */
function suspending(imports: Imports): Imports {
  return Object.fromEntries(
    Object.entries(imports).map(([module, functions]) => [
      module,
      Object.fromEntries(
        Object.entries(functions).map(([name, run]) => [
          name,
          askOf(module, name) === undefined
            ? run
            : new WebAssembly.Suspending(run as (...args: never[]) => unknown),
        ]),
      ),
    ]),
  );
}
