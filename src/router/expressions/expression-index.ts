/**
 * Which expression a request belongs to: of all that are true the one with the highest `priority`, then the
 * largest route id.
 *
 * Trying them one by one costs a walk over all routes. So each hangs where the requests that it can be true for
 * must come by: in the bucket of a host that it asks for (or of any host), and there in a trie at the beginning
 * of the path that it asks for (or at the root). A request asks only what hangs on its way, best first, and only
 * what comes before the best so far. Expressions without such a condition hang at the root of the bucket for any
 * host, in order: there the first that is true ends the walk.
 */

import { type MapEdit, PersistentMap } from "../../persistent/persistent-map.ts";
import { type HostBuckets, HostBucketsEdit, noHostBuckets } from "../host-buckets.ts";
import type { RouteEdit, RouteIndex } from "../route-index.ts";
import { type Match, type MatchInput, type RouteInput, type RouteProblem, RouterError } from "../router.ts";
import { collect, collectBackwards, isEmptyTrie, type Owner, TrieNode, updateTrie } from "../trie.ts";
import type { Test } from "./compile.ts";
import type { Necessary } from "./necessary.ts";
import { RequestFields } from "./request-fields.ts";
import { compileExpression, FAILED_VALIDATION, type RouteExpression } from "./route-expression.ts";
import { ExpressionError } from "./syntax.ts";

interface Candidate<T> {
  readonly priority: number;
  readonly id: string;
  readonly test: Test;
  readonly data: T;
}

/** Candidates at one place, best first. */
interface Place<T> {
  readonly owner: Owner;
  readonly candidates: Candidate<T>[];
}

type Paths<T> = TrieNode<Place<T>>;

/** A route with its expression. */
export interface Known<T> {
  readonly route: RouteInput;
  readonly expression: RouteExpression;
  readonly data: T;
}

interface Parts<T> extends HostBuckets<Paths<T>> {
  readonly routes: PersistentMap<Known<T>>;
}

export class ExpressionIndex<T> implements RouteIndex<T> {
  readonly #parts: Parts<T>;
  // Working state of `match`, in fields so that it allocates nothing.
  readonly #fields = new RequestFields();
  readonly #buckets: Paths<T>[] = [];
  readonly #places: Place<T>[] = [];
  #winner: Candidate<T> | null = null;
  #matchedLength = 0;
  #matchedPattern: RequestFields["matchedPattern"] = null;
  #result: Match<T> | null = null;

  private constructor(parts: Parts<T>) {
    this.#parts = parts;
  }

  static empty<T>(): ExpressionIndex<T> {
    return new ExpressionIndex<T>({ routes: PersistentMap.empty(), ...noHostBuckets() });
  }

  get size(): number {
    return this.#parts.routes.size;
  }

  /** Every route, in no particular order. */
  routes(): Iterable<Known<T>> {
    return this.#parts.routes.values();
  }

  edit(): ExpressionEdit<T> {
    return new ExpressionEdit(this.#parts, (parts) => new ExpressionIndex(parts));
  }

  /** Hot where expressions are used: runs for every request (bench/expressions.ts). */
  match(input: MatchInput): Match<T> | null {
    const { exact, suffixes, prefixes, anyHost } = this.#parts;
    const fields = this.#fields;
    fields.begin(input);
    this.#winner = null;
    const bucket = exact.get(input.host);
    if (bucket !== undefined) this.#search(bucket, fields);
    if (suffixes !== null || prefixes !== null) {
      let count = 0;
      if (suffixes !== null) count = collectBackwards(suffixes, input.host, this.#buckets, count);
      if (prefixes !== null) count = collect(prefixes, input.host, this.#buckets, count);
      for (let i = 0; i < count; i++) this.#search(this.#buckets[i]!, fields);
    }
    if (anyHost !== null) this.#search(anyHost, fields);
    return this.#winner === null ? null : this.#resultFor(this.#winner, fields);
  }

  #search(bucket: Paths<T>, fields: RequestFields): void {
    const count = collect(bucket, fields.input.path, this.#places, 0);
    for (let i = count - 1; i >= 0; i--) {
      const { candidates } = this.#places[i]!;
      for (let j = 0; j < candidates.length; j++) {
        const candidate = candidates[j]!;
        if (this.#winner !== null && !isTriedBefore(candidate, this.#winner)) break;
        fields.matchedLength = 0;
        fields.matchedPattern = null;
        if (!candidate.test(fields)) continue;
        this.#winner = candidate;
        this.#matchedLength = fields.matchedLength;
        this.#matchedPattern = fields.matchedPattern;
        break;
      }
    }
  }

  #resultFor({ data }: Candidate<T>, fields: RequestFields): Match<T> {
    this.#result ??= { data, matchedPath: "", captures: null };
    const result = this.#result;
    result.data = data;
    result.captures = null;
    if (this.#matchedPattern === null) {
      result.matchedPath = fields.input.path.slice(0, this.#matchedLength);
    } else {
      const found = this.#matchedPattern.match(fields.pathText ?? "");
      result.matchedPath = found.matchedPath;
      result.captures = found.captures;
    }
    return result;
  }
}

export function isTriedBefore(
  a: { readonly priority: number; readonly id: string },
  b: { readonly priority: number; readonly id: string },
): boolean {
  return a.priority === b.priority ? a.id > b.id : a.priority > b.priority;
}

export class ExpressionEdit<T> implements RouteEdit<T> {
  readonly #owner: Owner = {};
  readonly #make: (parts: Parts<T>) => ExpressionIndex<T>;
  readonly #routes: MapEdit<Known<T>>;
  readonly #hosts: HostBucketsEdit<Paths<T>>;
  readonly #problems: RouteProblem[] = [];
  /** Lists that were added to out of order: sorted once, at the end. */
  readonly #unsorted = new Set<Candidate<T>[]>();

  constructor(parts: Parts<T>, make: (parts: Parts<T>) => ExpressionIndex<T>) {
    this.#make = make;
    this.#routes = parts.routes.edit();
    this.#hosts = new HostBucketsEdit(parts, this.#owner);
  }

  /** Routes without an expression are passed over. */
  add(route: RouteInput, data: T): void {
    const known = this.#routes.get(route.id);
    this.remove(route.id);
    if (typeof route.expression !== "string") return;
    const expression = this.#compile(route, known);
    if (expression === null) return;
    this.#routes.set(route.id, { route, expression, data });
    const candidate: Candidate<T> = {
      priority: route.priority ?? 0,
      id: route.id,
      test: expression.test,
      data,
    };
    this.#change(expression.necessary, (place) => {
      const own = ownPlace(place, this.#owner);
      const last = own.candidates.at(-1);
      if (last !== undefined && !isTriedBefore(last, candidate)) this.#unsorted.add(own.candidates);
      own.candidates.push(candidate);
      return own;
    });
  }

  remove(routeId: string): void {
    const known = this.#routes.get(routeId);
    if (known === undefined) return;
    this.#routes.delete(routeId);
    this.#change(known.expression.necessary, (place) => {
      if (place === null) return null;
      const own = ownPlace(place, this.#owner);
      const at = own.candidates.findIndex(({ id }) => id === routeId);
      if (at !== -1) own.candidates.splice(at, 1);
      return own.candidates.length === 0 ? null : own;
    });
  }

  done(): ExpressionIndex<T> {
    if (this.#problems.length > 0) throw new RouterError(this.#problems);
    for (const list of this.#unsorted) list.sort((a, b) => (isTriedBefore(a, b) ? -1 : 1));
    return this.#make({ routes: this.#routes.done(), ...this.#hosts.done() });
  }

  #compile(route: RouteInput, known: Known<T> | undefined): RouteExpression | null {
    const isSame =
      known?.route.expression === route.expression &&
      known?.route.protocols.join() === route.protocols.join();
    if (known !== undefined && isSame) return known.expression;
    try {
      return compileExpression(route.expression as string, route.protocols);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      const message = FAILED_VALIDATION + error.message;
      this.#problems.push({ routeId: route.id, field: "expression", message });
      return null;
    }
  }

  /** Changes every place at which an expression with these conditions hangs. */
  #change({ hosts, paths }: Necessary, change: (place: Place<T> | null) => Place<T> | null): void {
    const inBucket = (bucket: Paths<T> | null): Paths<T> | null => {
      let next = bucket ?? new TrieNode<Place<T>>("", this.#owner);
      for (const path of paths ?? [""]) next = updateTrie(next, path, this.#owner, change);
      return isEmptyTrie(next) ? null : next;
    };
    for (const host of hosts ?? [null]) this.#hosts.change(host, inBucket);
  }
}

function ownPlace<T>(place: Place<T> | null, owner: Owner): Place<T> {
  if (place === null) return { owner, candidates: [] };
  return place.owner === owner ? place : { owner, candidates: place.candidates.slice() };
}
