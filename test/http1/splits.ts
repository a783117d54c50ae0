/**
 * The same bytes in one read, in two, in three, and one by one. Cut points that can matter lie where the grammar
 * changes: around line ends, blanks and delimiters. Between them, inside a word, one cut is like another.
 */
import { same, show } from "./compare.ts";
import { cut, everyByte, type Reading } from "./harness.ts";
import { Random } from "./random.ts";

/** Messages up to this length are cut in three everywhere. */
const SHORT = 64;
/** Two-piece splits tried for one message; shorter messages are split everywhere. */
const MAX_SPLITS = 600;
/** Of the cut points around the grammar's edges, so many are paired; of a long message, so few. */
const EDGES = 32;
const LONG = 1500;
const EDGES_OF_LONG = 10;
const RANDOM_PAIRS = 60;

const EDGE_OCTETS = new Set(Buffer.from('\r\n\t :;,="0'));

/**
 * @param exhaustive every cut in two and every pair of cuts, whatever it takes
 * @returns what is wrong, or null if every reading is the same
 */
export function dependsOnSplit(
  bytes: Buffer,
  read: (pieces: Buffer[]) => Reading,
  exhaustive = false,
): string | null {
  const { length } = bytes;
  const whole = read([bytes]);
  const differs = (pieces: Buffer[], what: string): string | null => {
    const reading = read(pieces);
    return same(reading, whole) ? null : `${what}: ${show(reading)}\nat once: ${show(whole)}`;
  };
  const inTwo = exhaustive ? 1 : Math.max(1, Math.ceil(length / MAX_SPLITS));
  for (let at = 1; at < length; at += inTwo) {
    const fault = differs(cut(bytes, at), `cut at ${at}`);
    if (fault !== null) return fault;
  }
  const points = exhaustive || length <= SHORT ? everywhere(length) : edges(bytes);
  for (const [i, first] of points.entries())
    for (const second of points.slice(i + 1)) {
      const fault = differs(cut(bytes, first, second), `cut at ${first} and ${second}`);
      if (fault !== null) return fault;
    }
  const random = new Random(length);
  for (let i = 0; i < RANDOM_PAIRS && length > SHORT; i++) {
    const first = 1 + random.below(length);
    const second = first + random.below(length - first + 1);
    const fault = differs(cut(bytes, first, second), `cut at ${first} and ${second}`);
    if (fault !== null) return fault;
  }
  return differs(everyByte(bytes), "single bytes");
}

function everywhere(length: number): number[] {
  return Array.from({ length: Math.max(0, length - 1) }, (_, i) => i + 1);
}

/** Cut points before and after the octets at which the grammar changes; spread evenly if there are too many. */
function edges(bytes: Buffer): number[] {
  const found = new Set<number>();
  for (const [at, octet] of bytes.entries())
    if (EDGE_OCTETS.has(octet))
      for (const point of [at, at + 1]) if (point > 0 && point < bytes.length) found.add(point);
  const all = [...found];
  const most = bytes.length < LONG ? EDGES : EDGES_OF_LONG;
  if (all.length <= most) return all;
  return Array.from({ length: most }, (_, i) => all[Math.floor((i * all.length) / most)] as number);
}
