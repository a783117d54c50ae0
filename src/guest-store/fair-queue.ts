/**
 * What waits for the store, by workspace: turns go round, so that however much one of them asks for, another waits
 * for no more than one turn of each.
 */
import type { Operation } from "./key-value-store.ts";

/** What one turn takes on: small, because whoever asks next waits for it. In units of `weightOf`. */
const TURN_WEIGHT = 64;
const UNIT_BYTES = 4096;

export interface Waiting<T> {
  readonly operation: Operation;
  readonly answer: T;
}

export class FairQueue<T> {
  /** The workspace whose turn is next is first. */
  readonly #queues = new Map<string, Waiting<T>[]>();

  get isEmpty(): boolean {
    return this.#queues.size === 0;
  }

  add(operation: Operation, answer: T): void {
    const workspace =
      "scope" in operation
        ? operation.scope.workspace
        : operation.op === "forget"
          ? operation.owner
          : operation.workspace;
    const queue = this.#queues.get(workspace);
    if (queue === undefined) this.#queues.set(workspace, [{ operation, answer }]);
    else queue.push({ operation, answer });
  }

  /** Takes out what one turn does: by workspace in turn, those of each in their order. */
  next(): Waiting<T>[] {
    const taken: Waiting<T>[] = [];
    let weight = 0;
    // An operation of each workspace, and another one, until the turn is full: at least one of the first.
    while (weight < TURN_WEIGHT && this.#queues.size > 0) {
      const [workspace, queue] = this.#queues.entries().next().value as [string, Waiting<T>[]];
      const one = queue.shift() as Waiting<T>;
      taken.push(one);
      weight += weightOf(one.operation);
      this.#queues.delete(workspace);
      if (queue.length > 0) this.#queues.set(workspace, queue);
    }
    return taken;
  }
}

/** Reading a value costs much less than writing one. */
function weightOf(operation: Operation): number {
  return operation.op === "set" ? 1 + operation.value.length / UNIT_BYTES : 1;
}
