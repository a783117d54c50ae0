/**
 * A radix trie from strings to values, asked one question: which keys does this text start (or end) with?
 * They all lie on one walk from the root, so the answer costs about the length of the text however many
 * keys there are, and allocates nothing.
 *
 * Keys are byte strings, which bounds the table of children of a node.
 */

const NO_CHILDREN: never[] = [];

class Node<V> {
  /** Text on the edge that leads here. */
  label: string;
  value: V | null = null;
  /** Children by the first character of their label, less `lowest`: a hole costs less than a hash. */
  children: (Node<V> | null)[] = NO_CHILDREN;
  lowest = 0;

  constructor(label: string) {
    this.label = label;
  }

  child(code: number): Node<V> | null {
    const i = code - this.lowest;
    return i >= 0 && i < this.children.length ? this.children[i]! : null;
  }

  setChild(child: Node<V>): void {
    const code = child.label.charCodeAt(0);
    if (this.children.length === 0) {
      this.children = [];
      this.lowest = code;
    }
    while (code < this.lowest) {
      this.children.unshift(null);
      this.lowest--;
    }
    while (code >= this.lowest + this.children.length) this.children.push(null);
    this.children[code - this.lowest] = child;
  }
}

export class PrefixTrie<V> {
  readonly #root = new Node<V>("");

  /** The value of `key`; made with `make` if there is none yet. */
  valueOf(key: string, make: () => V): V {
    let node = this.#root;
    let at = 0;
    while (at < key.length) {
      const child = node.child(key.charCodeAt(at));
      if (child === null) {
        const leaf = new Node<V>(key.slice(at));
        node.setChild(leaf);
        node = leaf;
        break;
      }
      const shared = sharedLength(child.label, key, at);
      node = shared === child.label.length ? child : split(node, child, shared);
      at += shared;
    }
    node.value ??= make();
    return node.value;
  }

  /**
   * Writes the values of all keys that `text` starts with into `found` from index `count` on, shortest key
   * first, and returns the new count.
   */
  collect(text: string, found: V[], count: number): number {
    let node = this.#root;
    let at = 0;
    for (;;) {
      if (node.value !== null) found[count++] = node.value;
      if (at === text.length) return count;
      const child = node.child(text.charCodeAt(at));
      if (child === null) return count;
      const { label } = child;
      if (label.length > text.length - at) return count;
      for (let i = 1; i < label.length; i++) {
        if (label.charCodeAt(i) !== text.charCodeAt(at + i)) return count;
      }
      at += label.length;
      node = child;
    }
  }

  /** The same for a trie of reversed keys: those that `text` ends with. */
  collectBackwards(text: string, found: V[], count: number): number {
    let node = this.#root;
    let at = text.length;
    for (;;) {
      if (node.value !== null) found[count++] = node.value;
      if (at === 0) return count;
      const child = node.child(text.charCodeAt(at - 1));
      if (child === null) return count;
      const { label } = child;
      if (label.length > at) return count;
      for (let i = 1; i < label.length; i++) {
        if (label.charCodeAt(i) !== text.charCodeAt(at - 1 - i)) return count;
      }
      at -= label.length;
      node = child;
    }
  }
}

function sharedLength(label: string, key: string, at: number): number {
  const most = Math.min(label.length, key.length - at);
  let shared = 0;
  while (shared < most && label.charCodeAt(shared) === key.charCodeAt(at + shared)) shared++;
  return shared;
}

/** Puts a node in the middle of the edge to `child`, after `length` characters, and returns it. */
function split<V>(parent: Node<V>, child: Node<V>, length: number): Node<V> {
  const middle = new Node<V>(child.label.slice(0, length));
  child.label = child.label.slice(length);
  middle.setChild(child);
  parent.setChild(middle);
  return middle;
}
