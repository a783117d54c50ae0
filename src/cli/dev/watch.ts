/** Saves in a plugin's directory, told once for all files that are written together. */
import { watch } from "node:fs";
import { basename } from "node:path";

/** After the last of several writes: editors write a file in steps, and some of them two files. */
const SETTLED_MS = 20;
const IGNORED =
  /(?:^|\/)(?:node_modules|target|build|\.[^/]*)(?:\/|$)|\.(?:tgz|wasm|o|lock|log|jsonl)$|~$|\.golden\.json$/;

/**
 * @param made files that building writes: they are no saves.
 * @returns ends it.
 */
export function watchSaves(
  dir: string,
  made: ReadonlySet<string>,
  onSave: (savedAt: number) => void,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  let first = 0;
  const watcher = watch(dir, { recursive: true }, (_, file) => {
    if (file === null || IGNORED.test(file) || made.has(basename(file))) return;
    if (first === 0) first = performance.now();
    clearTimeout(timer);
    timer = setTimeout(() => {
      const savedAt = first;
      first = 0;
      onSave(savedAt);
    }, SETTLED_MS);
  });
  return () => {
    clearTimeout(timer);
    watcher.close();
  };
}
