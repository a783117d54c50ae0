/** A thread that reads one document or looks up places in it, says what it found, and ends (read-apart.ts). */
import { getPriority, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { readDocument } from "./document.ts";
import type { DocumentResult, DocumentWork } from "./read-apart.ts";

/** As polite.ts, for good: traffic comes first. */
const LOWER_BY = 5;
const LEAST_PRIORITY = 19;

try {
  // Without an id it is that of the thread that asks.
  setPriority(Math.min(getPriority() + LOWER_BY, LEAST_PRIORITY));
} catch {
  // Whoever runs the gateway may forbid it: the work is done as it is.
}

const { text, asked } = workerData as DocumentWork;
const read = readDocument(text);
const result: DocumentResult = !read.ok
  ? { faults: read.faults }
  : asked === null
    ? { value: read.value }
    : { places: asked.map(read.locate) };
parentPort?.postMessage(result);
