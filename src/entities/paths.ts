/**
 * The paths and patterns that a route matches by, judged by the router's own rules: what is accepted here
 * compiles there, and a prefix is written as paths are when they are compared.
 */
import { byteString, normalizePath } from "../router/path.ts";
import { HeaderPattern, PathPattern, PatternError, pathText } from "../router/pattern.ts";

/** What was found of patterns already seen: files repeat them, and compiling one takes a tenth of a millisecond. */
const judged = new Map<string, string | undefined>();
const MAX_REMEMBERED = 10_000;

function judge(kind: typeof PathPattern | typeof HeaderPattern, pattern: string): string | undefined {
  const key = `${kind.name} ${pattern}`;
  if (judged.has(key)) return judged.get(key);
  let problem: string | undefined;
  try {
    new kind(pattern);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    problem = `invalid regex: '${pattern}' (${error.message})`;
  }
  if (judged.size >= MAX_REMEMBERED) judged.clear();
  judged.set(key, problem);
  return problem;
}

/** A pattern of a header's value, without its `~*`. */
export function checkHeaderPattern(pattern: string): string | undefined {
  return judge(HeaderPattern, pattern);
}

/** A path of a route: `/prefix` or `~/regular expression`. */
export function checkRouterPath(path: string): string | undefined {
  if (path.startsWith("~/")) return judge(PathPattern, path.slice(1));
  if (!path.startsWith("/")) return "should start with: / (fixed path) or ~/ (regex path)";
  if (path.includes("//")) return "must not have empty segments";
  const ends = /[?#]/.exec(path);
  if (ends) {
    const written = ends[0] === "?" ? "%3F" : "%23";
    return `'${ends[0]}' ends the path of a request, so this can never match; write ${written} if it is meant`;
  }
  const bytes = byteString(path);
  const normal = normalizePath(bytes);
  if (normal === bytes) return undefined;
  return `non-normalized path, consider use '${pathText(normal) ?? normal}' instead`;
}
