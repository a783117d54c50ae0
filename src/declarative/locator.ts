/** Where in a YAML text something stands, by the way that leads to it. */
import { type Document, isMap, isScalar, isSeq, type LineCounter, type Pair, type YAMLMap } from "yaml";

export interface Place {
  /** Both count from 1. */
  line: number;
  column: number;
}

/** What the place is wanted of. */
export interface Asked {
  readonly path: readonly (string | number)[];
  /** Whether its key is meant, if it has one. */
  readonly atKey: boolean;
}

export function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

export function offsetOf(node: unknown): number {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range?.[0] ?? 0;
}

export function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.value === "<<" && key.type === "PLAIN";
}

/**
 * Paths back to places. Maps are indexed on first use, with what is merged into them: a hostile file has many faults in
 * one map, and a map in many merges.
 */
export class Locator {
  readonly #root: unknown;
  readonly #anchors: ReadonlyMap<unknown, unknown>;
  readonly #lines: LineCounter;
  readonly #indexes = new Map<YAMLMap, ReadonlyMap<string, Pair>>();

  constructor(document: Document.Parsed, anchors: ReadonlyMap<unknown, unknown>, lines: LineCounter) {
    this.#root = document.contents;
    this.#anchors = anchors;
    this.#lines = lines;
  }

  locate({ path, atKey }: Asked): Place {
    let node = this.#root;
    let offset = offsetOf(node);
    for (const [i, step] of path.entries()) {
      node = this.#anchors.get(node) ?? node;
      if (isSeq(node) && typeof step === "number") {
        const next = node.items[step];
        if (next === undefined) break;
        node = next;
        offset = offsetOf(node);
        continue;
      }
      const pair = isMap(node) ? this.#index(node).get(String(step)) : undefined;
      if (!pair) break;
      const last = i === path.length - 1;
      offset = offsetOf((last && atKey) || pair.value === null ? pair.key : pair.value);
      node = pair.value;
    }
    return placeAt(this.#lines, offset);
  }

  #index(map: YAMLMap): ReadonlyMap<string, Pair> {
    const known = this.#indexes.get(map);
    if (known !== undefined) return known;
    const index = new Map<string, Pair>();
    for (const pair of map.items) if (isScalar(pair.key)) index.set(String(pair.key.value), pair);
    this.#indexes.set(map, index);
    for (const merge of map.items) {
      if (!isMergeKey(merge.key)) continue;
      const given = this.#anchors.get(merge.value) ?? merge.value;
      for (const part of isSeq(given) ? given.items : [given]) {
        const from = this.#anchors.get(part) ?? part;
        if (!isMap(from)) continue;
        for (const [key, pair] of this.#index(from)) if (!index.has(key)) index.set(key, pair);
      }
    }
    return index;
  }
}
