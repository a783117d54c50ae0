/**
 * The thread that has the SQLite file. The main thread is the only one that watches and ends guests' processes and data
 * threads: a disk that stalls for seconds, or a write of thousands of rows, must not hold it up.
 */
import { dirname } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import type { PackedRow } from "../packed.ts";
import { StaleRevision, StoreUnavailable } from "../store.ts";
import { DirectoryLock } from "./directory-lock.ts";
import { SqliteFile, type SqliteFileOptions } from "./sqlite-file.ts";
import { migrateSqlite } from "./sqlite-migrations.ts";

export interface ThreadOptions extends SqliteFileOptions {
  /** Whether this process wants the file's directory for itself. */
  readonly lock: boolean;
}

/** Milliseconds between looks for others' writes. */
const POLL_MS = 100;

type Calls = Pick<
  SqliteFile,
  "changesSince" | "write" | "audit" | "health" | "forgetWorkspace" | "forgetAudit"
> & {
  /** The revision; rows come before it. */
  read(): number;
};
export type CallName = keyof Calls;
export type CallArguments<N extends CallName> = Parameters<Calls[N]>;
export type CallResult<N extends CallName> = ReturnType<Calls[N]>;

export type ToThread =
  | { readonly id: number; readonly call: CallName; readonly args: readonly unknown[] }
  | { readonly close: true };

export type FromThread =
  | { readonly ready: true }
  | { readonly changed: true }
  /** It cannot be opened; the thread ends. */
  | { readonly id: null; readonly failed: Failure }
  | Answer;

export type Answer =
  | { readonly id: number; readonly rows: readonly PackedRow[] }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly failed: Failure };

export type Failure =
  | { readonly kind: "stale"; readonly expected: number }
  | { readonly kind: "unavailable" | "bug"; readonly message: string };

const main = parentPort as NonNullable<typeof parentPort>;
const tell = (message: FromThread) => main.postMessage(message);

function failure(error: unknown): Failure {
  if (error instanceof StaleRevision) return { kind: "stale", expected: error.expected };
  const message = error instanceof Error ? error.message : String(error);
  return { kind: error instanceof StoreUnavailable ? "unavailable" : "bug", message };
}

function start({ lock, ...options }: ThreadOptions): void {
  const file = new SqliteFile(options);
  const held = lock ? new DirectoryLock(dirname(options.path)) : null;
  migrateSqlite(file);
  file.changed();
  const poll = setInterval(() => {
    try {
      if (file.changed()) tell({ changed: true });
    } catch {
      // Whoever asks the file for something is told why it cannot be had.
    }
  }, POLL_MS);
  main.on("message", (message: ToThread) => {
    if ("close" in message) {
      clearInterval(poll);
      file.close();
      held?.[Symbol.dispose]();
      main.close();
      return;
    }
    const { id, call, args } = message;
    try {
      if (call === "read") {
        tell({ id, result: file.read((rows) => tell({ id, rows })) });
        return;
      }
      const run = file[call] as (...args: readonly unknown[]) => unknown;
      tell({ id, result: run.apply(file, args as unknown[]) });
    } catch (error) {
      tell({ id, failed: failure(error) });
    }
  });
  tell({ ready: true });
}

try {
  start(workerData as ThreadOptions);
} catch (error) {
  tell({ id: null, failed: failure(error) });
}
