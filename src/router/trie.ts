/**
 * A radix trie from strings to values, asked one question: which keys does this text start (or end) with?
 * They all lie on one walk from the root, so the answer costs about the length of the text however many
 * keys there are, and allocates nothing.
 *
 * Nodes never change once their edit is over: a later edit copies the nodes on the way to what it changes and
 * shares the rest (`owner` tells whose a node is).
 *
 * Keys are byte strings, which bounds the table of children of a node.
 */

const NO_CHILDREN: never[] = [];

/** Stands for one edit: what it made itself it may change in place. */
export type Owner = object;

export class TrieNode<V> {
  readonly owner: Owner;
  /** Text on the edge that leads here. */
  label: string;
  value: V | null = null;
  /** Children by the first character of their label, less `lowest`: a hole costs less than a hash. */
  children: (TrieNode<V> | null)[] = NO_CHILDREN;
  lowest = 0;

  constructor(label: string, owner: Owner) {
    this.label = label;
    this.owner = owner;
  }

  child(code: number): TrieNode<V> | null {
    const i = code - this.lowest;
    return i >= 0 && i < this.children.length ? this.children[i]! : null;
  }

  /** Of an own node. */
  setChild(child: TrieNode<V>): void {
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

  /** Of an own node. */
  removeChild(code: number): void {
    const { children } = this;
    children[code - this.lowest] = null;
    while (children.length > 0 && children[children.length - 1] === null) children.pop();
    while (children.length > 0 && children[0] === null) {
      children.shift();
      this.lowest++;
    }
  }

  /** This node if it is the owner's, else a copy that is. */
  ownedBy(owner: Owner): TrieNode<V> {
    if (this.owner === owner) return this;
    const copy = new TrieNode<V>(this.label, owner);
    copy.value = this.value;
    copy.lowest = this.lowest;
    copy.children = this.children.length === 0 ? NO_CHILDREN : this.children.slice();
    return copy;
  }
}

/**
 * Changes the value of one key: `change` gets the value that is there or null, and returns the one to be there
 * or null for none. Returns the root of the trie with the change; a root without value and children is empty.
 */
export function updateTrie<V>(
  root: TrieNode<V>,
  key: string,
  owner: Owner,
  change: (value: V | null) => V | null,
): TrieNode<V> {
  // The nodes from the root to the key, each one own and hung into the one before.
  let node = root.ownedBy(owner);
  const way = [node];
  let at = 0;
  while (at < key.length) {
    const child = node.child(key.charCodeAt(at));
    let next: TrieNode<V>;
    if (child === null) {
      next = new TrieNode<V>(key.slice(at), owner);
      at = key.length;
    } else {
      const shared = sharedLength(child.label, key, at);
      next = child.ownedBy(owner);
      if (shared < child.label.length) next = split(next, shared, owner);
      at += shared;
    }
    node.setChild(next);
    way.push(next);
    node = next;
  }
  node.value = change(node.value);
  if (node.value === null) prune(way);
  return way[0]!;
}

/** Takes out what holds nothing: an end without value goes, a node with one child and no value joins it. */
function prune<V>(way: TrieNode<V>[]): void {
  for (let i = way.length - 1; i > 0; i--) {
    const node = way[i]!;
    if (node.value !== null) return;
    if (node.children.length === 0) {
      way[i - 1]!.removeChild(node.label.charCodeAt(0));
      continue;
    }
    // The table is trimmed, so a single child is alone in it.
    if (node.children.length > 1) return;
    const joined = node.children[0]!.ownedBy(node.owner);
    joined.label = node.label + joined.label;
    way[i - 1]!.setChild(joined);
    return;
  }
}

export const isEmptyTrie = <V>(root: TrieNode<V>): boolean =>
  root.value === null && root.children.length === 0;

/**
 * Writes the values of all keys that `text` starts with into `found` from index `count` on, shortest key first,
 * and returns the new count. Hot (bench/router.ts).
 */
export function collect<V>(root: TrieNode<V>, text: string, found: V[], count: number): number {
  let node = root;
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
export function collectBackwards<V>(root: TrieNode<V>, text: string, found: V[], count: number): number {
  let node = root;
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

function sharedLength(label: string, key: string, at: number): number {
  const most = Math.min(label.length, key.length - at);
  let shared = 0;
  while (shared < most && label.charCodeAt(shared) === key.charCodeAt(at + shared)) shared++;
  return shared;
}

/** Puts a node in the middle of the edge to an own node, after `length` characters, and returns it. */
function split<V>(child: TrieNode<V>, length: number, owner: Owner): TrieNode<V> {
  const middle = new TrieNode<V>(child.label.slice(0, length), owner);
  child.label = child.label.slice(length);
  middle.setChild(child);
  return middle;
}
