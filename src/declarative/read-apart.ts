/**
 * Reads the text of a configuration in a thread of its own (document-thread.ts), which holds up nobody: the syntax tree
 * of a hostile mebibyte takes seconds and hundreds of megabytes. What takes too much of either is refused, and both are
 * given back with the thread. A short text takes longer to hand over than to read.
 */
import { Worker } from "node:worker_threads";
import { type DocumentFault, readDocument } from "./document.ts";
import type { Asked, Place } from "./locator.ts";

export interface ApartLimits {
  /** Characters of a text that is read by the caller's thread. */
  readonly here: number;
  /** Of the thread's heap, for a text of no length. */
  readonly heapMiB: number;
  /** Of the same for each mebibyte of the text. */
  readonly heapMiBPerMiB: number;
  /** For a text of no length. */
  readonly ms: number;
  /** For each mebibyte of the text. */
  readonly msPerMiB: number;
}

export const APART_LIMITS: ApartLimits = {
  here: 16 * 1024,
  heapMiB: 256,
  heapMiBPerMiB: 32,
  ms: 10_000,
  msPerMiB: 1000,
};

/** A document as it was read; or why it could not be. */
export type ReadApart =
  | {
      readonly ok: true;
      readonly value: unknown;
      /** Where things are in the text. Of what cannot be looked up within the limits: the beginning. */
      places(asked: readonly Asked[]): Promise<readonly Place[]>;
    }
  | { readonly ok: false; readonly faults: readonly DocumentFault[] };

/** What the thread is given. */
export interface DocumentWork {
  readonly text: string;
  /** Places to look up; null if the values are wanted. */
  readonly asked: readonly Asked[] | null;
}

/** What the thread comes to. */
export type DocumentResult =
  | { readonly value: unknown }
  | { readonly places: readonly Place[] }
  | { readonly faults: readonly DocumentFault[] };

/** Never throws for what the text says. */
export async function readApart(text: string, limits: ApartLimits = APART_LIMITS): Promise<ReadApart> {
  if (text.length <= limits.here) {
    const read = readDocument(text);
    return read.ok ? { ...read, places: async (asked) => asked.map(read.locate) } : read;
  }
  const result = await inThread({ text, asked: null }, limits);
  if (!("value" in result)) return { ok: false, faults: "faults" in result ? result.faults : [] };
  return {
    ok: true,
    value: result.value,
    async places(asked) {
      const found = await inThread({ text, asked }, limits);
      return "places" in found ? found.places : asked.map(() => ({ line: 1, column: 1 }));
    },
  };
}

async function inThread(work: DocumentWork, limits: ApartLimits): Promise<DocumentResult> {
  const MiB = work.text.length / (1 << 20);
  const heapMiB = Math.ceil(limits.heapMiB + limits.heapMiBPerMiB * MiB);
  const ms = Math.ceil(limits.ms + limits.msPerMiB * MiB);
  const { promise, resolve, reject } = Promise.withResolvers<DocumentResult>();
  const refuse = (message: string) => resolve({ faults: [{ line: 1, column: 1, message }] });
  const worker = new Worker(new URL("./document-thread.ts", import.meta.url), {
    name: "document",
    workerData: work,
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMiB },
  });
  worker.on("message", resolve);
  worker.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ERR_WORKER_OUT_OF_MEMORY")
      refuse(`reading this takes more than ${heapMiB} MiB of memory; write it more plainly, or in parts`);
    else reject(error);
  });
  const timer = setTimeout(
    () => refuse(`reading this takes longer than ${ms} ms; write it more plainly, or in parts`),
    ms,
  );
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    // Until it has ended, the memory is taken: the next document's turn comes after that.
    await worker.terminate();
  }
}
