/**
 * path-guard: answers 403 for paths that start with one of the configured prefixes.
 * A prefix ends at a path segment: `/admin` guards `/admin` and `/admin/users`, not `/administrator`.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { Answer, Call, config, log, LogLevel, stringsAt } from "@gatehouse/sdk/assemblyscript";

export function access(): i32 {
  const list = config("deny");
  if (list === null) return 0;
  const prefixes = stringsAt(list, 0);
  const path = new Call().path;
  for (let i = 0; i < prefixes.length; i++) {
    if (!guards(prefixes[i], path)) continue;
    log(LogLevel.info, "refused " + path);
    return new Answer().replyJson(403, '{"message":"Forbidden"}').send();
  }
  return 0;
}

function guards(prefix: string, path: string): bool {
  if (prefix.length == 0 || !path.startsWith(prefix)) return false;
  if (prefix.endsWith("/") || path.length == prefix.length) return true;
  return path.charCodeAt(prefix.length) == 0x2f;
}
