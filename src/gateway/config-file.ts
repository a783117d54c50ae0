/**
 * Notices when the declarative configuration file changes, also when an editor replaces it, or when the folder
 * behind a symbolic link is swapped (as Kubernetes does with a ConfigMap).
 */

import { watch } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Writers take several steps; what follows each other this closely is one change. */
const SETTLE_MS = 50;

/** Tells one state of a file from another. An absent file has one too. */
export async function fileStamp(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => null);
  return found === null ? "absent" : `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}`;
}

/**
 * Calls `onChange` whenever the file is another one than `stamp` tells, which was taken before it was first
 * read: a change in between is noticed too. Returns a function that ends the watch.
 */
export function watchFile(file: string, stamp: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | null = null;
  let known = stamp;
  const check = async () => {
    const now = await fileStamp(file);
    if (now === known) return;
    known = now;
    onChange();
  };
  const settle = () => {
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(check, SETTLE_MS);
  };
  // Whatever happens in the folder may have changed where the name leads.
  const watcher = watch(dirname(file), settle);
  settle();
  return () => {
    if (timer !== null) clearTimeout(timer);
    watcher.close();
  };
}
