/**
 * Which route a request belongs to: Kong's `traditional_compatible` rules over one index of all workspaces.
 *
 * Every route is a boolean expression with a priority (priority.ts), and the first that is true in order of
 * priority wins. Trying them one by one costs a walk over all routes, so the index turns it round: the host
 * and the path of the request select the few candidates that can be true at all, and among those the one
 * tried first wins.
 *
 * - A candidate is one path of one pseudo-route. Its `order` is its place in the order of trying; the winner
 *   is the true candidate with the smallest.
 * - Candidates live in buckets, one for each host, wildcard host, and one for routes without hosts.
 * - In a bucket they hang in a trie: a prefix at its own text, a regex at the literal text it starts with. All
 *   candidates for a path are then on one walk, whether there are ten routes or ten thousand.
 * - On that walk the remaining conditions are asked longest prefix first, prefixes before regexes, and only of
 *   candidates that would beat the best so far: the usual winner is found at once, and most regexes never run.
 */

import type { HeaderCondition, NameCondition } from "./conditions.ts";
import {
  headerCondition,
  headerHolds,
  hostCondition,
  isHttpRoute,
  sniCondition,
  sniHolds,
} from "./conditions.ts";
import type { Explanation } from "./explain.ts";
import { explainMatch } from "./explain.ts";
import { byteString } from "./path.ts";
import { HeaderPattern, PathPattern, PatternError, pathText } from "./pattern.ts";
import type { PseudoRoute } from "./priority.ts";
import { byPriority, isRegexPath, pseudoRoutes } from "./priority.ts";
import { PrefixTrie } from "./trie.ts";

/** The fields of a route entity that decide a match. Null and empty both mean: any. */
export interface RouteInput {
  id: string;
  methods: readonly string[] | null;
  /** `host[:port]`, with at most one `*` as the first or last label. */
  hosts: readonly string[] | null;
  /** Prefixes, or regexes behind a `~`. */
  paths: readonly string[] | null;
  /** Values by header name; `~*` starts a regex. */
  headers: Readonly<Record<string, readonly string[]>> | null;
  snis: readonly string[] | null;
  protocols: readonly string[];
  regex_priority: number;
  strip_path: boolean;
}

export interface MatchInput {
  method: string;
  /** Host header without port, lower-case; an IPv6 address in brackets; "" if there is none. */
  host: string;
  /** Destination port of the request. */
  port: number;
  /** Normalised path (`normalizePath`), a byte string. */
  path: string;
  scheme: "http" | "https";
  sni: string | null;
  /** All values of a header by lower-case name; called only when some route matches on headers. */
  headerValues(lowerName: string): readonly string[];
}

export interface Match<T> {
  data: T;
  /** The prefix that matched, or the text that the regex matched; "" if the route has no paths. */
  matchedPath: string;
  /**
   * Groups of the regex that matched, by number ("0" is the whole) and by name; null without groups. Groups
   * that took no part are absent. The object has no prototype and is not reused.
   */
  captures: Record<string, string> | null;
}

/** A route that cannot be built. `field` is the entity's. */
export interface RouteProblem {
  routeId: string;
  field: string;
  message: string;
}

/** Thrown by `Router.build` with everything that is wrong with all routes. */
export class RouterError extends Error {
  override name = "RouterError";
  readonly problems: readonly RouteProblem[];

  constructor(problems: readonly RouteProblem[]) {
    super(problems.map((it) => `route ${it.routeId}: ${it.field}: ${it.message}`).join("\n"));
    this.problems = problems;
  }
}

/** A pseudo-route and what belongs to it, in order of priority. */
export interface Entry<T> {
  readonly pseudo: PseudoRoute;
  readonly data: T;
  readonly methods: readonly string[] | null;
  readonly snis: readonly NameCondition[] | null;
  readonly headers: readonly HeaderCondition[] | null;
}

interface Candidate<T> {
  /** Place in the order of trying; smaller wins. Two hosts of one route share it. */
  readonly order: number;
  readonly entry: Entry<T>;
  /** The prefix as a byte string, or "" for a regex. */
  readonly prefix: string;
  readonly pattern: PathPattern | null;
  /** Port that the host condition asks for; -1 for any. */
  readonly port: number;
}

/** Candidates at one place of a trie, each list in ascending order. */
interface Place<T> {
  readonly prefixes: Candidate<T>[];
  readonly patterns: Candidate<T>[];
}

interface Bucket<T> {
  /** Smallest order in the bucket: one comparison skips the bucket when a better winner is known. */
  readonly first: number;
  readonly paths: PrefixTrie<Place<T>>;
}

interface Patterns {
  readonly paths: Map<string, PathPattern>;
  readonly headers: Map<string, HeaderPattern>;
}

const NONE = Number.MAX_SAFE_INTEGER;

/**
 * Immutable: a changed route means a new router. `match` keeps its working state in fields so that it
 * allocates nothing; it is not re-entrant, and one router serves one thread.
 */
export class Router<T> {
  readonly #entries: readonly Entry<T>[];
  readonly #patterns: Patterns;

  readonly #exact = new Map<string, Bucket<T>>();
  /** `*.x`, keyed by the reversed suffix; `x.*`, keyed by the prefix. Null if no route has one. */
  #suffixes: PrefixTrie<Bucket<T>> | null = null;
  #prefixes: PrefixTrie<Bucket<T>> | null = null;
  #anyHost: Bucket<T> | null = null;

  readonly #buckets: Bucket<T>[] = [];
  readonly #places: Place<T>[] = [];
  #placeCount = 0;
  #hasPatterns = false;
  #best = NONE;
  #winner: Candidate<T> | null = null;
  #result: Match<T> | null = null;

  /**
   * @param previous the router that this one replaces: patterns that both have are not compiled again
   * @throws {RouterError} naming every route and field that cannot be built
   */
  static build<T>(routes: readonly { route: RouteInput; data: T }[], previous?: Router<T>): Router<T> {
    return new Router(routes, previous ?? null);
  }

  private constructor(routes: readonly { route: RouteInput; data: T }[], previous: Router<T> | null) {
    this.#patterns = { paths: new Map(), headers: new Map() };
    const problems: RouteProblem[] = [];
    const unordered: Entry<T>[] = [];
    for (const { route, data } of routes) {
      if (!isHttpRoute(route)) continue;
      const found = this.#compilePatterns(route, previous === null ? null : previous.#patterns);
      if (isEmpty(route))
        found.push(problem(route, "paths", "a route must have methods, hosts, paths, headers or snis"));
      if (found.length > 0) {
        problems.push(...found);
        continue;
      }
      const methods = listOf(route.methods);
      const snis = listOf(route.snis)?.map(sniCondition) ?? null;
      const headers = this.#headerConditions(route);
      for (const pseudo of pseudoRoutes(route)) unordered.push({ pseudo, data, methods, snis, headers });
    }
    if (problems.length > 0) throw new RouterError(problems);

    this.#entries = unordered.sort((a, b) => byPriority(a.pseudo, b.pseudo));
    let order = 0;
    for (const entry of this.#entries) order = this.#index(entry, order);
  }

  #compilePatterns(route: RouteInput, previous: Patterns | null): RouteProblem[] {
    const problems: RouteProblem[] = [];
    const attempt = (field: string, compile: () => void) => {
      try {
        compile();
      } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        problems.push(problem(route, field, error.message));
      }
    };
    const { paths, headers } = this.#patterns;
    for (const [i, path] of (route.paths ?? []).entries()) {
      if (!isRegexPath(path) || paths.has(path)) continue;
      attempt(`paths[${i}]`, () => {
        paths.set(path, previous?.paths.get(path) ?? new PathPattern(path.slice(1)));
      });
    }
    for (const [name, values] of Object.entries(route.headers ?? {})) {
      for (const value of values) {
        const source = value.slice(2);
        if (!value.startsWith("~*") || headers.has(source)) continue;
        attempt(`headers.${name}`, () => {
          headers.set(source, previous?.headers.get(source) ?? new HeaderPattern(source));
        });
      }
    }
    return problems;
  }

  #headerConditions(route: RouteInput): readonly HeaderCondition[] | null {
    const headers = Object.entries(route.headers ?? {});
    if (headers.length === 0) return null;
    return headers.map(([name, values]) =>
      headerCondition(name, values, (source) => this.#patterns.headers.get(source)!),
    );
  }

  /** Hangs an entry's candidates into the index, numbered from `order`; returns the next number. */
  #index(entry: Entry<T>, order: number): number {
    const { route, paths } = entry.pseudo;
    const hosts = listOf(route.hosts)?.map(hostCondition) ?? null;
    for (const path of paths.length > 0 ? paths : [""]) {
      const pattern = isRegexPath(path) ? this.#patterns.paths.get(path)! : null;
      const prefix = pattern ? "" : byteString(path);
      if (hosts === null) {
        this.#anyHost ??= newBucket(order);
        hang(this.#anyHost, { order, entry, prefix, pattern, port: -1 });
      } else {
        for (const { kind, text, port } of hosts) {
          hang(this.#bucketOf(kind, text, order), { order, entry, prefix, pattern, port: port ?? -1 });
        }
      }
      order++;
    }
    return order;
  }

  #bucketOf(kind: "exact" | "suffix" | "prefix", text: string, order: number): Bucket<T> {
    if (kind === "suffix") {
      this.#suffixes ??= new PrefixTrie();
      return this.#suffixes.valueOf(reversed(text), () => newBucket(order));
    }
    if (kind === "prefix") {
      this.#prefixes ??= new PrefixTrie();
      return this.#prefixes.valueOf(text, () => newBucket(order));
    }
    let bucket = this.#exact.get(text);
    if (bucket === undefined) {
      bucket = newBucket(order);
      this.#exact.set(text, bucket);
    }
    return bucket;
  }

  /**
   * The route of a request, or null. The result is one object that the next call overwrites: take its fields
   * before anything is awaited.
   *
   * Hot: runs for every request (bench/router.ts).
   */
  match(input: MatchInput): Match<T> | null {
    this.#best = NONE;
    this.#winner = null;
    this.#placeCount = 0;
    this.#hasPatterns = false;

    const exact = this.#exact.get(input.host);
    if (exact !== undefined) this.#search(exact, input);
    if (this.#suffixes !== null || this.#prefixes !== null) this.#searchWildcards(input);
    if (this.#anyHost !== null) this.#search(this.#anyHost, input);

    let text: string | null = null;
    if (this.#hasPatterns) {
      text = pathText(input.path);
      if (text !== null) this.#searchPatterns(text, input);
    }
    return this.#winner === null ? null : this.#resultFor(this.#winner, text);
  }

  #searchWildcards(input: MatchInput): void {
    let count = 0;
    if (this.#suffixes !== null) count = this.#suffixes.collectBackwards(input.host, this.#buckets, count);
    if (this.#prefixes !== null) count = this.#prefixes.collect(input.host, this.#buckets, count);
    for (let i = 0; i < count; i++) this.#search(this.#buckets[i]!, input);
  }

  /** Asks the bucket's prefixes, and leaves the places on the way for the patterns. */
  #search(bucket: Bucket<T>, input: MatchInput): void {
    if (bucket.first >= this.#best) return;
    const start = this.#placeCount;
    this.#placeCount = bucket.paths.collect(input.path, this.#places, start);
    for (let i = this.#placeCount - 1; i >= start; i--) {
      const { prefixes, patterns } = this.#places[i]!;
      if (patterns.length > 0) this.#hasPatterns = true;
      for (let j = 0; j < prefixes.length; j++) {
        const candidate = prefixes[j]!;
        if (candidate.order >= this.#best) break;
        if (holds(candidate, input)) this.#win(candidate);
      }
    }
  }

  #searchPatterns(text: string, input: MatchInput): void {
    for (let i = this.#placeCount - 1; i >= 0; i--) {
      const { patterns } = this.#places[i]!;
      for (let j = 0; j < patterns.length; j++) {
        const candidate = patterns[j]!;
        if (candidate.order >= this.#best) break;
        if (holds(candidate, input) && candidate.pattern!.test(text)) this.#win(candidate);
      }
    }
  }

  #win(candidate: Candidate<T>): void {
    this.#best = candidate.order;
    this.#winner = candidate;
  }

  #resultFor({ entry, prefix, pattern }: Candidate<T>, text: string | null): Match<T> {
    if (this.#result === null) this.#result = { data: entry.data, matchedPath: prefix, captures: null };
    const result = this.#result;
    result.data = entry.data;
    result.matchedPath = prefix;
    result.captures = null;
    if (pattern !== null && text !== null) {
      const found = pattern.match(text);
      result.matchedPath = found.matchedPath;
      result.captures = found.captures;
    }
    return result;
  }

  /**
   * Why a request goes where it goes: the routes that match, in order of trying, and the attributes by which
   * each does. Tries every route, so it is for people and not for requests.
   */
  explain(input: MatchInput): Explanation {
    return explainMatch(this.#entries, this.#patterns.paths, input);
  }
}

/** What the index has not answered: port, method, SNI, headers. */
function holds<T>(candidate: Candidate<T>, input: MatchInput): boolean {
  if (candidate.port !== -1 && candidate.port !== input.port) return false;
  const { methods, snis, headers } = candidate.entry;
  if (methods !== null && !isOneOf(methods, input.method)) return false;
  if (snis !== null && !sniHolds(snis, input)) return false;
  if (headers !== null) {
    for (let i = 0; i < headers.length; i++) if (!headerHolds(headers[i]!, input)) return false;
  }
  return true;
}

/** A loop, as `includes` is a call out of optimised code. */
function isOneOf(values: readonly string[], value: string): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] === value) return true;
  return false;
}

/** Entries are indexed in order of trying, so the first of a bucket and of each list is its smallest. */
function newBucket<T>(first: number): Bucket<T> {
  return { first, paths: new PrefixTrie() };
}

function hang<T>(bucket: Bucket<T>, candidate: Candidate<T>): void {
  const place = bucket.paths.valueOf(candidate.pattern?.literalPrefix ?? candidate.prefix, newPlace<T>);
  (candidate.pattern ? place.patterns : place.prefixes).push(candidate);
}

const newPlace = <T>(): Place<T> => ({ prefixes: [], patterns: [] });

const listOf = (list: readonly string[] | null): readonly string[] | null =>
  list !== null && list.length > 0 ? list : null;

const isEmpty = (route: RouteInput): boolean =>
  !listOf(route.methods) &&
  !listOf(route.hosts) &&
  !listOf(route.paths) &&
  !listOf(route.snis) &&
  Object.keys(route.headers ?? {}).length === 0;

const problem = (route: RouteInput, field: string, message: string): RouteProblem => ({
  routeId: route.id,
  field,
  message,
});

const reversed = (text: string): string => [...text].reverse().join("");
