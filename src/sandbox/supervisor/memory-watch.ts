/**
 * Holds the processes of each workspace to what they may take together, however many they are. Beyond it the
 * largest one is killed: it is the one with whose end most is won.
 */

/** What is asked of a cordon here. */
export interface Sized {
  readonly workspace: string | null;
  /** Resident bytes that it shares with nobody. */
  readonly ownBytes: number;
  /** Why it is being killed; null if it is not. */
  readonly cause: object | null;
}

interface Sum<C> {
  bytes: number;
  largest: C;
}

export class MemoryWatch<C extends Sized> {
  readonly #limitOf: (workspace: string) => number;
  readonly #onOver: (cordon: C, bytes: number, limit: number) => void;
  readonly #sums = new Map<string, Sum<C>>();

  constructor(
    limitOf: (workspace: string) => number,
    onOver: (cordon: C, bytes: number, limit: number) => void,
  ) {
    this.#limitOf = limitOf;
    this.#onOver = onOver;
  }

  add(cordon: C): void {
    const { workspace, ownBytes } = cordon;
    if (workspace === null || cordon.cause !== null) return;
    const sum = this.#sums.get(workspace);
    if (sum === undefined) {
      this.#sums.set(workspace, { bytes: ownBytes, largest: cordon });
      return;
    }
    sum.bytes += ownBytes;
    if (ownBytes > sum.largest.ownBytes) sum.largest = cordon;
  }

  /** All have been added: who is over is told of, and the sums begin anew. */
  judge(): void {
    for (const [workspace, { bytes, largest }] of this.#sums) {
      const limit = this.#limitOf(workspace);
      if (bytes > limit) this.#onOver(largest, bytes, limit);
    }
    this.#sums.clear();
  }
}
