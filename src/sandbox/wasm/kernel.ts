/**
 * The Extism kernel: the 27 host functions of `extism:host/env`, over one arena per call.
 *
 * One kernel serves every guest of the engine, because calls never overlap; `begin` sets whose call it is.
 * What a guest may do wrong with these functions (addresses outside the arena, lengths that overflow, endless
 * allocations, endless logging) ends in a GuestFault or is cut short, never in work without bound.
 */
import type { HostCall } from "../engine.ts";
import { ABORT_MODULE, ABORT_NAME, KERNEL_MODULE, type KernelImport, WASI_MODULE } from "./abi.ts";
import { Arena } from "./arena.ts";
import { GuestFault } from "./fault.ts";
import { Wasi, type WasiState } from "./wasi.ts";

export const MAX_LOG_LINES = 20;
export const MAX_LOG_BYTES = 1024;
/** Calls of config_get, var_get, var_set and http_request together: each may copy or search. */
const MAX_LOOKUPS = 1000;
export const MAX_VARS = 128;
export const MAX_VARS_BYTES = 64 * 1024;
/** What get_log_level answers: 1 is debug in Extism's order of trace, debug, info, warn, error. */
const LOG_LEVEL = 1;

type Level = "debug" | "info" | "warn" | "error";

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
}

const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder();

export class Kernel {
  readonly imports: Record<string, Record<string, unknown>>;
  readonly #arena = new Arena();
  readonly #wasi = new Wasi((stream, line) => this.#log(stream === "stdout" ? "info" : "warn", line));
  #call: KernelCall = {
    config: new Map(),
    state: newInstanceState(),
    now: 0,
    input: null,
    arenaBytes: 0,
    hostCalls: 0,
  };
  #inputAt = 0n;
  #inputLength = 0n;
  #output: readonly [address: bigint, length: bigint] | null = null;
  #error = 0n;
  #lookups = 0;
  #dropped = 0;
  #hostCalls: HostCall[] = [];

  constructor() {
    this.imports = {
      [KERNEL_MODULE]: this.#kernelImports(),
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
    this.#inputAt = call.input === null ? 0n : BigInt(this.#arena.storeText(call.input, inputLength));
    this.#inputLength = BigInt(inputLength);
    this.#output = null;
    this.#error = 0n;
    this.#lookups = 0;
    this.#dropped = 0;
    this.#hostCalls = [];
    this.#wasi.begin(call.state, call.now);
  }

  /** What the guest set as output; valid until the next `begin`. */
  output(): Uint8Array {
    return this.#output === null ? EMPTY : this.#arena.range(...this.#output);
  }

  /** What the guest set as error, cut to a log line; null if nothing. */
  error(): string | null {
    if (this.#error === 0n) return null;
    return this.#text(this.#error, "error_set").slice(0, MAX_LOG_BYTES);
  }

  hostCalls(): HostCall[] {
    this.#wasi.flush();
    if (this.#dropped > 0) {
      const message = `${this.#dropped} more log lines were dropped`;
      this.#hostCalls.push({
        seq: this.#hostCalls.length,
        method: "log",
        args: ["warn", message],
        waits: false,
      });
      this.#dropped = 0;
    }
    return this.#hostCalls;
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
      http_request: () => {
        this.#lookup("http_request");
        this.#log("warn", "http_request: not granted");
        return 0n;
      },
      http_status_code: () => 0,
      http_headers: () => 0n,
      log_trace: (line: bigint) => this.#logBlock("debug", line),
      log_debug: (line: bigint) => this.#logBlock("debug", line),
      log_info: (line: bigint) => this.#logBlock("info", line),
      log_warn: (line: bigint) => this.#logBlock("warn", line),
      log_error: (line: bigint) => this.#logBlock("error", line),
      get_log_level: () => LOG_LEVEL,
    };
  }

  #inputAddress(offset: bigint, length: bigint, what: string): bigint {
    if (offset < 0n || offset + length > this.#inputLength)
      throw new GuestFault(
        "violation",
        `${what}: offset ${offset} is outside the input of ${this.#inputLength} bytes`,
      );
    return this.#inputAt + offset;
  }

  #block(address: bigint, what: string): Uint8Array {
    const bytes = this.#arena.block(address);
    if (bytes === null) throw new GuestFault("violation", `${what}: no block starts at ${address}`);
    return bytes;
  }

  /** A block as text. Names and messages longer than a log line are cut: none is that long. */
  #text(address: bigint, what: string): string {
    return decoder.decode(this.#block(address, what).subarray(0, MAX_LOG_BYTES));
  }

  #lookup(what: string): void {
    if (++this.#lookups > MAX_LOOKUPS)
      throw new GuestFault("violation", `${what}: a call may ask the host ${MAX_LOOKUPS} times`);
  }

  #logBlock(level: Level, line: bigint): void {
    if (this.#isLogFull()) this.#dropped++;
    else this.#log(level, this.#text(line, "log"));
  }

  #isLogFull(): boolean {
    return this.#hostCalls.length >= Math.min(MAX_LOG_LINES, this.#call.hostCalls);
  }

  #log(level: Level, message: string): void {
    if (this.#isLogFull()) this.#dropped++;
    else
      this.#hostCalls.push({
        seq: this.#hostCalls.length,
        method: "log",
        args: [level, message],
        waits: false,
      });
  }
}
