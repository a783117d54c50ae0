/**
 * The one thread that has the file of recordings. Data threads send what they have recorded, each over a port of its own,
 * and are told when it is kept; the main thread asks for what is there. So nobody who serves waits for a disk.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import type { OwnFileOptions } from "../stores/sqlite/own-file.ts";
import type { KeptRecording } from "./recording.ts";
import {
  type NewRecording,
  type RecordingSummary,
  RecordingsFile,
  type Selection,
} from "./recordings-file.ts";

/** From a data thread. Answered, once it is kept or was not, by its number. */
export interface RecordingRequest {
  readonly id: number;
  readonly kept: NewRecording;
}

/** What the main thread asks for. */
export type Question =
  | { readonly ask: "list" | "get" | "remove"; readonly of: Selection }
  /** The workspace is no more: what arrives of it later is not kept. */
  | { readonly ask: "forget"; readonly of: Pick<Selection, "workspace"> }
  | { readonly ask: "newest"; readonly of: Selection; readonly count: number };

export type ToRecordings =
  | { readonly type: "connect"; readonly port: MessagePort }
  | { readonly type: "ask"; readonly id: number; readonly question: Question }
  | { readonly type: "close" };

/** What a question is answered, by what it asks. */
export interface Answers {
  list: RecordingSummary[];
  get: KeptRecording | null;
  newest: KeptRecording[];
  remove: number;
  forget: number;
}

/** What the thread is started with. */
export interface RecordingsData extends Pick<OwnFileOptions, "path" | "maxBytes"> {
  /** Ids of workspaces that are no more. */
  readonly forgotten: readonly string[];
}

export type FromRecordings =
  | {
      readonly type: "log";
      readonly level: "error";
      readonly message: string;
      readonly fields: Record<string, unknown>;
    }
  | { readonly type: "answer"; readonly id: number; readonly answer: Answers[keyof Answers] }
  | { readonly type: "failed"; readonly id: number; readonly reason: string };

/** One failure tells of all that follow it within this time. */
const QUIET_MS = 10_000;

const main = parentPort as NonNullable<typeof parentPort>;
const tell = (message: FromRecordings) => main.postMessage(message);
let toldAt = Number.NEGATIVE_INFINITY;

const { path, maxBytes, forgotten: gone } = workerData as RecordingsData;
/** No id is given twice. */
const forgotten = new Set(gone);

const file = new RecordingsFile({
  path,
  maxBytes,
  onDamaged: (aside, reason) =>
    tell({
      type: "log",
      level: "error",
      message: "the file of recordings is damaged: it was put aside, and an empty one takes its place",
      fields: { aside, reason },
    }),
});

function add(kept: NewRecording): void {
  if (forgotten.has(kept.workspace)) return;
  try {
    file.add(kept, Date.now());
  } catch (error) {
    if (performance.now() - toldAt < QUIET_MS) return;
    toldAt = performance.now();
    const reason = (error as Error).message;
    tell({ type: "log", level: "error", message: "a request could not be recorded", fields: { reason } });
  }
}

function answer(question: Question): Answers[keyof Answers] {
  const { ask, of } = question;
  const now = Date.now();
  if (ask === "list") return file.list(of, now);
  if (ask === "get") return file.get(of, now);
  if (ask === "forget") forgotten.add(of.workspace);
  return ask === "newest" ? file.newest(of, question.count, now) : file.remove(of);
}

main.on("message", (message: ToRecordings) => {
  if (message.type === "connect") {
    const { port } = message;
    port.on("message", ({ id, kept }: RecordingRequest) => {
      add(kept);
      port.postMessage(id);
    });
  } else if (message.type === "ask") {
    const { id, question } = message;
    try {
      tell({ type: "answer", id, answer: answer(question) });
    } catch (error) {
      tell({ type: "failed", id, reason: (error as Error).message });
    }
  } else {
    file.close();
    process.exit(0);
  }
});
