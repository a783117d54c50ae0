/**
 * The last guard of a thread: where the runtime calls into a connection, an exception costs that connection alone.
 * It is a fault of the gateway, never to be expected, and nothing that a peer does may turn one into the end of all
 * the connections of a thread.
 */

/** What can be closed at once. */
export interface Destroyable {
  destroy(): void;
}

let report: ((error: unknown) => void) | null = null;

/** Tells the calling thread who hears of exceptions that are held back; without anybody they are thrown on. */
export function reportFaults(to: ((error: unknown) => void) | null): void {
  report = to;
}

/** Called with what was caught where the runtime calls: destroys what it came from, and tells of it. */
export function contain(error: unknown, from: Destroyable | null): void {
  try {
    from?.destroy();
  } catch {
    // What could not even be closed has the same cause; one report is enough.
  }
  if (report === null) throw error;
  report(error);
}
