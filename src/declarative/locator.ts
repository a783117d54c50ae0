/** Where in a YAML text something stands, by the way that leads to it. */
import { type Document, isMap, isScalar, isSeq, type LineCounter, type Pair, type YAMLMap } from "yaml";

export interface Place {
  /** Both count from 1. */
  line: number;
  column: number;
}

/** Merges (`<<`) of merges that are followed. */
const MAX_MERGES = 64;

export function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

export function offsetOf(node: unknown): number {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range?.[0] ?? 0;
}

/** Paths back to places. Maps are indexed on first use: a hostile file has many faults in one map. */
export class Locator {
  readonly #root: unknown;
  readonly #anchors: ReadonlyMap<unknown, unknown>;
  readonly #lines: LineCounter;
  readonly #indexes = new Map<YAMLMap, Map<string, Pair>>();

  constructor(document: Document.Parsed, anchors: ReadonlyMap<unknown, unknown>, lines: LineCounter) {
    this.#root = document.contents;
    this.#anchors = anchors;
    this.#lines = lines;
  }

  locate(path: readonly (string | number)[], atKey: boolean): Place {
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
      const pair = isMap(node) ? this.#pair(node, String(step), 0) : undefined;
      if (!pair) break;
      const last = i === path.length - 1;
      offset = offsetOf((last && atKey) || pair.value === null ? pair.key : pair.value);
      node = pair.value;
    }
    return placeAt(this.#lines, offset);
  }

  #pair(map: YAMLMap, key: string, depth: number): Pair | undefined {
    let index = this.#indexes.get(map);
    if (!index) {
      index = new Map();
      for (const pair of map.items) if (isScalar(pair.key)) index.set(String(pair.key.value), pair);
      this.#indexes.set(map, index);
    }
    const own = index.get(key);
    const merge = index.get("<<");
    if (own || !merge || depth > MAX_MERGES) return own;
    const given = this.#anchors.get(merge.value) ?? merge.value;
    for (const part of isSeq(given) ? given.items : [given]) {
      const from = this.#anchors.get(part) ?? part;
      const pair = isMap(from) ? this.#pair(from, key, depth + 1) : undefined;
      if (pair) return pair;
    }
    return undefined;
  }
}
