/**
 * path-guard: answers 403 for paths that start with one of the configured prefixes.
 * A prefix ends at a path segment: `/admin` guards `/admin` and `/admin/users`, not `/administrator`.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { config, log, readInput, writeOutput } from "../../assembly/extism";
import { member, stringAt, stringsAt } from "../../assembly/json";

// {"message":"Forbidden"}
const BODY = "eyJtZXNzYWdlIjoiRm9yYmlkZGVuIn0=";

export function access(): i32 {
  const list = config("deny");
  if (list === null) return 0;
  const prefixes = stringsAt(list, 0);
  const input = readInput();
  const path = stringAt(input, member(input, member(input, 0, "request"), "path"));
  for (let i = 0; i < prefixes.length; i++) {
    if (!guards(prefixes[i], path)) continue;
    log("refused " + path);
    writeOutput(
      '{"reply":{"status":403,"headers":[["Content-Type","application/json; charset=utf-8"]],"body":"' + BODY + '"}}',
    );
    return 0;
  }
  return 0;
}

function guards(prefix: string, path: string): bool {
  if (prefix.length == 0 || !path.startsWith(prefix)) return false;
  if (prefix.endsWith("/") || path.length == prefix.length) return true;
  return path.charCodeAt(prefix.length) == 0x2f;
}
