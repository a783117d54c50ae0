/**
 * Counters of fixed windows that all data threads share, exact without a store: a hash table in a
 * SharedArrayBuffer. It never grows. Each bucket is guarded by a lock held for a few dozen nanoseconds. A lock
 * names the thread that holds it: what a thread held when it ended is released by the main thread, and by nobody
 * before, for a thread that seems to hold a lock for too long may only be waiting for a CPU. Windows outlive the
 * threads that count in them.
 *
 * Every window belongs to a workspace, and workspaces share a bucket fairly: none can fill the table with
 * windows that never give way, and so switch off what others count. When a bucket is full, what gives way to a
 * new key is, in this order:
 *
 * 1. a window that has ended;
 * 2. if another workspace holds at least two windows more than the key's own: of the workspace that holds
 *    most, the coldest below its limit, or else its coldest limit in force;
 * 3. the coldest window of the key's own workspace that is below its limit;
 * 4. if the key's workspace holds none and nobody holds two: the coldest that is below its limit.
 *
 * Within a workspace a window whose limit is reached is never given up, so a flood of new keys cannot lift a
 * limit in force. If nothing may give way, the new key is let through uncounted and `overflows` grows: this is
 * a workspace that has used up its own part, or one of more than ten that meet in a bucket.
 *
 * Keys are hashed with a secret key of the process (HalfSipHash-2-4, 64 bits), so nobody can aim at a bucket.
 */
import { threadId } from "node:worker_threads";

const BUCKET_INTS = 64;
const SLOT_INTS = 6;
const SLOTS = 10;
const FIRST_SLOT = 4;
const HEADER_INTS = 16;
/** Slots hold 32 bits. A larger limit would wrap, perhaps to one that is in force at once and never gives way. */
const MAX_LIMIT = 0x7fffffff;
/** Tries at a lock before its holder is taken to wait for a CPU, and this thread makes room for it. */
const SPINS = 1000;
const MAKE_ROOM_MS = 1;
/** Node's numbers of threads begin at 0, which in a lock is nobody. */
const lockOf = (thread: number) => thread + 1;

/** Where in the header overflows are counted. */
const OVERFLOWS = 0;

// Ints of a slot.
const HASH_LOW = 0;
const HASH_HIGH = 1;
const ENDS_AT = 2;
const COUNT = 3;
const LIMIT = 4;
const OWNER = 5;

/** What `take` answers when the window is exhausted. */
export const EXHAUSTED = -1;

export interface CounterTableSpec {
  readonly memory: SharedArrayBuffer;
  /** Secret of the hash: two words. */
  readonly key: readonly [number, number];
}

/** Makes the memory for a table of at least `windows` counters. */
export function counterTableSpec(windows: number, key: readonly [number, number]): CounterTableSpec {
  const buckets = 2 ** Math.ceil(Math.log2(Math.max(windows / SLOTS, 1)));
  return { memory: new SharedArrayBuffer((HEADER_INTS + buckets * BUCKET_INTS) * 4), key };
}

/** Releases what a thread held that has ended. `thread` is Node's number of it. */
export function releaseCounters({ memory }: CounterTableSpec, thread: number): void {
  const ints = new Int32Array(memory);
  for (let bucket = HEADER_INTS; bucket < ints.length; bucket += BUCKET_INTS)
    Atomics.compareExchange(ints, bucket, lockOf(thread), 0);
}

export class CounterTable {
  readonly #ints: Int32Array;
  readonly #mask: number;
  readonly #key: readonly [number, number];
  readonly #hash = new Uint32Array(2);
  readonly #lockWord = lockOf(threadId);

  constructor({ memory, key }: CounterTableSpec) {
    this.#ints = new Int32Array(memory);
    this.#mask = (this.#ints.length - HEADER_INTS) / BUCKET_INTS - 1;
    this.#key = key;
  }

  /** Keys that were let through uncounted because nothing in their bucket could give way to them. */
  get overflows(): number {
    return Atomics.load(this.#ints, OVERFLOWS);
  }

  /** The tag under which windows of a workspace are held: two that share one by chance (2^-32) share a part. */
  owner(workspaceId: string): number {
    halfSipHash(workspaceId, 0, this.#key, this.#hash);
    return (this.#hash[0] as number) | 0;
  }

  /**
   * Takes one from the window of `key` that ends at `endsAt` (ms since the epoch), on account of the workspace
   * with the tag `owner`. No limit is beyond 2^31 - 1. What gives way to a new window stands at the top of
   * this file.
   * @returns what remains, or EXHAUSTED.
   */
  take(key: string, wanted: number, endsAt: number, now: number, owner = 0): number {
    const limit = Math.min(wanted, MAX_LIMIT);
    const ends = seconds(endsAt);
    const bucket = this.#bucket(key, ends);
    const { low, high } = this.#words();
    const ints = this.#ints;
    this.#lock(bucket);
    // `finally`: a plugin may call close to the end of its stack, and nobody could wait for that lock's release.
    try {
      const slot = this.#slot(bucket, low, high, ends, Math.floor(now / 1000), owner);
      if (slot < 0) {
        Atomics.add(ints, OVERFLOWS, 1);
        return limit - 1;
      }
      ints[slot + LIMIT] = limit;
      const count = ints[slot + COUNT] as number;
      if (count >= limit) return EXHAUSTED;
      ints[slot + COUNT] = count + 1;
      return limit - count - 1;
    } finally {
      Atomics.store(ints, bucket, 0);
    }
  }

  /** Gives back what `take` took. */
  giveBack(key: string, endsAt: number): void {
    const ends = seconds(endsAt);
    const bucket = this.#bucket(key, ends);
    const { low, high } = this.#words();
    const ints = this.#ints;
    this.#lock(bucket);
    try {
      const slot = this.#find(bucket, low, high, ends);
      if (slot >= 0 && (ints[slot + COUNT] as number) > 0) (ints[slot + COUNT] as number)--;
    } finally {
      Atomics.store(ints, bucket, 0);
    }
  }

  /**
   * Gives up every window of an owner: a workspace that is no more.
   * @returns how many were running.
   */
  forget(owner: number, now: number): number {
    const ints = this.#ints;
    let running = 0;
    for (let bucket = HEADER_INTS; bucket < ints.length; bucket += BUCKET_INTS) {
      if (this.#held(bucket, owner) === 0) continue;
      this.#lock(bucket);
      for (let i = 0; i < SLOTS; i++) {
        const slot = bucket + FIRST_SLOT + i * SLOT_INTS;
        if (ints[slot + OWNER] !== owner) continue;
        if ((ints[slot + ENDS_AT] as number) >>> 0 > now / 1000) running++;
        ints.fill(0, slot, slot + SLOT_INTS);
      }
      Atomics.store(ints, bucket, 0);
    }
    return running;
  }

  #bucket(key: string, ends: number): number {
    halfSipHash(key, ends, this.#key, this.#hash);
    return HEADER_INTS + ((this.#hash[0] as number) & this.#mask) * BUCKET_INTS;
  }

  #words(): { low: number; high: number } {
    return { low: (this.#hash[0] as number) | 0, high: (this.#hash[1] as number) | 0 };
  }

  #find(bucket: number, low: number, high: number, ends: number): number {
    const ints = this.#ints;
    for (let i = 0; i < SLOTS; i++) {
      const slot = bucket + FIRST_SLOT + i * SLOT_INTS;
      if (ints[slot + HASH_LOW] === low && ints[slot + HASH_HIGH] === high && ints[slot + ENDS_AT] === ends)
        return slot;
    }
    return -1;
  }

  /** The slot of a window, made if it is not there; -1 if nothing may give way. */
  #slot(bucket: number, low: number, high: number, ends: number, nowSeconds: number, owner: number): number {
    const found = this.#find(bucket, low, high, ends);
    if (found >= 0) return found;
    const ints = this.#ints;
    let victim = -1;
    for (let i = 0; i < SLOTS && victim < 0; i++) {
      const slot = bucket + FIRST_SLOT + i * SLOT_INTS;
      if ((ints[slot + ENDS_AT] as number) >>> 0 <= nowSeconds) victim = slot;
    }
    if (victim < 0) victim = this.#running(bucket, owner);
    if (victim < 0) return -1;
    // A thread that ends in the middle of this leaves a window that has ended.
    ints[victim + ENDS_AT] = 0;
    ints[victim + HASH_LOW] = low;
    ints[victim + HASH_HIGH] = high;
    ints[victim + COUNT] = 0;
    ints[victim + OWNER] = owner;
    ints[victim + ENDS_AT] = ends;
    return victim;
  }

  /** Which of a bucket's windows, all of them running, gives way to a new one of `owner`; -1 for none. */
  #running(bucket: number, owner: number): number {
    const ints = this.#ints;
    const mine = this.#held(bucket, owner);
    let most = 0;
    let greediest = 0;
    for (let i = 0; i < SLOTS; i++) {
      const other = ints[bucket + FIRST_SLOT + i * SLOT_INTS + OWNER] as number;
      if (other === owner) continue;
      const held = this.#held(bucket, other);
      if (held <= most) continue;
      most = held;
      greediest = other;
    }
    // With a difference of one, the two would take the same window from each other again and again.
    const unfair = most >= mine + 2;
    const anybody = mine === 0 && !unfair;
    const from = unfair ? greediest : owner;
    let below = -1;
    let inForce = -1;
    for (let i = 0; i < SLOTS; i++) {
      const slot = bucket + FIRST_SLOT + i * SLOT_INTS;
      if (!anybody && ints[slot + OWNER] !== from) continue;
      const count = ints[slot + COUNT] as number;
      if (count < (ints[slot + LIMIT] as number)) {
        if (below < 0 || count < (ints[below + COUNT] as number)) below = slot;
      } else if (inForce < 0 || count < (ints[inForce + COUNT] as number)) inForce = slot;
    }
    return below < 0 && unfair ? inForce : below;
  }

  /** How many windows of a bucket a workspace holds. */
  #held(bucket: number, owner: number): number {
    let held = 0;
    for (let i = 0; i < SLOTS; i++)
      if (this.#ints[bucket + FIRST_SLOT + i * SLOT_INTS + OWNER] === owner) held++;
    return held;
  }

  #lock(bucket: number): void {
    const ints = this.#ints;
    const own = this.#lockWord;
    for (let spins = 1; ; spins++) {
      const holder = Atomics.compareExchange(ints, bucket, 0, own);
      // Its own: it was thrown out of the middle of a count, before it could let go.
      if (holder === 0 || holder === own) return;
      if (spins % SPINS === 0) Atomics.wait(ints, bucket, holder, MAKE_ROOM_MS);
    }
  }
}

/** Seconds since the epoch, rounded up, as a slot holds them: 32 bits without sign, which last until 2106. */
function seconds(ms: number): number {
  return Math.ceil(ms / 1000) | 0;
}

/** HalfSipHash-2-4 with 64 bits of output over the UTF-16 units of `text` and one more word. */
export function halfSipHash(
  text: string,
  word: number,
  key: readonly [number, number],
  out: Uint32Array,
): void {
  let v0 = key[0] | 0;
  let v1 = (key[1] ^ 0xee) | 0;
  let v2 = (0x6c796765 ^ key[0]) | 0;
  let v3 = (0x74656462 ^ key[1]) | 0;
  const { length } = text;
  const words = (length >> 1) + 3;
  for (let i = 0; i < words + 6; i++) {
    let m = 0;
    if (i < length >> 1) m = text.charCodeAt(2 * i) | (text.charCodeAt(2 * i + 1) << 16);
    else if (i === length >> 1) m = (length & 1) === 1 ? text.charCodeAt(length - 1) : 0;
    else if (i === (length >> 1) + 1) m = word;
    else if (i === (length >> 1) + 2) m = length;
    const absorbing = i < words;
    if (absorbing) v3 ^= m;
    else if (i === words) v2 ^= 0xee;
    // Two rounds for each word; then four for each of the two words of output, taken in steps of two rounds.
    for (let round = 0; round < 2; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    if (absorbing) v0 ^= m;
    else if (i === words + 1) {
      out[0] = v1 ^ v3;
      v1 ^= 0xdd;
    } else if (i === words + 3) {
      out[1] = v1 ^ v3;
      return;
    }
  }
}
