/**
 * The order in which routes are tried, as Kong's `traditional_compatible` router defines it.
 *
 * A route becomes one or more pseudo-routes: all its regex paths together, and its prefix paths grouped by
 * equal length. Each has a 64-bit priority, higher is tried first, and the first that is true wins:
 *
 *     bits  61-63  how many kinds of condition: methods, hosts, headers, snis, paths
 *           60     no host is a wildcard
 *           52-59  how many header names, at most 255
 *           51     the paths are regexes
 *           19-50  regex_priority, for regexes
 *            0-18  length of the prefix in bytes, for prefixes
 *
 * Equal priorities are tried by descending route id.
 */

import type { RouteInput } from "./router.ts";

export interface PseudoRoute {
  readonly route: RouteInput;
  /** The configured paths of this group, in configured order; empty if the route has no paths. */
  readonly paths: readonly string[];
  readonly priority: bigint;
}

export const isRegexPath = (path: string): boolean => path.startsWith("~");

const MAX_HEADER_NAMES = 255;
const MAX_REGEX_PRIORITY = 2 ** 32 - 1;
const MAX_PREFIX_LENGTH = 2 ** 19 - 1;

const has = (list: readonly string[] | null): boolean => list !== null && list.length > 0;

/** The pseudo-routes of one route, in no particular order. */
export function pseudoRoutes(route: RouteInput): PseudoRoute[] {
  const base = basePriority(route);
  if (!has(route.paths)) return [{ route, paths: [], priority: base }];

  const groups = new Map<number, string[]>();
  for (const path of route.paths!) {
    const length = isRegexPath(path) ? -1 : Buffer.byteLength(path);
    const group = groups.get(length);
    if (group) group.push(path);
    else groups.set(length, [path]);
  }
  const pseudo: PseudoRoute[] = [];
  for (const [length, paths] of groups) {
    const rank =
      length === -1 ? (1n << 51n) | (regexPriority(route) << 19n) : BigInt(length & MAX_PREFIX_LENGTH);
    pseudo.push({ route, paths, priority: base | rank });
  }
  return pseudo;
}

/** The bits that all pseudo-routes of a route share. */
function basePriority(route: RouteInput): bigint {
  const headerNames = route.headers === null ? 0 : Object.keys(route.headers).length;
  const kinds =
    Number(has(route.methods)) +
    Number(has(route.hosts)) +
    Number(headerNames > 0) +
    Number(has(route.snis)) +
    Number(has(route.paths));
  // As in Kong, an empty list of hosts has no wildcard in it either.
  const plainHosts = route.hosts?.every((host) => !host.includes("*")) ?? false;
  return (
    (BigInt(kinds) << 61n) |
    (BigInt(plainHosts) << 60n) |
    (BigInt(Math.min(headerNames, MAX_HEADER_NAMES)) << 52n)
  );
}

/** Clamped to its 32 bits; in Kong a negative one would overwrite the bits above. */
const regexPriority = (route: RouteInput): bigint =>
  BigInt(Math.min(Math.max(Math.trunc(route.regex_priority), 0), MAX_REGEX_PRIORITY));

/** Sort order: what is tried first comes first. */
export function byPriority(a: PseudoRoute, b: PseudoRoute): number {
  if (a.priority !== b.priority) return a.priority > b.priority ? -1 : 1;
  if (a.route.id === b.route.id) return 0;
  return a.route.id > b.route.id ? -1 : 1;
}

/** The priority as two small integers, which the engine compares at once: the larger comes first. */
export function placeInOrder({ priority }: PseudoRoute): { kind: number; weight: number } {
  const kind = Number(priority >> 51n);
  const isRegex = (kind & 1) === 1;
  // 32 bits of regex_priority, moved to where a small integer holds them.
  const weight = isRegex ? Number((priority >> 19n) & 0xffff_ffffn) - 2 ** 31 : Number(priority & 0x7_ffffn);
  return { kind, weight };
}
