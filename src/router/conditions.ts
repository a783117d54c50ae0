/**
 * The conditions of a route, compiled from the wire form: what remains to be asked of a request once the
 * index has found the host and the path. OR within one kind, AND between kinds.
 */

import { byteString } from "./path.ts";
import { HeaderPattern } from "./pattern.ts";
import type { MatchInput, RouteInput } from "./router.ts";

/** A configured name: exact, `*.suffix` or `prefix.*`. */
export interface NameCondition {
  readonly kind: "exact" | "suffix" | "prefix";
  /** The name, lower-case, without the `*`. */
  readonly text: string;
}

/** A configured host: a name with or without a port. */
export interface HostCondition extends NameCondition {
  readonly configured: string;
  readonly port: number | null;
}

export interface HeaderCondition {
  readonly name: string;
  /** The name as it is usually written and, if it differs, with `_` for `-`: Kong treats them as one. */
  readonly lookups: readonly string[];
  /** Lower-case. */
  readonly values: readonly string[];
  readonly patterns: readonly HeaderPattern[];
}

/** `a.com`, `a.com:80`, `*.a.com`, `a.*:80`, `[::1]:80`; a bare IPv6 address is bracketed as in a Host header. */
export function hostCondition(configured: string): HostCondition {
  const lower = byteString(configured.toLowerCase());
  const afterBracket = lower.startsWith("[") ? lower.indexOf("]") + 1 : 0;
  const colon = lower.indexOf(":", afterBracket);
  const bareIpv6 = afterBracket === 0 && colon !== -1 && lower.includes(":", colon + 1);
  if (bareIpv6) return { configured, kind: "exact", text: `[${lower}]`, port: null };

  const host = colon === -1 ? lower : lower.slice(0, colon);
  const port = colon === -1 ? null : Number(lower.slice(colon + 1));
  return { configured, port, ...nameCondition(host) };
}

function nameCondition(name: string): NameCondition {
  if (name.startsWith("*")) return { kind: "suffix", text: name.slice(1) };
  if (name.endsWith("*")) return { kind: "prefix", text: name.slice(0, -1) };
  return { kind: "exact", text: name };
}

export function nameHolds({ kind, text }: NameCondition, name: string): boolean {
  if (kind === "suffix") return name.endsWith(text);
  if (kind === "prefix") return name.startsWith(text);
  return name === text;
}

/** @throws {PatternError} */
export function headerCondition(
  name: string,
  configured: readonly string[],
  pattern: (source: string) => HeaderPattern = (source) => new HeaderPattern(source),
): HeaderCondition {
  const dashed = name.toLowerCase().replaceAll("_", "-");
  const lookups = dashed.includes("-") ? [dashed, dashed.replaceAll("-", "_")] : [dashed];
  const isPattern = (value: string) => value.startsWith("~*");
  return {
    name,
    lookups,
    values: configured.filter((value) => !isPattern(value)).map((value) => value.toLowerCase()),
    patterns: configured.filter(isPattern).map((value) => pattern(value.slice(2))),
  };
}

/** Whether any value of the header in the request is any of the configured ones. */
export function headerHolds(condition: HeaderCondition, input: MatchInput): boolean {
  for (const name of condition.lookups) {
    for (const value of input.headerValues(name)) {
      const lower = value.toLowerCase();
      if (condition.values.includes(lower)) return true;
      for (const pattern of condition.patterns) if (pattern.test(lower)) return true;
    }
  }
  return false;
}

export const sniCondition = (configured: string): NameCondition => nameCondition(sniName(configured));

/** Lower-case, without the trailing dot of a fully qualified name. */
export function sniName(sni: string): string {
  const lower = sni.toLowerCase();
  return lower.length > 1 && lower.endsWith(".") ? lower.slice(0, -1) : lower;
}

/** Whether the SNI is any of the configured names. A request without TLS has none to ask for, and passes. */
export function sniHolds(conditions: readonly NameCondition[], input: MatchInput): boolean {
  if (input.scheme !== "https") return true;
  if (input.sni === null) return false;
  const sni = sniName(input.sni);
  for (let i = 0; i < conditions.length; i++) if (nameHolds(conditions[i]!, sni)) return true;
  return false;
}

/** Stream routes share the entity and never match a request. */
export const isHttpRoute = (route: RouteInput): boolean =>
  route.protocols.some((protocol) => ["http", "https", "grpc", "grpcs"].includes(protocol));
