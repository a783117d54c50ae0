/**
 * How many connections clients may have: in all, and from one address (an IPv6 network of 64 bits counts as one: it
 * is what one client is given). Exact for the gateway, not per thread: the counts are in memory that all data threads
 * share, under a lock that is held for a handful of steps.
 *
 * Each thread also keeps its own share, in a column that nobody else writes. Everything else can be counted anew from
 * the columns, so that a thread that dies, even with the lock in its hand, takes no seat with it.
 */
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import { DESCRIPTOR_RESERVE, descriptorLimit } from "../settings/descriptors.ts";
import type { Settings } from "../settings.ts";
import { type AddressKey, addressKey } from "./address-key.ts";

export interface ConnectionCapsSpec {
  readonly memory: SharedArrayBuffer;
  /** Connections in all. */
  readonly max: number;
  /** From one address; 0 for no bound. */
  readonly maxPerAddress: number;
  /** Threads that can count at the same time. */
  readonly columns: number;
  /** Secret odd numbers: nobody can choose addresses that share a bucket. */
  readonly secrets: readonly [number, number];
}

export type Refusal = "total" | "address";

// Words of the header.
const LOCK = 0;
const ALL = 1;
const FREE = 2;
const REFUSED_TOTAL = 3;
const REFUSED_ADDRESS = 4;
const HEADER = 8;

/** Holder of the lock that is no data thread. */
const MAIN = 0x7fff_ffff;
const SPINS = 200;
/** A lock that is not free by then is not waited for: a thread that counts nothing serves, one that waits does not. */
const PATIENCE_MS = 50;

/** The seat of a connection that could not be counted. */
const UNCOUNTED = -1;

export function connectionCapsSpec(max: number, maxPerAddress: number, columns: number): ConnectionCapsSpec {
  const words = HEADER + bucketsFor(max) + 4 * max + columns * (max + 1);
  const memory = new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT);
  const random = randomBytes(8);
  const secrets = [random.readInt32LE(0) | 1, random.readInt32LE(4) | 1] as const;
  const spec = { memory, max, maxPerAddress, columns, secrets };
  new Table(spec, 0).rebuild();
  return spec;
}

/** The caps that the settings ask for. One address may take half of all connections unless they say otherwise. */
export function openCaps(settings: Settings, log: Logger): CapColumns {
  const { maxConnections, maxConnectionsPerIp, dataThreads } = settings;
  const limit = descriptorLimit();
  if (maxConnections + DESCRIPTOR_RESERVE > limit)
    log.warn(
      { max_connections: maxConnections, open_files: limit },
      "there are fewer descriptors than max_connections asks for: connections beyond them are closed unserved",
    );
  // Threads that hang may outlive their successors' start, all of them and one more.
  const columns = 2 * dataThreads + 2;
  return new CapColumns(
    connectionCapsSpec(maxConnections, maxConnectionsPerIp ?? Math.ceil(maxConnections / 2), columns),
  );
}

const bucketsFor = (max: number): number => 2 ** Math.ceil(Math.log2(Math.max(max, 2)));

/** The shared memory, and what is done to it under the lock. Links are slots plus one; 0 ends a list. */
class Table {
  readonly header: Int32Array;
  readonly column: Int32Array;
  readonly #spec: ConnectionCapsSpec;
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  readonly #high: Int32Array;
  readonly #low: Int32Array;
  readonly #totals: Int32Array;
  readonly #shift: number;

  constructor(spec: ConnectionCapsSpec, column: number) {
    const { memory, max } = spec;
    const buckets = bucketsFor(max);
    let at = 0;
    const take = (words: number) => {
      const part = new Int32Array(memory, at * Int32Array.BYTES_PER_ELEMENT, words);
      at += words;
      return part;
    };
    this.#spec = spec;
    this.header = take(HEADER);
    this.#heads = take(buckets);
    this.#next = take(max);
    this.#high = take(max);
    this.#low = take(max);
    this.#totals = take(max);
    at += column * (max + 1);
    this.column = take(max + 1);
    this.#shift = 32 - Math.log2(buckets);
  }

  lock(holder: number): boolean {
    const { header } = this;
    for (let i = 0; i < SPINS; i++) if (Atomics.compareExchange(header, LOCK, 0, holder) === 0) return true;
    const end = performance.now() + PATIENCE_MS;
    while (performance.now() < end) {
      const held = Atomics.load(header, LOCK);
      if (held !== 0) Atomics.wait(header, LOCK, held, 1);
      if (Atomics.compareExchange(header, LOCK, 0, holder) === 0) return true;
    }
    return false;
  }

  unlock(): void {
    Atomics.store(this.header, LOCK, 0);
  }

  /** The slot of an address, or -1. */
  find({ high, low }: AddressKey): number {
    let slot = (this.#heads[this.#bucket(high, low)] as number) - 1;
    while (slot >= 0 && (this.#high[slot] !== high || this.#low[slot] !== low))
      slot = (this.#next[slot] as number) - 1;
    return slot;
  }

  total(slot: number): number {
    return this.#totals[slot] as number;
  }

  /** Counts one more on a slot, or on a new one if it is -1. Returns the slot; there is one as long as ALL < max. */
  add(slot: number, { high, low }: AddressKey): number {
    let at = slot;
    if (at < 0) {
      at = (this.header[FREE] as number) - 1;
      this.header[FREE] = this.#next[at] as number;
      this.#high[at] = high;
      this.#low[at] = low;
      this.#totals[at] = 0;
      this.#link(at);
    }
    (this.column[at] as number)++;
    (this.#totals[at] as number)++;
    (this.header[ALL] as number)++;
    return at;
  }

  remove(slot: number): void {
    (this.column[slot] as number)--;
    (this.header[ALL] as number)--;
    if (slot === this.#spec.max || --(this.#totals[slot] as number) > 0) return;
    const bucket = this.#bucket(this.#high[slot] as number, this.#low[slot] as number);
    const after = this.#next[slot] as number;
    if (this.#heads[bucket] === slot + 1) this.#heads[bucket] = after;
    else {
      let before = (this.#heads[bucket] as number) - 1;
      while (this.#next[before] !== slot + 1) before = (this.#next[before] as number) - 1;
      this.#next[before] = after;
    }
    this.#next[slot] = this.header[FREE] as number;
    this.header[FREE] = slot + 1;
  }

  /** Counts everything anew from the columns. */
  rebuild(): void {
    const { max, columns } = this.#spec;
    const shares = Array.from({ length: columns }, (_, i) => new Table(this.#spec, i).column);
    const sum = (slot: number) => shares.reduce((total, column) => total + (column[slot] as number), 0);
    this.#heads.fill(0);
    this.header[FREE] = 0;
    this.header[ALL] = sum(max);
    for (let slot = max - 1; slot >= 0; slot--) {
      const total = sum(slot);
      this.#totals[slot] = total;
      (this.header[ALL] as number) += total;
      if (total > 0) this.#link(slot);
      else {
        this.#next[slot] = this.header[FREE] as number;
        this.header[FREE] = slot + 1;
      }
    }
  }

  #link(slot: number): void {
    const bucket = this.#bucket(this.#high[slot] as number, this.#low[slot] as number);
    this.#next[slot] = this.#heads[bucket] as number;
    this.#heads[bucket] = slot + 1;
  }

  #bucket(high: number, low: number): number {
    const [a, b] = this.#spec.secrets;
    const mixed = Math.imul(a, high) + Math.imul(b, low ^ (high >>> 16));
    return Math.imul(mixed ^ (mixed >>> 15), a) >>> this.#shift;
  }
}

/** A data thread's side. */
export class ConnectionCaps {
  readonly #spec: ConnectionCapsSpec;
  readonly #table: Table;
  readonly #holder: number;
  /** Seats that could not be given back at once. */
  #owed: number[] = [];

  constructor(spec: ConnectionCapsSpec, column: number) {
    this.#spec = spec;
    this.#table = new Table(spec, column);
    this.#holder = column + 1;
  }

  /** A connection has come. Returns its seat, to be given back by `leave`, or why there is none. */
  enter(address: string, exempt: boolean): number | Refusal {
    const { max, maxPerAddress } = this.#spec;
    const { header } = this.#table;
    const key = exempt || maxPerAddress === 0 ? null : addressKey(address);
    if (!this.#table.lock(this.#holder)) return UNCOUNTED;
    this.#payBack();
    let refusal: Refusal | null = null;
    let seat = max;
    if ((header[ALL] as number) >= max) refusal = "total";
    else if (key === null) {
      (this.#table.column[max] as number)++;
      (header[ALL] as number)++;
    } else {
      const slot = this.#table.find(key);
      if (slot >= 0 && this.#table.total(slot) >= maxPerAddress) refusal = "address";
      else seat = this.#table.add(slot, key);
    }
    this.#table.unlock();
    if (refusal === null) return seat;
    Atomics.add(header, refusal === "total" ? REFUSED_TOTAL : REFUSED_ADDRESS, 1);
    return refusal;
  }

  leave(seat: number): void {
    if (seat === UNCOUNTED) return;
    this.#owed.push(seat);
    if (!this.#table.lock(this.#holder)) return;
    this.#payBack();
    this.#table.unlock();
  }

  #payBack(): void {
    for (let seat = this.#owed.pop(); seat !== undefined; seat = this.#owed.pop()) this.#table.remove(seat);
  }
}

/** The main thread's side: which column belongs to whom. */
export class CapColumns {
  readonly spec: ConnectionCapsSpec;
  readonly #free: number[];

  constructor(spec: ConnectionCapsSpec) {
    this.spec = spec;
    this.#free = Array.from({ length: spec.columns }, (_, i) => spec.columns - 1 - i);
  }

  /** A column for a new thread. */
  open(): number {
    const column = this.#free.pop();
    if (column === undefined) throw new Error("more data threads than columns of the connection caps");
    return column;
  }

  /** The thread is gone, and its connections with it. */
  close(column: number): void {
    const table = new Table(this.spec, column);
    const { header } = table;
    // A lock that the thread held is free from now on, and what it was doing is done anew.
    while (Atomics.compareExchange(header, LOCK, column + 1, MAIN) !== column + 1) {
      if (table.lock(MAIN)) break;
    }
    table.column.fill(0);
    table.rebuild();
    table.unlock();
    this.#free.push(column);
  }

  /** Connections that are counted now. */
  get openConnections(): number {
    return Atomics.load(new Int32Array(this.spec.memory, 0, HEADER), ALL);
  }

  get refused(): Readonly<Record<Refusal, number>> {
    const header = new Int32Array(this.spec.memory, 0, HEADER);
    return {
      total: Atomics.load(header, REFUSED_TOTAL) >>> 0,
      address: Atomics.load(header, REFUSED_ADDRESS) >>> 0,
    };
  }
}
