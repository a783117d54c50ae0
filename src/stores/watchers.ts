/** Those who want to know when there may be changes; a store tells them. */
export class Watchers {
  readonly #callbacks = new Set<() => void>();

  /** @returns ends it. The same callback may be added twice. */
  add(changed: () => void): () => void {
    const own = () => changed();
    this.#callbacks.add(own);
    return () => this.#callbacks.delete(own);
  }

  tell(): void {
    for (const changed of [...this.#callbacks]) changed();
  }

  clear(): void {
    this.#callbacks.clear();
  }
}
