/** What SQLite's errors mean to an operator: where, what, and what to do. */
import { StoreUnavailable } from "../store.ts";

/** Primary result codes (sqlite.org/rescode.html). */
const CODES = {
  permission: 3,
  busy: 5,
  locked: 6,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

const MEANINGS: Readonly<Record<number, (path: string) => string>> = {
  [CODES.busy]: (path) => `${path} is held by another program for too long; end that one, then try again`,
  [CODES.locked]: (path) => `${path} is held by another program for too long; end that one, then try again`,
  [CODES.full]: (path) =>
    `there is no room for ${path}: its disk (or quota) is full, or the file has reached its bound; nothing was ` +
    "written. Make room; no restart is needed",
  [CODES.readOnly]: (path) =>
    `${path} cannot be written: the file, its directory or its file system is read-only for this user; make it ` +
    "writable, or choose another `prefix`",
  [CODES.permission]: (path) =>
    `${path} may not be opened by this user; give it the file and its directory, or choose another \`prefix\``,
  [CODES.cannotOpen]: (path) =>
    `${path} cannot be opened: its directory is missing or may not be written by this user; make it writable, or ` +
    "choose another `prefix`",
  [CODES.io]: (path) =>
    `${path} cannot be read or written: the disk reports an error (or a limit of file sizes); see the system's log`,
  [CODES.corrupt]: (path) => damaged(path),
  [CODES.notADatabase]: (path) => damaged(path),
};

export function damaged(path: string): string {
  return (
    `${path} is damaged (it is no SQLite database, or not a whole one). It was left as it is. Stop the gateway, move ` +
    `it and the files beside it (${path}-wal, ${path}-shm) away, and put a backup in its place; without a backup, ` +
    "`sqlite3 FILE .recover` may save rows"
  );
}

/** The primary code of an error of SQLite: the lower byte of an extended one. */
const codeOf = (error: unknown): number => ((error as { errcode?: number }).errcode ?? 0) & 0xff;

/** Whether a file is no SQLite database, or not a whole one. */
export const isDamage = (error: unknown): boolean =>
  codeOf(error) === CODES.corrupt || codeOf(error) === CODES.notADatabase;

/** Whether a file, or its disk, is full. */
export const isFull = (error: unknown): boolean => codeOf(error) === CODES.full;

/** An error of SQLite as one for an operator; others as they are. */
export function sqliteFailure(error: unknown, path: string): unknown {
  if (error instanceof StoreUnavailable) return error;
  const { errcode, code } = error as { errcode?: number; code?: string };
  const meaning = errcode === undefined ? undefined : MEANINGS[codeOf(error)];
  if (meaning !== undefined) return new StoreUnavailable(meaning(path), { cause: error });
  if (code === "ENOSPC" || code === "EDQUOT")
    return new StoreUnavailable((MEANINGS[CODES.full] as (path: string) => string)(path), { cause: error });
  if (code === "EROFS" || code === "EACCES" || code === "EPERM" || code === "ENOTDIR" || code === "EEXIST")
    return new StoreUnavailable((MEANINGS[CODES.cannotOpen] as (path: string) => string)(path), {
      cause: error,
    });
  if (errcode !== undefined)
    return new StoreUnavailable(`${path} fails: ${(error as Error).message}`, { cause: error });
  return error;
}
