/**
 * The paths that a route matches: plain prefixes, which must be written the way requests are normalised before
 * matching, and regular expressions after `~`, which must run in linear time.
 */
import { RE2JS } from "re2js";
import { checkPath } from "./fields.ts";

/** Characters whose encoded form means something else than themselves: they stay encoded (RFC 3986 2.2). */
const RESERVED = new Set("!*'();:@&=+$,/?%#[]");

/** Longest pattern, in characters. Compiling is linear in it, but the constant is large (1.5 µs a character). */
const MAX_PATTERN = 4096;

const compiled = new Map<string, string | null>();
const MAX_REMEMBERED = 10_000;

/**
 * Whether a pattern of a user compiles in the linear-time engine; a string says why not. Look-around and
 * back-references do not exist there, as they do not in Kong's router.
 */
export function checkPattern(pattern: string): string | undefined {
  const known = compiled.get(pattern);
  if (known !== undefined) return known ?? undefined;
  const problem = compileProblem(pattern);
  if (compiled.size >= MAX_REMEMBERED) compiled.clear();
  compiled.set(pattern, problem);
  return problem ?? undefined;
}

function compileProblem(pattern: string): string | null {
  if (pattern.length > MAX_PATTERN) return `longer than ${MAX_PATTERN} characters`;
  try {
    RE2JS.compile(pattern);
    return null;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const unsupported = /\(\?[=!<]|\\[1-9]/.test(pattern)
      ? "; look-around and back-references are not available, because patterns run in linear time"
      : "";
    return `${reason}${unsupported}`;
  }
}

/**
 * The form in which a path is compared: unreserved characters decoded, other triplets in upper case, dot
 * segments removed, slashes merged (RFC 3986 6.2.2, Kong's `normalize`).
 */
export function normalizePath(path: string): string {
  const decoded = path.replace(/%([0-9a-fA-F]{2})/g, (triplet, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    const keep = character > "~" || character <= " " || RESERVED.has(character);
    return keep ? triplet.toUpperCase() : character;
  });
  if (!decoded.includes("/.") && !decoded.includes("//")) return decoded;
  const out: string[] = [];
  const segments = decoded.split("/").slice(1);
  segments.forEach((segment, i) => {
    const last = i === segments.length - 1;
    if (segment === "..") {
      out.pop();
      if (last) out.push("");
    } else if (segment === ".") {
      if (last) out.push("");
    } else if (segment !== "" || last) {
      out.push(segment);
    }
  });
  return `/${out.join("/")}`;
}

/** A path of a route: `/prefix` or `~/regular expression`. */
export function checkRouterPath(path: string): string | undefined {
  if (path.startsWith("~/")) {
    const problem = checkPattern(path.slice(1));
    return problem === undefined ? undefined : `invalid regex: '${path.slice(1)}' (${problem})`;
  }
  if (!path.startsWith("/")) return "should start with: / (fixed path) or ~/ (regex path)";
  const wrong = checkPath(path);
  if (wrong !== undefined) return wrong;
  const normal = normalizePath(path);
  return normal === path ? undefined : `non-normalized path, consider use '${normal}' instead`;
}
