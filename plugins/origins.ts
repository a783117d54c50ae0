/**
 * Origins as cors is configured with them. They are matched by hand, because a regular expression in the
 * engine's own dialect can be made to run for ever.
 */

export interface OriginRule {
  /** Whether it stands for one origin alone. */
  readonly literal: boolean;
  /** `origin` is the request's Origin as the client sent it. */
  allows(origin: string): boolean;
}

const LITERAL = /^[A-Za-z0-9.:/_[\]-]+$/;

/** What is wrong with a configured origin, or nothing. */
export function originProblem(text: string): string | undefined {
  if (text === "*" || LITERAL.test(withoutWildcard(text) ?? text)) return undefined;
  return (
    "regular expressions are not built yet here; write '*', an origin (https://example.com), a host " +
    "(example.com), or '*.' before a host for every host below it (https://*.example.com)"
  );
}

/** `https://*.example.com` as `https://.example.com`; undefined without a wildcard. */
function withoutWildcard(text: string): string | undefined {
  const at = text.indexOf("*.");
  if (at < 0 || (at > 0 && !text.startsWith("://", at - 3))) return undefined;
  return text.slice(0, at) + text.slice(at + 1);
}

/** The rule for a sound origin. As in Kong, one without a colon is compared with the host alone. */
export function originRule(text: string): OriginRule {
  const rest = withoutWildcard(text);
  const wanted = normal(rest ?? text);
  const seen = wanted.includes(":") ? normal : host;
  if (rest === undefined) return { literal: true, allows: (origin) => seen(origin) === wanted };
  const start = wanted.slice(0, wanted.indexOf("://") < 0 ? 0 : wanted.indexOf("://") + 3);
  const end = wanted.slice(start.length);
  return {
    literal: false,
    allows(origin) {
      const text = seen(origin);
      if (!text.startsWith(start) || !text.endsWith(end)) return false;
      // What stands for the wildcard must be part of a host: "https://evil.test/.example.com" is no origin.
      return /^[a-z0-9._-]+$/.test(text.slice(start.length, text.length - end.length));
    },
  };
}

/** Lower-case and without the scheme's default port. */
function normal(origin: string): string {
  const lower = origin.toLowerCase();
  if (lower.startsWith("https://") && lower.endsWith(":443")) return lower.slice(0, -4);
  if (lower.startsWith("http://") && lower.endsWith(":80")) return lower.slice(0, -3);
  return lower;
}

function host(origin: string): string {
  const lower = origin.toLowerCase();
  const at = lower.indexOf("://");
  const authority = at < 0 ? lower : lower.slice(at + 3);
  const port = authority.indexOf(":", authority.lastIndexOf("]") + 1);
  return port < 0 ? authority : authority.slice(0, port);
}
