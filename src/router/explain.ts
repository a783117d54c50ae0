/**
 * The answer to "why this route?": every route that is true for a request, in the order of trying, with each of
 * its conditions and what made it hold; where none is, the routes that missed by least. Simple data, for people
 * to read: every route is tried, so nothing here runs for requests.
 */

import { edits } from "../declarative/nearest.ts";
import type { HostCondition } from "./conditions.ts";
import { headerHolds, hostCondition, nameHolds, sniHolds } from "./conditions.ts";
import { isTriedBefore, type Known } from "./expressions/expression-index.ts";
import { RequestFields } from "./expressions/request-fields.ts";
import { conjunctsOf, schemeOf } from "./expressions/route-expression.ts";
import { byteString } from "./path.ts";
import type { PathPattern } from "./pattern.ts";
import { pathText } from "./pattern.ts";
import { isRegexPath } from "./priority.ts";
import type { Entry, MatchInput } from "./router.ts";

export interface ExplainedCondition {
  kind: "method" | "host" | "path" | "header" | "sni" | "protocol" | "expression";
  /** What the route asks for; one of the list suffices. */
  asks: string[];
  holds: boolean;
  /** Which of the list holds; null if none does, and where the list is not asked one by one. */
  by: string | null;
}

export interface ExplainedRoute {
  routeId: string;
  /** The 64-bit priority, in hexadecimal with 16 digits, so that text order is number order. */
  priority: string;
  isExpression: boolean;
  conditions: ExplainedCondition[];
}

export interface Explanation {
  /** The route that serves the request; null is 404. */
  winner: ExplainedRoute | null;
  /** Routes that match too but are tried later. */
  others: ExplainedRoute[];
  /** If there is no winner: routes of which something holds, those that missed by least first. */
  misses: ExplainedRoute[];
}

const MAX_OTHERS = 20;
const MAX_MISSES = 3;

/** @param routes every route, in the order of trying */
export function summarize(routes: Iterable<ExplainedRoute>, input: MatchInput): Explanation {
  const matching: ExplainedRoute[] = [];
  const misses = new Map<string, { route: ExplainedRoute; distance: number }>();
  for (const route of routes) {
    if (route.conditions.every(({ holds }) => holds)) {
      if (matching.push(route) === MAX_OTHERS + 1) break;
    } else if (matching.length === 0) {
      const distance = distanceOf(route, input);
      const known = misses.get(route.routeId);
      if (distance !== null && (known === undefined || distance < known.distance))
        misses.set(route.routeId, { route, distance });
    }
  }
  const [winner = null, ...others] = matching;
  const nearest = [...misses.values()].sort((a, b) => a.distance - b.distance).slice(0, MAX_MISSES);
  return { winner, others, misses: winner === null ? nearest.map(({ route }) => route) : [] };
}

/**
 * How far a route is from matching; null if it is another one altogether. A host or a path counts more than the
 * rest: who asks for another of both is not near because the method is the same.
 */
function distanceOf({ conditions }: ExplainedRoute, input: MatchInput): number | null {
  let distance = 0;
  let isNear = false;
  let isElsewhere = false;
  for (const { kind, asks, holds } of conditions) {
    const isPlace = kind === "host" || kind === "path";
    if (holds) {
      if (isPlace || (kind === "expression" && !asks[0]?.startsWith("net.protocol"))) isNear = true;
      continue;
    }
    distance += isPlace ? 300 : 100;
    if (isPlace) isElsewhere = true;
    const near = Math.max(...asks.map((ask) => nearness(kind, ask, input)));
    distance -= Math.min(near, isPlace ? 200 : 90);
    if (near > 1) isNear = true;
  }
  const asked = conditions.filter(
    ({ kind, asks }) => kind !== "protocol" && !asks[0]?.startsWith("net.protocol"),
  );
  const only = asked.length === 1 ? asked[0] : undefined;
  // Who asks by another method, or without a header, misses a route that asks for nothing else by little.
  const isSingle = only !== undefined && !/^(?:http\.(?:host|path)|tls\.sni)/.test(placeOf(only));
  const isPartly =
    isSingle || (!isElsewhere && conditions.some(({ kind, holds }) => holds && kind !== "expression"));
  return isNear || isPartly ? distance : null;
}

/** What a condition looks at, as expressions name it. */
function placeOf({ kind, asks }: ExplainedCondition): string {
  if (kind === "expression") return asks[0] ?? "";
  return kind === "sni" ? "tls.sni" : `http.${kind}`;
}

/** Longer names are not compared letter by letter. */
const MAX_COMPARED = 64;

/** How much of what is asked for the request has: above 1 if somebody may have meant it. */
function nearness(kind: ExplainedCondition["kind"], ask: string, input: MatchInput): number {
  if (kind === "path")
    return Math.max(sharedLength(ask.replace(/^~/, ""), input.path), likeness(ask, input.path));
  if (kind === "host") return likeness(ask, input.host);
  if (kind === "sni") return likeness(ask, input.sni ?? "");
  // A single comparison of an expression names what it looks at.
  const [, field, operator, value = ""] =
    /^(http\.host|http\.path|tls\.sni) (==|\^=) "([^"]*)"$/.exec(ask) ?? [];
  if (field === "http.host") return likeness(value, input.host);
  if (field === "tls.sni") return likeness(value, input.sni ?? "");
  if (field !== "http.path") return 0;
  const asked = operator === "^=" ? input.path.slice(0, value.length) : input.path;
  return Math.max(sharedLength(value, asked), likeness(value, asked));
}

/** From 200 for a name that is the same downwards, two for an edit; 0 for another name altogether. */
function likeness(a: string, b: string): number {
  const longer = Math.max(a.length, b.length);
  const most = Math.floor(longer / 3);
  if (longer > MAX_COMPARED || Math.abs(a.length - b.length) > most) return 0;
  const apart = edits(a.toLowerCase(), b.toLowerCase());
  return apart > most ? 0 : 200 - 2 * apart;
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

const hex = (priority: bigint): string => priority.toString(16).padStart(16, "0");

/** Classic routes; `entries` are in the order of trying. */
export function* explainClassic<T>(
  entries: readonly Entry<T>[],
  patterns: ReadonlyMap<string, PathPattern>,
  input: MatchInput,
): Generator<ExplainedRoute> {
  const text = pathText(input.path);
  for (const entry of entries) {
    const { route, priority } = entry.pseudo;
    const conditions = classicConditions(entry, patterns, input, text);
    yield { routeId: route.id, priority: hex(priority), isExpression: false, conditions };
  }
}

function classicConditions<T>(
  { pseudo, methods, snis, headers }: Entry<T>,
  patterns: ReadonlyMap<string, PathPattern>,
  input: MatchInput,
  text: string | null,
): ExplainedCondition[] {
  const conditions: ExplainedCondition[] = [];
  const { route, paths } = pseudo;
  const oneOf = (
    kind: "method" | "host" | "path",
    asks: readonly string[],
    test: (ask: string) => boolean,
  ) => {
    const by = asks.find(test) ?? null;
    conditions.push({ kind, asks: [...asks], holds: by !== null, by });
  };
  const scheme = route.expression === undefined ? null : schemeOf(route.protocols);
  if (scheme !== null)
    conditions.push({ kind: "protocol", asks: [scheme], holds: scheme === input.scheme, by: null });
  if (route.hosts !== null && route.hosts.length > 0)
    oneOf("host", route.hosts, (host) => hostHolds(hostCondition(host), input));
  if (paths.length > 0) {
    oneOf("path", paths, (path) =>
      isRegexPath(path)
        ? text !== null && patterns.get(path)!.test(text)
        : input.path.startsWith(byteString(path)),
    );
  }
  if (methods !== null) oneOf("method", methods, (method) => method === input.method);
  for (const header of headers ?? []) {
    const asks = (route.headers?.[header.name] ?? []).map((value) => `${header.name}: ${value}`);
    conditions.push({ kind: "header", asks, holds: headerHolds(header, input), by: null });
  }
  if (snis !== null)
    conditions.push({ kind: "sni", asks: [...(route.snis ?? [])], holds: sniHolds(snis, input), by: null });
  return conditions;
}

const hostHolds = (condition: HostCondition, input: MatchInput): boolean =>
  (condition.port === null || condition.port === input.port) && nameHolds(condition, input.host);

/** Bits that put every expression before every classic route. */
const EXPRESSION = 0xffn << 56n;

/** Routes with expressions, in the order of trying. */
export function* explainExpressions<T>(
  routes: Iterable<Known<T>>,
  input: MatchInput,
): Generator<ExplainedRoute> {
  const inOrder = [...routes].map(({ route }) => ({ ...route, priority: route.priority ?? 0 }));
  inOrder.sort((a, b) => (isTriedBefore(a, b) ? -1 : 1));
  const fields = new RequestFields();
  fields.begin(input);
  for (const { id, priority, expression, protocols } of inOrder) {
    const conditions = conjunctsOf(expression ?? "", protocols).map(
      ({ text, test }): ExplainedCondition => ({
        kind: "expression",
        asks: [text],
        holds: test(fields),
        by: null,
      }),
    );
    yield { routeId: id, priority: hex(EXPRESSION | BigInt(priority)), isExpression: true, conditions };
  }
}

/** A priority in words, the parts that count most first. */
export function priorityParts({ priority, isExpression }: ExplainedRoute): { name: string; value: number }[] {
  const bits = BigInt(`0x${priority}`);
  const field = (from: bigint, width: bigint) => Number((bits >> from) & ((1n << width) - 1n));
  if (isExpression) {
    return [
      { name: "expression", value: 1 },
      { name: "priority", value: field(0n, 56n) },
    ];
  }
  return [
    { name: "expression", value: 0 },
    { name: "kinds of condition", value: field(61n, 3n) },
    { name: "hosts without wildcard", value: field(60n, 1n) },
    { name: "header names", value: field(52n, 8n) },
    { name: "regex path", value: field(51n, 1n) },
    { name: "regex_priority", value: field(19n, 32n) },
    { name: "bytes of path", value: field(0n, 19n) },
  ];
}
