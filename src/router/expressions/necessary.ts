/**
 * What a request must have for an expression to be true: hosts it is for, beginnings of its path. The index
 * finds expressions by it, and a tenant's expression is held against the hosts that the tenant owns.
 *
 * Only comparisons that nothing goes round count: each side of an `&&`, and an `||` if all its sides ask. It
 * may miss conditions, never make one up.
 */

import type { HostKey } from "../host-buckets.ts";
import { byteString } from "../path.ts";
import { literalPrefix } from "../pattern.ts";
import type { Expression, Predicate } from "./syntax.ts";

/** Each null for nothing that is known to be asked; otherwise one of the list must hold. */
export interface Necessary {
  readonly hosts: readonly HostKey[] | null;
  /** Byte strings that the path begins with. */
  readonly paths: readonly string[] | null;
}

const NOTHING: Necessary = { hosts: null, paths: null };

/** Beyond this many an expression is not worth so many places in an index. */
const MAX_KEYS = 64;

export function necessary(expression: Expression): Necessary {
  switch (expression.kind) {
    case "predicate":
      return ofPredicate(expression);
    case "not":
      return NOTHING;
    case "and":
      return expression.parts.map(necessary).reduce((a, b) => ({
        hosts: better(a.hosts, b.hosts, narrowHosts),
        paths: better(a.paths, b.paths, narrowPaths),
      }));
    case "or":
      return expression.parts.map(necessary).reduce((a, b) => ({
        hosts: union(a.hosts, b.hosts, ({ kind, text }) => `${kind} ${text}`),
        paths: union(a.paths, b.paths, (path) => path),
      }));
  }
}

function ofPredicate({ field, lower, operator, literal }: Predicate): Necessary {
  if (literal.type !== "string") return NOTHING;
  const text = byteString(literal.value);
  if (field === "http.host") {
    // Hosts are in lower case before they are compared: lower() changes nothing.
    if (operator === "==") return { hosts: [{ kind: "exact", text }], paths: null };
    if (operator === "=^") return { hosts: [{ kind: "suffix", text }], paths: null };
    if (operator === "^=") return { hosts: [{ kind: "prefix", text }], paths: null };
    return NOTHING;
  }
  if (lower) return NOTHING;
  if (field === "http.path") {
    if (operator === "==" || operator === "^=") return { hosts: null, paths: [text] };
    if (operator === "~" && literal.value.startsWith("^"))
      return { hosts: null, paths: [literalPrefix(literal.value.slice(1))] };
    return NOTHING;
  }
  const isFirst = field === "http.path.segments.0" || field.startsWith("http.path.segments.0_");
  if (isFirst && (operator === "==" || operator === "^=")) return { hosts: null, paths: [`/${text}`] };
  return NOTHING;
}

/** The one that says more; either may be used. */
function better<K>(
  a: readonly K[] | null,
  b: readonly K[] | null,
  score: (keys: readonly K[]) => number,
): readonly K[] | null {
  if (a === null) return b;
  if (b === null) return a;
  return score(b) > score(a) ? b : a;
}

const narrowHosts = (keys: readonly HostKey[]): number =>
  (keys.every(({ kind }) => kind === "exact") ? 1_000 : 0) - keys.length;

const narrowPaths = (keys: readonly string[]): number =>
  Math.min(...keys.map((key) => key.length)) - keys.length / (MAX_KEYS + 1);

function union<K>(
  a: readonly K[] | null,
  b: readonly K[] | null,
  name: (key: K) => string,
): readonly K[] | null {
  if (a === null || b === null) return null;
  const all = new Map([...a, ...b].map((key) => [name(key), key]));
  return all.size > MAX_KEYS ? null : [...all.values()];
}
