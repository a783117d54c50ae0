/**
 * Something of which there is only so much, shared out between workspaces: each may have a part, and once all is
 * taken, only those get more that have less than an equal part. So nobody can leave the others with nothing.
 */
export class Shares {
  readonly #total: number;
  readonly #each: number;
  readonly #held = new Map<string, number>();
  #taken = 0;

  constructor(total: number, each: number) {
    this.#total = total;
    this.#each = each;
  }

  /** What a holder has. */
  of(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  /** Whether a holder gets so much more; if so, it has it. */
  take(holder: string, amount: number): boolean {
    const wanted = this.of(holder) + amount;
    const holders = this.#held.size + (this.#held.has(holder) ? 0 : 1);
    if (wanted > this.#each) return false;
    if (this.#taken + amount > this.#total && wanted > this.#total / holders) return false;
    this.add(holder, amount);
    return true;
  }

  /** The holder has so much more, whatever there is. */
  add(holder: string, amount: number): void {
    this.#held.set(holder, this.of(holder) + amount);
    this.#taken += amount;
  }

  give(holder: string, amount: number): void {
    const left = this.of(holder) - amount;
    this.#taken -= amount;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
  }

  /** Who has most; null if nobody has anything. */
  largest(): string | null {
    let largest: string | null = null;
    for (const [holder, amount] of this.#held)
      if (largest === null || amount > this.of(largest)) largest = holder;
    return largest;
  }
}
