/**
 * What hangs at hosts, for an index of routes: a bucket for each exact host, for each `*.x` and `x.*`, and one for
 * whatever asks for no host. Never changes; an edit makes the next ones and shares what it did not touch.
 */
import { type MapEdit, PersistentMap } from "../persistent/persistent-map.ts";
import type { HostCondition } from "./conditions.ts";
import { isEmptyTrie, type Owner, TrieNode, updateTrie } from "./trie.ts";

/** A host or wildcard host, without port. */
export type HostKey = Pick<HostCondition, "kind" | "text">;

export interface HostBuckets<B> {
  readonly exact: PersistentMap<B>;
  /** `*.x`, keyed by the reversed suffix; `x.*`, keyed by the prefix. Null if there is none. */
  readonly suffixes: TrieNode<B> | null;
  readonly prefixes: TrieNode<B> | null;
  readonly anyHost: B | null;
}

export const noHostBuckets = <B>(): HostBuckets<B> => ({
  exact: PersistentMap.empty(),
  suffixes: null,
  prefixes: null,
  anyHost: null,
});

export class HostBucketsEdit<B> {
  readonly #owner: Owner;
  readonly #exact: MapEdit<B>;
  #suffixes: TrieNode<B> | null;
  #prefixes: TrieNode<B> | null;
  #anyHost: B | null;

  /** `owner` is the edit that this one is a part of. */
  constructor(buckets: HostBuckets<B>, owner: Owner) {
    this.#owner = owner;
    this.#exact = buckets.exact.edit();
    this.#suffixes = buckets.suffixes;
    this.#prefixes = buckets.prefixes;
    this.#anyHost = buckets.anyHost;
  }

  /** Changes the bucket of a host, or with null that of no host; as a bucket, null stands for none. */
  change(host: HostKey | null, change: (bucket: B | null) => B | null): void {
    if (host === null) this.#anyHost = change(this.#anyHost);
    else if (host.kind === "suffix")
      this.#suffixes = this.#inTrie(this.#suffixes, [...host.text].reverse().join(""), change);
    else if (host.kind === "prefix") this.#prefixes = this.#inTrie(this.#prefixes, host.text, change);
    else {
      const known = this.#exact.get(host.text) ?? null;
      const next = change(known);
      if (next === null) this.#exact.delete(host.text);
      else if (next !== known) this.#exact.set(host.text, next);
    }
  }

  done(): HostBuckets<B> {
    return {
      exact: this.#exact.done(),
      suffixes: this.#suffixes,
      prefixes: this.#prefixes,
      anyHost: this.#anyHost,
    };
  }

  #inTrie(root: TrieNode<B> | null, key: string, change: (bucket: B | null) => B | null): TrieNode<B> | null {
    const next = updateTrie(root ?? new TrieNode<B>("", this.#owner), key, this.#owner, change);
    return isEmptyTrie(next) ? null : next;
  }
}
