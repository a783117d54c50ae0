/**
 * Which route a request belongs to: Kong's `traditional_compatible` rules over one index of all workspaces.
 *
 * Every route is a boolean expression with a priority (priority.ts), and the first that is true in order of
 * priority wins. Trying them one by one costs a walk over all routes, so the index turns it round: the host
 * and the path of the request select the few candidates that can be true at all, and among those the one
 * tried first wins.
 *
 * - A candidate is one path of one pseudo-route. Its place in the order of trying is its own (priority, id,
 *   place among the route's paths), and not a number over all routes: a change renumbers nobody.
 * - Candidates live in buckets, one for each host, wildcard host, and one for routes without hosts.
 * - In a bucket they hang in a trie: a prefix at its own text, a regex at the literal text it starts with. All
 *   candidates for a path are then on one walk, whether there are ten routes or ten thousand.
 * - On that walk the remaining conditions are asked longest prefix first, prefixes before regexes, and only of
 *   candidates that would beat the best so far: the usual winner is found at once, and most regexes never run.
 *
 * All parts are persistent: an edit (router-edit.ts) copies the way to what it changes and shares the rest.
 */

import type { HeaderCondition, NameCondition } from "./conditions.ts";
import { headerHolds, sniHolds } from "./conditions.ts";
import type { Explanation } from "./explain.ts";
import { type ExplainedRoute, explainClassic, summarize } from "./explain.ts";
import { pathText } from "./pattern.ts";
import type { PseudoRoute } from "./priority.ts";
import type { RouteIndex } from "./route-index.ts";
import type { Bucket, Candidate, Parts, Place } from "./router-edit.ts";
import { emptyParts, inOrder, isTriedBefore, RouterEdit } from "./router-edit.ts";
import { collect, collectBackwards } from "./trie.ts";

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
  /**
   * Under `router_flavor: expressions`, what decides in place of all of the above but `protocols`; null there for
   * a route that has none. Undefined under the other flavour.
   */
  expression?: string | null;
  /** Among expressions, higher is tried first. */
  priority?: number;
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
  /** What follows is read only if an expression asks. Query without its `?`, a byte string. */
  readonly query: string;
  readonly clientIp: string;
  readonly clientPort: number;
  /** Address that the client connected to; "" if it is not known. */
  readonly localIp: string;
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

/**
 * Immutable: a changed route means a new router. `match` keeps its working state in fields so that it
 * allocates nothing; it is not re-entrant, and one router serves one thread.
 */
export class Router<T> implements RouteIndex<T> {
  readonly #parts: Parts<T>;
  readonly #buckets: Bucket<T>[] = [];
  readonly #places: Place<T>[] = [];
  #placeCount = 0;
  #hasPatterns = false;
  #winner: Candidate<T> | null = null;
  /** Kept from the first explanation on: whoever explains once explains again. */
  #inOrder: ReturnType<typeof inOrder<T>> | null = null;
  #result: Match<T> | null = null;

  private constructor(parts: Parts<T>) {
    this.#parts = parts;
  }

  static empty<T>(): Router<T> {
    return new Router<T>(emptyParts());
  }

  /** @throws {RouterError} naming every route and field that cannot be built */
  static build<T>(routes: readonly { route: RouteInput; data: T }[]): Router<T> {
    const edit = Router.empty<T>().edit();
    for (const { route, data } of routes) edit.add(route, data);
    return edit.done();
  }

  edit(): RouterEdit<T> {
    return new RouterEdit(this.#parts, (parts) => new Router(parts));
  }

  /**
   * The route of a request, or null. The result is one object that the next call overwrites: take its fields
   * before anything is awaited.
   *
   * Hot: runs for every request (bench/router.ts).
   */
  match(input: MatchInput): Match<T> | null {
    const { exact, suffixes, prefixes, anyHost } = this.#parts;
    this.#winner = null;
    this.#placeCount = 0;
    this.#hasPatterns = false;

    const own = exact.get(input.host);
    if (own !== undefined) this.#search(own, input);
    if (suffixes !== null || prefixes !== null) this.#searchWildcards(input);
    if (anyHost !== null) this.#search(anyHost, input);

    let text: string | null = null;
    if (this.#hasPatterns) {
      text = pathText(input.path);
      if (text !== null) this.#searchPatterns(text, input);
    }
    return this.#winner === null ? null : this.#resultFor(this.#winner, text);
  }

  #searchWildcards(input: MatchInput): void {
    const { suffixes, prefixes } = this.#parts;
    let count = 0;
    if (suffixes !== null) count = collectBackwards(suffixes, input.host, this.#buckets, count);
    if (prefixes !== null) count = collect(prefixes, input.host, this.#buckets, count);
    for (let i = 0; i < count; i++) this.#search(this.#buckets[i]!, input);
  }

  /** Asks the bucket's prefixes, and leaves the places on the way for the patterns. */
  #search(bucket: Bucket<T>, input: MatchInput): void {
    if (this.#winner !== null && !mayHoldBetter(bucket, this.#winner)) return;
    const start = this.#placeCount;
    this.#placeCount = collect(bucket.paths, input.path, this.#places, start);
    for (let i = this.#placeCount - 1; i >= start; i--) {
      const { prefixes, patterns } = this.#places[i]!;
      if (patterns.length > 0) this.#hasPatterns = true;
      for (let j = 0; j < prefixes.length; j++) {
        const candidate = prefixes[j]!;
        if (this.#winner !== null && !isTriedBefore(candidate, this.#winner)) break;
        if (holds(candidate, input)) this.#winner = candidate;
      }
    }
  }

  #searchPatterns(text: string, input: MatchInput): void {
    for (let i = this.#placeCount - 1; i >= 0; i--) {
      const { patterns } = this.#places[i]!;
      for (let j = 0; j < patterns.length; j++) {
        const candidate = patterns[j]!;
        if (this.#winner !== null && !isTriedBefore(candidate, this.#winner)) break;
        if (holds(candidate, input) && candidate.pattern!.test(text)) this.#winner = candidate;
      }
    }
  }

  #resultFor({ data, prefix, pattern }: Candidate<T>, text: string | null): Match<T> {
    if (this.#result === null) this.#result = { data, matchedPath: prefix, captures: null };
    const result = this.#result;
    result.data = data;
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
    return summarize(this.tried(input), input);
  }

  /** Every route in the order of trying, each with what of it holds for a request. */
  tried(input: MatchInput): Iterable<ExplainedRoute> {
    this.#inOrder ??= inOrder(this.#parts);
    const { entries, patterns } = this.#inOrder;
    return explainClassic(entries, patterns, input);
  }
}

/** Whether the bucket has anything that could be tried before the winner; its bounds may be too high. */
function mayHoldBetter<T>(bucket: Bucket<T>, winner: Candidate<T>): boolean {
  return bucket.kind > winner.kind || (bucket.kind === winner.kind && bucket.weight >= winner.weight);
}

/** What the index has not answered: port, method, SNI, headers. */
function holds<T>(candidate: Candidate<T>, input: MatchInput): boolean {
  const { port, scheme, methods, snis, headers } = candidate;
  if (port !== -1 && port !== input.port) return false;
  if (scheme !== null && scheme !== input.scheme) return false;
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
