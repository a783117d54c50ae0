/**
 * A map from strings that never changes: an edit makes the next one, which shares with it every part that the
 * edit did not touch. For tables of a hundred thousand entries of which one changes while requests look others
 * up.
 *
 * The parts are the engine's own maps, a few dozen entries each, told apart by a cheap hash over the key: a
 * lookup costs that hash and one lookup in a small map, an edit copies the parts that it writes to and the list
 * of parts. Keys that fall into few parts (somebody may choose them so) make edits dearer, never lookups.
 */

/** Entries of a part, on average, from which the map gets more parts, and how many times more. */
const PART_ENTRIES = 64;
const GROWTH = 16;
/** Characters of a key that its hash looks at, spread over the key. */
const HASHED_BITS = 4;

/** Which part a key is in. */
function partOf(key: string, mask: number): number {
  if (mask === 0) return 0;
  const { length } = key;
  const step = (length >> HASHED_BITS) + 1;
  let hash = length;
  for (let i = 0; i < length; i += step) hash = (Math.imul(hash, 31) + key.charCodeAt(i)) | 0;
  return (hash ^ (hash >>> 15)) & mask;
}

export class PersistentMap<V> {
  readonly size: number;
  /** A power of two of them. */
  readonly #parts: readonly ReadonlyMap<string, V>[];
  readonly #mask: number;

  private constructor(parts: readonly ReadonlyMap<string, V>[], size: number) {
    this.#parts = parts;
    this.#mask = parts.length - 1;
    this.size = size;
  }

  static empty<V>(): PersistentMap<V> {
    return new PersistentMap<V>([new Map()], 0);
  }

  /** Hot: once a request and oftener (bench/router.ts). */
  get(key: string): V | undefined {
    return this.#parts[partOf(key, this.#mask)]!.get(key);
  }

  *values(): Generator<V> {
    for (const part of this.#parts) yield* part.values();
  }

  *entries(): Generator<[key: string, value: V]> {
    for (const part of this.#parts) yield* part.entries();
  }

  edit(): MapEdit<V> {
    return new MapEdit(this.#parts, this.size, (parts, size) => new PersistentMap(parts, size));
  }
}

/** A change on its way to a map. */
export class MapEdit<V> {
  readonly #make: (parts: readonly ReadonlyMap<string, V>[], size: number) => PersistentMap<V>;
  #parts: ReadonlyMap<string, V>[];
  /** Whether this edit made the part, and so may write to it. */
  #own: boolean[];
  #size: number;

  constructor(
    parts: readonly ReadonlyMap<string, V>[],
    size: number,
    make: (parts: readonly ReadonlyMap<string, V>[], size: number) => PersistentMap<V>,
  ) {
    this.#parts = parts.slice();
    this.#own = new Array(parts.length).fill(false);
    this.#size = size;
    this.#make = make;
  }

  get(key: string): V | undefined {
    return this.#parts[partOf(key, this.#parts.length - 1)]!.get(key);
  }

  set(key: string, value: V): void {
    const part = this.#writable(key);
    const before = part.size;
    part.set(key, value);
    if (part.size === before) return;
    if (++this.#size > this.#parts.length * PART_ENTRIES) this.#grow();
  }

  /** Whether it was there. */
  delete(key: string): boolean {
    if (this.get(key) === undefined || !this.#writable(key).delete(key)) return false;
    this.#size--;
    return true;
  }

  values(): Iterable<V> {
    return this.#parts.values().flatMap((part) => part.values());
  }

  done(): PersistentMap<V> {
    const parts = this.#parts;
    // Whoever goes on with the edit would write into a map that is in use.
    this.#parts = [];
    this.#own = [];
    return this.#make(parts, this.#size);
  }

  #writable(key: string): Map<string, V> {
    const at = partOf(key, this.#parts.length - 1);
    if (!this.#own[at]) {
      this.#own[at] = true;
      this.#parts[at] = new Map(this.#parts[at]);
    }
    return this.#parts[at] as Map<string, V>;
  }

  #grow(): void {
    const count = this.#parts.length * GROWTH;
    const parts: Map<string, V>[] = Array.from({ length: count }, () => new Map());
    for (const part of this.#parts)
      for (const [key, value] of part) parts[partOf(key, count - 1)]!.set(key, value);
    this.#parts = parts;
    this.#own = new Array(count).fill(true);
  }
}
