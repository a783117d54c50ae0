/**
 * The answer to "why this route?": every route that is true for a request, in the order of trying, with the
 * configured value of each attribute that made it so. Simple data, for a command line to print.
 */

import type { HostCondition } from "./conditions.ts";
import { headerHolds, hostCondition, nameHolds, sniHolds, sniName } from "./conditions.ts";
import { byteString } from "./path.ts";
import type { PathPattern } from "./pattern.ts";
import { pathText } from "./pattern.ts";
import { isRegexPath } from "./priority.ts";
import type { Entry, MatchInput } from "./router.ts";

export interface ExplainedRoute {
  routeId: string;
  /** The 64-bit priority, in hexadecimal with 16 digits, so that text order is number order. */
  priority: string;
  /** By which configured value each condition holds; absent where the route has none. */
  by: { method?: string; host?: string; path?: string; sni?: string; headers?: string[] };
}

export interface Explanation {
  /** The route that serves the request; null is 404. */
  winner: ExplainedRoute | null;
  /** Routes that match too but are tried later. */
  others: ExplainedRoute[];
}

/** Other routes that an explanation lists. */
const MAX_OTHERS = 20;

export function explainMatch<T>(
  entries: readonly Entry<T>[],
  patterns: ReadonlyMap<string, PathPattern>,
  input: MatchInput,
): Explanation {
  const explanation: Explanation = { winner: null, others: [] };
  const text = pathText(input.path);
  for (const entry of entries) {
    const by = reasons(entry, patterns, input, text);
    if (by === null) continue;
    const { route, priority } = entry.pseudo;
    const explained = { routeId: route.id, priority: priority.toString(16).padStart(16, "0"), by };
    if (explanation.winner === null) explanation.winner = explained;
    else if (explanation.others.push(explained) === MAX_OTHERS) break;
  }
  return explanation;
}

function reasons<T>(
  { pseudo, methods, snis, headers }: Entry<T>,
  patterns: ReadonlyMap<string, PathPattern>,
  input: MatchInput,
  text: string | null,
): ExplainedRoute["by"] | null {
  const by: ExplainedRoute["by"] = {};
  const { hosts } = pseudo.route;
  if (methods !== null) {
    if (!methods.includes(input.method)) return null;
    by.method = input.method;
  }
  if (hosts !== null && hosts.length > 0) {
    const host = hosts.map(hostCondition).find((condition) => hostHolds(condition, input));
    if (host === undefined) return null;
    by.host = host.configured;
  }
  if (pseudo.paths.length > 0) {
    const path = pseudo.paths.find((it) =>
      isRegexPath(it) ? text !== null && patterns.get(it)!.test(text) : input.path.startsWith(byteString(it)),
    );
    if (path === undefined) return null;
    by.path = path;
  }
  if (headers !== null) {
    if (!headers.every((header) => headerHolds(header, input))) return null;
    by.headers = headers.map((header) => header.name);
  }
  if (snis !== null) {
    if (!sniHolds(snis, input)) return null;
    if (input.scheme === "https" && input.sni !== null) by.sni = sniName(input.sni);
  }
  return by;
}

const hostHolds = (condition: HostCondition, input: MatchInput): boolean =>
  (condition.port === null || condition.port === input.port) && nameHolds(condition, input.host);
