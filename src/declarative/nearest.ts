/** The name that somebody most likely meant: the nearest by edits, if it is near at all. */

const MAX_LENGTH = 64;
/** Looking among more names than this costs more than the hint is worth. */
const MAX_NAMES = 2000;
/** Of pairs of letters that are compared for one document: some 0.2 s. A hostile one misspells every name that it has. */
const MAX_COMPARED = 20_000_000;

/** Looks for names, as long as that does not take too much time in all. */
export class Speller {
  #left: number;

  constructor(maxCompared = MAX_COMPARED) {
    this.#left = maxCompared;
  }

  /** @returns null if none is near, or if all the others have taken the time. */
  nearest(name: string, names: Iterable<string>): string | null {
    if (name.length > MAX_LENGTH) return null;
    const lower = name.toLowerCase();
    let best: string | null = null;
    let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
    let looked = 0;
    for (const candidate of names) {
      if (++looked > MAX_NAMES) break;
      if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
      this.#left -= name.length * candidate.length;
      if (this.#left < 0) return null;
      const distance = edits(lower, candidate.toLowerCase());
      if (distance < bestDistance) {
        best = candidate;
        bestDistance = distance;
      }
    }
    return best;
  }
}

/** For a name by itself. */
export function nearest(name: string, names: Iterable<string>): string | null {
  return new Speller().nearest(name, names);
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function edits(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, before[j - 2]! + 1);
      row.push(least);
    }
    before = above;
    above = row;
  }
  return above[b.length]!;
}
