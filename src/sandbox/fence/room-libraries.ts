/**
 * The shared libraries that the node binary and the isolate addon load: placed in the room's root, they are
 * all of the system that can be seen from inside the fence. The system's own loader is asked for the list.
 */
import { execFile } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";
import { promisify } from "node:util";

const HEADERS = 64 * 1024;
const PROGRAM_INTERPRETER = 3;
const LIST_TIMEOUT_MS = 10_000;

/** Absolute paths where a loader looks for them, the loader itself first. Empty for a binary without libraries. */
export async function librariesOf(node: string, addon: string): Promise<string[]> {
  const loader = loaderOf(node);
  if (loader === null) return [];
  const lists = await Promise.all([node, addon].map((file) => listed(loader, file)));
  return [...new Set([loader, ...lists.flat()])];
}

/** The program that an ELF binary names as its loader. */
function loaderOf(binary: string): string | null {
  const head = Buffer.alloc(HEADERS);
  const file = openSync(binary, "r");
  const length = readSync(file, head, 0, HEADERS, 0);
  closeSync(file);
  if (length < 64 || head.toString("latin1", 0, 4) !== "\x7fELF") return null;
  const first = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  for (let index = 0; index < head.readUInt16LE(56); index++) {
    const at = first + index * size;
    if (at + size > length) return null;
    if (head.readUInt32LE(at) !== PROGRAM_INTERPRETER) continue;
    const start = Number(head.readBigUInt64LE(at + 8));
    const end = head.indexOf(0, start);
    return end > start && end < length ? head.toString("latin1", start, end) : null;
  }
  return null;
}

/** Lines look like `libm.so.6 => /lib/libm.so.6 (0x7f…)`, or `/lib64/ld.so (0x7f…)`. */
async function listed(loader: string, file: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(loader, ["--list", file], {
    timeout: LIST_TIMEOUT_MS,
    env: {},
  });
  return [...stdout.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path]) => path as string);
}
