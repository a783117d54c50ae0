/**
 * Changes to a router: what its index is made of, and how a route is hung into it and taken out again. Each
 * part belongs to the edit that made it (`owner`): that edit writes in it, every later one copies it first.
 */

import { type MapEdit, PersistentMap } from "../persistent/persistent-map.ts";
import {
  type HeaderCondition,
  type HostCondition,
  headerCondition,
  hostCondition,
  isHttpRoute,
  type NameCondition,
  sniCondition,
} from "./conditions.ts";
import { schemeOf } from "./expressions/route-expression.ts";
import { type HostBuckets, HostBucketsEdit, noHostBuckets } from "./host-buckets.ts";
import { byteString } from "./path.ts";
import { HeaderPattern, PathPattern, PatternError } from "./pattern.ts";
import { byPriority, isRegexPath, placeInOrder, pseudoRoutes } from "./priority.ts";
import type { RouteEdit } from "./route-index.ts";
import { type Entry, type RouteInput, type RouteProblem, type Router, RouterError } from "./router.ts";
import { isEmptyTrie, type Owner, TrieNode, updateTrie } from "./trie.ts";

/** One path of a pseudo-route. Two hosts of one route share it. */
export interface Candidate<T> {
  /** Place in the order of trying: the larger `kind`, then `weight`, then `id`, then the smaller `at`. */
  readonly kind: number;
  readonly weight: number;
  readonly id: string;
  /** Place among the paths of the pseudo-route. */
  readonly at: number;
  /** The prefix as a byte string, or "" for a regex. */
  readonly prefix: string;
  readonly pattern: PathPattern | null;
  /** Port that the host condition asks for; -1 for any. */
  readonly port: number;
  /** Beside expressions a route minds its protocols; otherwise null. */
  readonly scheme: "http" | "https" | null;
  readonly methods: readonly string[] | null;
  readonly snis: readonly NameCondition[] | null;
  readonly headers: readonly HeaderCondition[] | null;
  readonly data: T;
}

/** Candidates at one place of a trie, each list in the order of trying. */
export interface Place<T> {
  readonly owner: Owner;
  prefixes: Candidate<T>[];
  patterns: Candidate<T>[];
}

export interface Bucket<T> {
  readonly owner: Owner;
  /**
   * No candidate in the bucket comes before these in the order of trying: one comparison skips the bucket when
   * a better winner is known. What was taken out does not lower them.
   */
  kind: number;
  weight: number;
  paths: TrieNode<Place<T>>;
}

/** A compiled pattern with the number of places that need it: equal ones are compiled once. */
interface Used<P> {
  readonly source: string;
  readonly pattern: P;
  readonly uses: number;
}

/** What a router is made of. */
export interface Parts<T> extends HostBuckets<Bucket<T>> {
  readonly routes: PersistentMap<{ readonly route: RouteInput; readonly data: T }>;
  readonly pathPatterns: PersistentMap<Used<PathPattern>>;
  readonly headerPatterns: PersistentMap<Used<HeaderPattern>>;
}

export const emptyParts = <T>(): Parts<T> => ({
  routes: PersistentMap.empty(),
  ...noHostBuckets(),
  pathPatterns: PersistentMap.empty(),
  headerPatterns: PersistentMap.empty(),
});

export function isTriedBefore<T>(a: Candidate<T>, b: Candidate<T>): boolean {
  if (a.kind !== b.kind) return a.kind > b.kind;
  if (a.weight !== b.weight) return a.weight > b.weight;
  if (a.id !== b.id) return a.id > b.id;
  return a.at < b.at;
}

export class RouterEdit<T> implements RouteEdit<T> {
  readonly #owner: Owner = {};
  readonly #make: (parts: Parts<T>) => Router<T>;
  readonly #routes: MapEdit<{ readonly route: RouteInput; readonly data: T }>;
  readonly #hosts: HostBucketsEdit<Bucket<T>>;
  readonly #pathPatterns: MapEdit<Used<PathPattern>>;
  readonly #headerPatterns: MapEdit<Used<HeaderPattern>>;
  readonly #problems: RouteProblem[] = [];
  /** Lists that were added to out of order: sorted once, at the end. */
  readonly #unsorted = new Set<Candidate<T>[]>();

  constructor(parts: Parts<T>, make: (parts: Parts<T>) => Router<T>) {
    this.#make = make;
    this.#routes = parts.routes.edit();
    this.#hosts = new HostBucketsEdit(parts, this.#owner);
    this.#pathPatterns = parts.pathPatterns.edit();
    this.#headerPatterns = parts.headerPatterns.edit();
  }

  add(route: RouteInput, data: T): void {
    if (!isHttpRoute(route)) return this.remove(route.id);
    // Before the old form of the route goes: what both have is not compiled again.
    const compiled = this.#takePatterns(route);
    this.remove(route.id);
    if (!compiled) return;
    if (isEmpty(route)) {
      this.#wrong(route, "paths", "a route must have methods, hosts, paths, headers or snis");
      return;
    }
    this.#routes.set(route.id, { route, data });
    const candidates = this.#candidates(route, data);
    for (const host of hostsOf(route)) {
      const port = host?.port ?? -1;
      const hung = port === -1 ? candidates : candidates.map((it) => ({ ...it, port }));
      this.#hosts.change(host, (bucket) => {
        const own = ownBucket(bucket, this.#owner);
        for (const candidate of hung) this.#hang(own, candidate);
        return own;
      });
    }
  }

  remove(routeId: string): void {
    const known = this.#routes.get(routeId);
    if (known === undefined) return;
    const { route } = known;
    this.#routes.delete(routeId);
    const keys = new Set(pathsOf(route).map((path) => this.#trieKey(path)));
    for (const host of hostsOf(route)) {
      this.#hosts.change(host, (bucket) => {
        if (bucket === null) return null;
        const own = ownBucket(bucket, this.#owner);
        for (const key of keys)
          own.paths = updateTrie(own.paths, key, this.#owner, (place) => this.#without(place, routeId));
        return isEmptyTrie(own.paths) ? null : own;
      });
    }
    this.#returnPatterns(route);
  }

  done(): Router<T> {
    if (this.#problems.length > 0) throw new RouterError(this.#problems);
    for (const list of this.#unsorted) list.sort((a, b) => (isTriedBefore(a, b) ? -1 : 1));
    return this.#make({
      routes: this.#routes.done(),
      ...this.#hosts.done(),
      pathPatterns: this.#pathPatterns.done(),
      headerPatterns: this.#headerPatterns.done(),
    });
  }

  #wrong(route: RouteInput, field: string, message: string): void {
    this.#problems.push({ routeId: route.id, field, message });
  }

  #candidates(route: RouteInput, data: T): Candidate<T>[] {
    const methods = listOf(route.methods);
    const snis = listOf(route.snis)?.map(sniCondition) ?? null;
    const headers = this.#headerConditions(route);
    const scheme = route.expression === undefined ? null : schemeOf(route.protocols);
    return pseudoRoutes(route).flatMap((pseudo) => {
      const { kind, weight } = placeInOrder(pseudo);
      const paths = pseudo.paths.length > 0 ? pseudo.paths : [""];
      return paths.map((path, at) => {
        const pattern = isRegexPath(path) ? this.#pathPatterns.get(path)!.pattern : null;
        const prefix = pattern ? "" : byteString(path);
        const place = { kind, weight, id: route.id, at, prefix, pattern, port: -1 };
        return { ...place, scheme, methods, snis, headers, data };
      });
    });
  }

  #headerConditions(route: RouteInput): readonly HeaderCondition[] | null {
    const headers = Object.entries(route.headers ?? {});
    if (headers.length === 0) return null;
    return headers.map(([name, values]) =>
      headerCondition(name, values, (source) => this.#headerPatterns.get(source)!.pattern),
    );
  }

  /** Where a path hangs in its bucket's trie. */
  #trieKey(path: string): string {
    return isRegexPath(path) ? this.#pathPatterns.get(path)!.pattern.literalPrefix : byteString(path);
  }

  #hang(bucket: Bucket<T>, candidate: Candidate<T>): void {
    const { kind, weight, pattern, prefix } = candidate;
    if (kind > bucket.kind || (kind === bucket.kind && weight > bucket.weight)) {
      bucket.kind = kind;
      bucket.weight = weight;
    }
    const key = pattern === null ? prefix : pattern.literalPrefix;
    bucket.paths = updateTrie(bucket.paths, key, this.#owner, (place) => {
      const own = ownPlace(place, this.#owner);
      const list = pattern === null ? own.prefixes : own.patterns;
      const last = list.at(-1);
      if (last !== undefined && !isTriedBefore(last, candidate)) this.#unsorted.add(list);
      list.push(candidate);
      return own;
    });
  }

  #without(place: Place<T> | null, routeId: string): Place<T> | null {
    if (place === null) return null;
    const own = ownPlace(place, this.#owner);
    takeOut(own.prefixes, routeId);
    takeOut(own.patterns, routeId);
    return own.prefixes.length + own.patterns.length === 0 ? null : own;
  }

  /** Compiles what no other route has; false, with the problems noted, if some pattern cannot be. */
  #takePatterns(route: RouteInput): boolean {
    const before = this.#problems.length;
    for (const { field, key, source, isPath } of patternsOf(route)) {
      try {
        if (isPath) take(this.#pathPatterns, key, () => new PathPattern(source));
        else take(this.#headerPatterns, key, () => new HeaderPattern(source));
      } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        this.#wrong(route, field, error.message);
      }
    }
    return this.#problems.length === before;
  }

  #returnPatterns(route: RouteInput): void {
    for (const { key, isPath } of patternsOf(route)) {
      if (isPath) giveBack(this.#pathPatterns, key);
      else giveBack(this.#headerPatterns, key);
    }
  }
}

/** Everything that is tried, in that order, with the patterns by path: for people and not for requests. */
export function inOrder<T>(parts: Parts<T>): {
  entries: readonly Entry<T>[];
  patterns: ReadonlyMap<string, PathPattern>;
} {
  const patterns = new Map<string, PathPattern>();
  for (const { source, pattern } of parts.pathPatterns.values()) patterns.set(source, pattern);
  const headerPatterns = parts.headerPatterns;
  const entries: Entry<T>[] = [];
  for (const { route, data } of parts.routes.values()) {
    const headers = Object.entries(route.headers ?? {}).map(([name, values]) =>
      headerCondition(name, values, (source) => headerPatterns.get(source)!.pattern),
    );
    const common = {
      data,
      methods: listOf(route.methods),
      snis: listOf(route.snis)?.map(sniCondition) ?? null,
      headers: headers.length > 0 ? headers : null,
    };
    for (const pseudo of pseudoRoutes(route)) entries.push({ pseudo, ...common });
  }
  return { entries: entries.sort((a, b) => byPriority(a.pseudo, b.pseudo)), patterns };
}

function ownBucket<T>(bucket: Bucket<T> | null, owner: Owner): Bucket<T> {
  if (bucket === null) return { owner, kind: -1, weight: 0, paths: new TrieNode("", owner) };
  return bucket.owner === owner ? bucket : { ...bucket, owner };
}

function ownPlace<T>(place: Place<T> | null, owner: Owner): Place<T> {
  if (place === null) return { owner, prefixes: [], patterns: [] };
  if (place.owner === owner) return place;
  return { owner, prefixes: place.prefixes.slice(), patterns: place.patterns.slice() };
}

function takeOut<T>(list: Candidate<T>[], routeId: string): void {
  let kept = 0;
  for (const candidate of list) if (candidate.id !== routeId) list[kept++] = candidate;
  list.length = kept;
}

function take<P>(patterns: MapEdit<Used<P>>, source: string, compile: () => P): void {
  const known = patterns.get(source);
  patterns.set(
    source,
    known === undefined ? { source, pattern: compile(), uses: 1 } : { ...known, uses: known.uses + 1 },
  );
}

function giveBack<P>(patterns: MapEdit<Used<P>>, source: string): void {
  const known = patterns.get(source)!;
  if (known.uses === 1) patterns.delete(source);
  else patterns.set(source, { ...known, uses: known.uses - 1 });
}

/** The regexes of a route: `key` is what they are known by, `source` what is compiled. */
function patternsOf(route: RouteInput): { field: string; key: string; source: string; isPath: boolean }[] {
  const out: { field: string; key: string; source: string; isPath: boolean }[] = [];
  for (const [i, path] of (route.paths ?? []).entries()) {
    if (isRegexPath(path)) out.push({ field: `paths[${i}]`, key: path, source: path.slice(1), isPath: true });
  }
  for (const [name, values] of Object.entries(route.headers ?? {})) {
    for (const value of values) {
      if (!value.startsWith("~*")) continue;
      const source = value.slice(2);
      out.push({ field: `headers.${name}`, key: source, source, isPath: false });
    }
  }
  return out;
}

/** The conditions on the host; null alone for a route that asks for none. */
const hostsOf = (route: RouteInput): readonly (HostCondition | null)[] =>
  listOf(route.hosts)?.map(hostCondition) ?? [null];

const pathsOf = (route: RouteInput): readonly string[] => listOf(route.paths) ?? [""];

const listOf = (list: readonly string[] | null): readonly string[] | null =>
  list !== null && list.length > 0 ? list : null;

const isEmpty = (route: RouteInput): boolean =>
  !listOf(route.methods) &&
  !listOf(route.hosts) &&
  !listOf(route.paths) &&
  !listOf(route.snis) &&
  Object.keys(route.headers ?? {}).length === 0;
