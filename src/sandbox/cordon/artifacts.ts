/**
 * What an engine has made of the artifacts that it was given. Each data thread loads what it needs and unloads what it
 * needs no more; what no thread needs is let go, so that a cordon that lives for weeks holds what is configured and no
 * version that ever was.
 */
interface Kept<T> {
  readonly made: T;
  /** Threads that have loaded it. */
  holders: number;
}

export class Artifacts<T> {
  readonly #kept = new Map<string, Kept<T>>();

  get(digest: string): T | undefined {
    return this.#kept.get(digest)?.made;
  }

  /** `make` is asked only for the first of those that load it. */
  load(digest: string, make: () => T): void {
    const kept = this.#kept.get(digest);
    if (kept === undefined) this.#kept.set(digest, { made: make(), holders: 1 });
    else kept.holders++;
  }

  unload(digest: string): void {
    const kept = this.#kept.get(digest);
    if (kept !== undefined && --kept.holders === 0) this.#kept.delete(digest);
  }
}
