/**
 * A change of the configuration on its way to the data threads: offered to all of them in pieces, put in force by
 * nobody before all have prepared it.
 */
import { setImmediate as rest } from "node:timers/promises";
import { serialize } from "node:v8";
import { inPieces, sizeOf } from "../entities/change.ts";
import type { Deployment } from "./messages.ts";
import { sharedBytes } from "./shared-bytes.ts";
import type { LATE, ThreadHandle } from "./thread-handle.ts";

/** A change that is sound and yet not in force: what a thread has against it. */
export class NotDeployed extends Error {
  override name = "NotDeployed";
}

/** What compiling one entity may take: ten times what it takes (bench/router.ts). */
const ENTITY_PATIENCE_MS = 0.1;
/** What a thread gets on top of `deploy_timeout_ms`, beats or not: it compiles beside traffic. */
const ENTITY_TIME_MS = 1;
/** Entities that are sent at once: a thread takes 2 ms to read so many. */
const PIECE_ENTITIES = 250;
/** What threads get to prepare a change: `deploy_timeout_ms`, and more for a large one. */
export function timeoutOf({ change }: Deployment, deployTimeoutMs: number): number {
  return deployTimeoutMs + sizeOf(change) * ENTITY_TIME_MS;
}

/** Has threads prepare a change. Resolves to what each has against it; null if nothing, or if it is lost. */
export async function offer(
  threads: readonly ThreadHandle[],
  version: number,
  { change, packages }: Deployment,
  timeoutMs: number,
): Promise<(string | null | typeof LATE)[]> {
  const size = sizeOf(change);
  const patienceMs = size * ENTITY_PATIENCE_MS;
  const answers = Promise.all(threads.map((thread) => thread.prepared(version, patienceMs, timeoutMs)));
  for (const piece of inPieces(change, PIECE_ENTITIES)) {
    // Once for all threads, and in pieces: neither the main thread nor one of the others is held up for long.
    const bytes = sharedBytes(serialize(piece));
    for (const thread of threads) thread.post({ kind: "piece", version, bytes });
    if (size > PIECE_ENTITIES) await rest();
  }
  for (const thread of threads) thread.post({ kind: "prepare", version, packages });
  const errors = await answers;
  for (const thread of threads) thread.calm();
  return errors;
}
