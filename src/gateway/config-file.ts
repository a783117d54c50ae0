/** Notices when the declarative configuration file changes, also when an editor replaces it. */
import { watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Writers take several steps; what follows each other this closely is one change. */
const SETTLE_MS = 50;

/** Calls `onChange` after each change of the file. Returns a function that ends the watch. */
export function watchFile(file: string, onChange: () => void): () => void {
  let timer: NodeJS.Timeout | null = null;
  const name = basename(file);
  const watcher = watch(dirname(file), (_, changed) => {
    if (changed !== null && changed !== name) return;
    if (timer !== null) clearTimeout(timer);
    timer = setTimeout(onChange, SETTLE_MS);
  });
  return () => {
    if (timer !== null) clearTimeout(timer);
    watcher.close();
  };
}
