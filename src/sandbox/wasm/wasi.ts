/**
 * A minimal WASI preview 1 (https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md): what the
 * runtimes of Go, Rust and C guests ask for before the guest's own code runs, and nothing that reaches out.
 *
 * There are no files, no sockets, no arguments and no environment. Standard output and error go to the plugin's
 * log, line by line. The clock stands still during a call, to the millisecond; a guest that sleeps is not held
 * up, its own clock is late by as much instead, so loops that wait for a point in time end. Every function of
 * preview 1 is there, because a module that imports one that is not cannot even be loaded; those that would need
 * what is not there say so by their error number.
 *
 * Addresses and lengths come from the guest: each is checked against its memory, and what the host does for one
 * call (bytes of text read, random bytes made) has a bound.
 */
import { randomFillSync } from "node:crypto";
import type { WasiImport } from "./abi.ts";
import { GuestFault } from "./fault.ts";

/** Bytes of standard output and error that are looked at in one call; what is beyond is dropped unseen. */
const MAX_TEXT_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 1024;
/** Most of one random_get, and of all of one call. */
const MAX_RANDOM_BYTES = 64 * 1024;
const MAX_RANDOM_BYTES_A_CALL = 1024 * 1024;
/** IOV_MAX of Linux. */
const MAX_VECTORS = 1024;
const MAX_SUBSCRIPTIONS = 64;
/** Entries of the lists that one call hands in by writing and waiting, each of which costs the host more than fuel. */
const MAX_ENTRIES_A_CALL = 20_000;
/** What reading a subscription and writing its event costs beside a part of a write. */
const SUBSCRIPTION_WEIGHT = 7;
const CLOCK_STEP_NS = 1_000_000n;

const OK = 0;
const EBADF = 8;
const EFAULT = 21;
const EINVAL = 28;
const ENOSYS = 52;
const ESPIPE = 70;
const ENOTCAPABLE = 76;

const CLOCKS = { realtime: 0, monotonic: 1, threadCpu: 3 } as const;
const CHARACTER_DEVICE = 2;
const RIGHT_READ = 1n << 1n;
const RIGHT_WRITE = 1n << 6n;
const SUBSCRIPTION_BYTES = 48;
const EVENT_BYTES = 32;
const EVENT_CLOCK = 0;
const ABSOLUTE_TIME = 1;

/** What an instance's WASI is, and keeps from call to call. */
export interface WasiState {
  /** The guest's memory; null until the module is instantiated. */
  memory: WebAssembly.Memory | null;
  /** How long the instance has slept in all its calls: what its monotonic clock is ahead. */
  sleptNs: bigint;
}

/** Takes a line that the guest has printed. */
export type PrintLine = (stream: "stdout" | "stderr", line: string) => void;

const decoder = new TextDecoder();

/** Text of one stream that has no end of line yet, cut to a line's length. */
class Line {
  readonly #bytes = new Uint8Array(MAX_LINE_BYTES);
  #length = 0;

  append(bytes: Uint8Array): void {
    const taken = bytes.subarray(0, MAX_LINE_BYTES - this.#length);
    this.#bytes.set(taken, this.#length);
    this.#length += taken.length;
  }

  /** The text so far; the next line is begun. */
  take(): string {
    const text = decoder.decode(this.#bytes.subarray(0, this.#length));
    this.#length = 0;
    return text;
  }
}

export class Wasi {
  readonly imports: Record<WasiImport, (...args: never[]) => unknown>;
  readonly #print: PrintLine;
  readonly #lines = { stdout: new Line(), stderr: new Line() };
  #state: WasiState = { memory: null, sleptNs: 0n };
  /** Nanoseconds since the epoch, frozen for the call, and how long the call has slept. */
  #nowNs = 0n;
  #sleptNs = 0n;
  #textBytes = 0;
  #randomBytes = 0;
  #entries = 0;
  #view = new DataView(new ArrayBuffer(0));

  constructor(print: PrintLine) {
    this.#print = print;
    this.imports = this.#functions();
  }

  /** A call, or the start of a module, begins at `now`, in milliseconds since the epoch. */
  begin(state: WasiState, now: number): void {
    this.#state = state;
    this.#nowNs = BigInt(Math.floor(now)) * 1_000_000n;
    this.#sleptNs = 0n;
    this.#textBytes = 0;
    this.#randomBytes = 0;
    this.#entries = 0;
    this.#lines.stdout.take();
    this.#lines.stderr.take();
  }

  /** Prints what was written without an end of line. */
  flush(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const text = this.#lines[stream].take();
      if (text !== "") this.#print(stream, text);
    }
  }

  #functions(): Record<WasiImport, (...args: never[]) => unknown> {
    const badDescriptor = (): number => EBADF;
    const noPath = (): number => ENOTCAPABLE;
    const absent = (): number => ENOSYS;
    return {
      args_get: () => OK,
      args_sizes_get: (count: number, size: number) => this.#nothing(count, size),
      environ_get: () => OK,
      environ_sizes_get: (count: number, size: number) => this.#nothing(count, size),
      clock_res_get: (clock: number, result: number) =>
        isClock(clock) ? this.#storeWord(result, CLOCK_STEP_NS) : EINVAL,
      clock_time_get: (clock: number, _precision: bigint, result: number) =>
        isClock(clock) ? this.#storeWord(result, this.#time(clock)) : EINVAL,
      fd_advise: badDescriptor,
      fd_allocate: badDescriptor,
      fd_close: (fd: number) => (isStream(fd) ? OK : EBADF),
      fd_datasync: badDescriptor,
      fd_fdstat_get: (fd: number, result: number) => this.#streamStatus(fd, result),
      fd_fdstat_set_flags: (fd: number) => (isStream(fd) ? OK : EBADF),
      fd_fdstat_set_rights: badDescriptor,
      fd_filestat_get: (fd: number, result: number) => this.#streamAttributes(fd, result),
      fd_filestat_set_size: badDescriptor,
      fd_filestat_set_times: badDescriptor,
      fd_pread: badDescriptor,
      fd_prestat_get: badDescriptor,
      fd_prestat_dir_name: badDescriptor,
      fd_pwrite: badDescriptor,
      // Standard input is empty.
      fd_read: (fd: number, _vectors: number, _count: number, result: number) =>
        fd === 0 ? this.#storeHalf(result, 0) : EBADF,
      fd_readdir: badDescriptor,
      fd_renumber: badDescriptor,
      fd_seek: (fd: number) => (isStream(fd) ? ESPIPE : EBADF),
      fd_sync: badDescriptor,
      fd_tell: (fd: number) => (isStream(fd) ? ESPIPE : EBADF),
      fd_write: (fd: number, vectors: number, count: number, result: number) =>
        this.#write(fd, vectors, count, result),
      path_create_directory: noPath,
      path_filestat_get: noPath,
      path_filestat_set_times: noPath,
      path_link: noPath,
      path_open: noPath,
      path_readlink: noPath,
      path_remove_directory: noPath,
      path_rename: noPath,
      path_symlink: noPath,
      path_unlink_file: noPath,
      poll_oneoff: (subscriptions: number, events: number, count: number, result: number) =>
        this.#poll(subscriptions, events, count, result),
      proc_exit: (code: number) => {
        throw new GuestFault("trap", `the guest ended itself: proc_exit(${code})`);
      },
      proc_raise: absent,
      sched_yield: () => OK,
      random_get: (address: number, length: number) => this.#random(address, length),
      sock_accept: badDescriptor,
      sock_recv: badDescriptor,
      sock_send: badDescriptor,
      sock_shutdown: badDescriptor,
    };
  }

  // ---- the guest's memory -----------------------------------------------------------------------------------

  /** The memory, if it holds `length` bytes at `address`; both are unsigned by now, and their sum is exact. */
  #at(address: number, length: number): DataView | null {
    const buffer = this.#state.memory?.buffer;
    if (buffer === undefined || address + length > buffer.byteLength) return null;
    // A memory that has grown has another buffer.
    if (this.#view.buffer !== buffer) this.#view = new DataView(buffer);
    return this.#view;
  }

  #storeHalf(address: number, value: number): number {
    const view = this.#at(address >>> 0, 4);
    view?.setUint32(address >>> 0, value, true);
    return view === null ? EFAULT : OK;
  }

  #storeWord(address: number, value: bigint): number {
    const view = this.#at(address >>> 0, 8);
    view?.setBigUint64(address >>> 0, value, true);
    return view === null ? EFAULT : OK;
  }

  // ---- arguments, clocks, random bytes ----------------------------------------------------------------------

  /** Sizes of an empty list of texts. */
  #nothing(count: number, size: number): number {
    return this.#storeHalf(count, 0) || this.#storeHalf(size, 0);
  }

  #time(clock: number): bigint {
    return this.#nowNs + (clock === CLOCKS.realtime ? this.#sleptNs : this.#state.sleptNs);
  }

  #random(address: number, length: number): number {
    const size = length >>> 0;
    if (size > MAX_RANDOM_BYTES) return EINVAL;
    const view = this.#at(address >>> 0, size);
    if (view === null) return EFAULT;
    this.#randomBytes += size;
    if (this.#randomBytes > MAX_RANDOM_BYTES_A_CALL)
      throw new GuestFault(
        "violation",
        `random_get: a call may take ${MAX_RANDOM_BYTES_A_CALL} random bytes in all`,
      );
    randomFillSync(new Uint8Array(view.buffer, address >>> 0, size));
    return OK;
  }

  #count(entries: number, what: string): void {
    this.#entries += entries + 1;
    if (this.#entries > MAX_ENTRIES_A_CALL)
      throw new GuestFault("violation", `${what}: a call may write and wait ${MAX_ENTRIES_A_CALL} times`);
  }

  // ---- standard streams -------------------------------------------------------------------------------------

  #streamStatus(fd: number, result: number): number {
    if (!isStream(fd)) return EBADF;
    const at = result >>> 0;
    const view = this.#at(at, 24);
    if (view === null) return EFAULT;
    view.setUint32(at, CHARACTER_DEVICE, true);
    view.setUint32(at + 4, 0, true);
    view.setBigUint64(at + 8, fd === 0 ? RIGHT_READ : RIGHT_WRITE, true);
    view.setBigUint64(at + 16, 0n, true);
    return OK;
  }

  #streamAttributes(fd: number, result: number): number {
    if (!isStream(fd)) return EBADF;
    const at = result >>> 0;
    const view = this.#at(at, 64);
    if (view === null) return EFAULT;
    new Uint8Array(view.buffer, at, 64).fill(0);
    view.setUint8(at + 16, CHARACTER_DEVICE);
    return OK;
  }

  #write(fd: number, vectors: number, count: number, result: number): number {
    if (fd !== 1 && fd !== 2) return EBADF;
    const list = vectors >>> 0;
    const entries = count >>> 0;
    if (entries > MAX_VECTORS) return EINVAL;
    this.#count(entries, "fd_write");
    const view = this.#at(list, entries * 8);
    if (view === null || this.#at(result >>> 0, 4) === null) return EFAULT;
    let written = 0;
    // Nothing is printed of a write that fails, as a kernel would have it.
    for (let i = 0; i < entries; i++) {
      const length = view.getUint32(list + i * 8 + 4, true);
      if (this.#at(view.getUint32(list + i * 8, true), length) === null) return EFAULT;
      written += length;
    }
    if (written > 0xffff_ffff) return EINVAL;
    const stream = fd === 1 ? "stdout" : "stderr";
    for (let i = 0; i < entries; i++) {
      const address = view.getUint32(list + i * 8, true);
      const length = view.getUint32(list + i * 8 + 4, true);
      const looked = Math.min(length, MAX_TEXT_BYTES - this.#textBytes);
      if (looked === 0) continue;
      this.#textBytes += looked;
      this.#say(stream, new Uint8Array(view.buffer, address, looked));
    }
    return this.#storeHalf(result, written);
  }

  #say(stream: "stdout" | "stderr", bytes: Uint8Array): void {
    const line = this.#lines[stream];
    let from = 0;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, from)) {
      line.append(bytes.subarray(from, end));
      this.#print(stream, line.take());
      from = end + 1;
    }
    line.append(bytes.subarray(from));
  }

  // ---- waiting ----------------------------------------------------------------------------------------------

  /**
   * Waits for nothing: a descriptor is reported at once as ready, or as none, and where only clocks are
   * waited for, the guest's clock goes to the earliest of their times.
   */
  #poll(subscriptions: number, events: number, count: number, result: number): number {
    const from = subscriptions >>> 0;
    const to = events >>> 0;
    const many = count >>> 0;
    if (many === 0 || many > MAX_SUBSCRIPTIONS) return EINVAL;
    this.#count(many * SUBSCRIPTION_WEIGHT, "poll_oneoff");
    const view = this.#at(from, many * SUBSCRIPTION_BYTES);
    if (view === null || this.#at(to, many * EVENT_BYTES) === null || this.#at(result >>> 0, 4) === null)
      return EFAULT;
    // Read whole before an event is written: the two lists may overlap.
    const wanted = Array.from({ length: many }, (_, i) =>
      this.#subscription(view, from + i * SUBSCRIPTION_BYTES),
    );
    const descriptors = wanted.filter(({ delay }) => delay === null);
    const earliest = wanted.reduce<bigint | null>(
      (least, { delay }) => (delay !== null && (least === null || delay < least) ? delay : least),
      null,
    );
    let ready = descriptors;
    if (descriptors.length === 0 && earliest !== null) {
      this.#sleptNs += earliest;
      this.#state.sleptNs += earliest;
      ready = wanted.filter(({ delay }) => delay === earliest);
    }
    let at = to;
    for (const { user, kind, error } of ready) {
      new Uint8Array(view.buffer, at, EVENT_BYTES).fill(0);
      view.setBigUint64(at, user, true);
      view.setUint16(at + 8, error, true);
      view.setUint8(at + 10, kind);
      at += EVENT_BYTES;
    }
    return this.#storeHalf(result, ready.length);
  }

  /** One subscription; `delay` is null for a descriptor. */
  #subscription(view: DataView, at: number) {
    const user = view.getBigUint64(at, true);
    const kind = view.getUint8(at + 8);
    if (kind !== EVENT_CLOCK) {
      const fd = view.getUint32(at + 16, true);
      return { user, kind, delay: null, error: isStream(fd) ? OK : EBADF };
    }
    const clock = view.getUint32(at + 16, true);
    const timeout = view.getBigUint64(at + 24, true);
    const isAbsolute = (view.getUint16(at + 40, true) & ABSOLUTE_TIME) !== 0;
    if (!isClock(clock)) return { user, kind, delay: 0n, error: EINVAL };
    const delay = isAbsolute ? timeout - this.#time(clock) : timeout;
    return { user, kind, delay: delay < 0n ? 0n : delay, error: OK };
  }
}

function isClock(id: number): boolean {
  return id >= CLOCKS.realtime && id <= CLOCKS.threadCpu;
}

/** Standard input, output and error: the only descriptors. */
function isStream(fd: number): boolean {
  return fd >= 0 && fd <= 2;
}
