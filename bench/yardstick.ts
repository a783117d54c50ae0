/**
 * A fixed piece of work, timed on the subject's core before every run: what the core itself gave at that minute.
 * On a virtual machine CPU time stretches with what the host's other guests do, and no counter inside shows it;
 * a yardstick that varies by a third says that absolute numbers of this sitting vary by a third too.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Mixes arithmetic, short strings and a table larger than the first-level caches, as a proxy does. */
function work(): number {
  const table = new Uint32Array(1 << 18);
  let state = 1;
  for (let i = 0; i < 6_000_000; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const slot = state >>> 14;
    table[slot] = (table[slot]! + state) >>> 0;
  }
  let text = "";
  for (let i = 0; i < 300_000; i++) text = text.slice(-40) + (table[i & 1023]! & 15).toString(16);
  return state + text.length;
}

/** CPU milliseconds that the fixed work takes on a core now. */
export async function yardstickMs(core: number): Promise<number> {
  const file = fileURLToPath(import.meta.url);
  const { stdout } = await promisify(execFile)("taskset", ["-c", String(core), process.execPath, file]);
  return Number(stdout);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  work();
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(String((user + system) / 1000));
}
