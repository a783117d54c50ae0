/**
 * The indexed router against one that follows the definition: all pseudo-routes sorted by priority, their
 * expressions evaluated one by one, the first true one wins. Random routes and requests over small alphabets,
 * so that most requests match several routes.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { MatchInput, RouteInput } from "../../src/router/router.ts";
import { Router } from "../../src/router/router.ts";
import { requests, routeSet } from "./arbitraries.ts";

interface Pseudo {
  route: RouteInput;
  paths: string[];
  priority: bigint;
}

function naivePriority(it: RouteInput, paths: string[]): bigint {
  const headers = Object.keys(it.headers ?? {}).length;
  const kinds = [it.methods, it.hosts, it.snis, paths].filter((list) => list && list.length > 0).length;
  let bits = (kinds + (headers > 0 ? 1 : 0)).toString(2).padStart(3, "0");
  bits += it.hosts && !it.hosts.some((host) => host.includes("*")) ? "1" : "0";
  bits += headers.toString(2).padStart(8, "0");
  const regex = paths[0]?.startsWith("~") ?? false;
  bits += regex ? "1" : "0";
  bits += (regex ? it.regex_priority : 0).toString(2).padStart(32, "0");
  bits += (regex || !paths[0] ? 0 : Buffer.byteLength(paths[0])).toString(2).padStart(19, "0");
  return BigInt(`0b${bits}`);
}

function naiveGroups(it: RouteInput): string[][] {
  const paths = [...(it.paths ?? [])];
  if (paths.length === 0) return [[]];
  const regexes = paths.filter((path) => path.startsWith("~"));
  const lengths = new Set(paths.filter((path) => !path.startsWith("~")).map((path) => path.length));
  const prefixes = [...lengths].map((n) =>
    paths.filter((path) => !path.startsWith("~") && path.length === n),
  );
  return regexes.length > 0 ? [regexes, ...prefixes] : prefixes;
}

const like = (pattern: string, text: string): boolean =>
  pattern.startsWith("*")
    ? text.endsWith(pattern.slice(1))
    : pattern.endsWith("*")
      ? text.startsWith(pattern.slice(0, -1))
      : text === pattern;

function naiveMatch(
  routes: readonly RouteInput[],
  input: MatchInput,
): { id: string; matchedPath: string } | null {
  const all: Pseudo[] = routes.flatMap((it) =>
    naiveGroups(it).map((paths) => ({ route: it, paths, priority: naivePriority(it, paths) })),
  );
  all.sort((a, b) =>
    a.priority === b.priority ? (a.route.id < b.route.id ? 1 : -1) : a.priority < b.priority ? 1 : -1,
  );
  for (const { route: it, paths } of all) {
    if (it.methods?.length && !it.methods.includes(input.method)) continue;
    const hostHolds = (configured: string) => {
      const [host, port] = configured.split(":") as [string, string?];
      return like(host, input.host) && (port === undefined || Number(port) === input.port);
    };
    if (it.hosts?.length && !it.hosts.some(hostHolds)) continue;
    if (it.snis?.length && input.scheme === "https" && !it.snis.some((sni) => like(sni, input.sni ?? "\0")))
      continue;
    const headerHolds = ([name, values]: [string, readonly string[]]) =>
      input
        .headerValues(name)
        .some((value) =>
          values.some((want) =>
            want.startsWith("~*") ? new RegExp(want.slice(2), "i").test(value) : want === value,
          ),
        );
    if (!Object.entries(it.headers ?? {}).every(headerHolds)) continue;
    if (paths.length === 0) return { id: it.id, matchedPath: "" };
    for (const path of paths) {
      if (!path.startsWith("~")) {
        if (input.path.startsWith(path)) return { id: it.id, matchedPath: path };
        continue;
      }
      const found = new RegExp(`^(?:${path.slice(1)})`).exec(input.path);
      if (found) return { id: it.id, matchedPath: found[0] };
    }
  }
  return null;
}

test("the index finds what trying all routes in order of priority finds", () => {
  fc.assert(
    fc.property(routeSet, requests, (routes, inputs) => {
      const router = Router.build(routes.map((it) => ({ route: it, data: it.id })));
      for (const input of inputs) {
        const expected = naiveMatch(routes, input);
        const match = router.match(input);
        assert.deepEqual(match && { id: match.data, matchedPath: match.matchedPath }, expected);
        assert.equal(router.explain(input).winner?.routeId ?? null, expected?.id ?? null);
      }
    }),
    { numRuns: 500 },
  );
});
