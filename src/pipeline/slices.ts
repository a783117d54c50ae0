/**
 * Long work between requests: done in slices, with the event loop in between, so that nobody's answer waits for
 * the whole of it.
 */
import { setImmediate as rest } from "node:timers/promises";

/** What a request may have to wait for a slice. A small change is done within one. */
const SLICE_MS = 2;
/** Steps between two looks at the clock. */
const STEPS = 8;

/** Runs `steps` to their end. */
export async function inSlices<R>(steps: Generator<void, R>): Promise<R> {
  for (;;) {
    const until = performance.now() + SLICE_MS;
    do {
      for (let i = 0; i < STEPS; i++) {
        const step = steps.next();
        if (step.done) return step.value;
      }
    } while (performance.now() < until);
    await rest();
  }
}

/** Runs `steps` to their end without a pause: where no request is waiting. */
export function atOnce<R>(steps: Generator<void, R>): R {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
