/**
 * Names that no new workspace may have: under `/{workspace}/` the Admin API would take them for what stands at its top, so
 * that part of what belongs to the workspace could not be asked for, or would be asked of `default`.
 */
import { ENTITIES, ENTITY_NAMES } from "./entities.ts";

/** First segments of the Admin API's own paths, Kong's that are not there yet included. */
const RESERVED: ReadonlySet<string> = new Set([
  ...ENTITY_NAMES.map((name) => ENTITIES[name].collection),
  "admin-tokens",
  "audit-log",
  "author-keys",
  "cache",
  "clustering",
  "config",
  "debug",
  "endpoints",
  "explain",
  "kong",
  "metrics",
  "plugin-packages",
  "plugin-shares",
  "plugin-tail",
  "plugin-usage",
  "recordings",
  "schemas",
  "status",
  "tags",
  "timers",
]);

/** Why a new workspace cannot have a name; null if it can. */
export function reservedNameFault(name: string): string | null {
  return RESERVED.has(name) ? `'${name}' is a path of the Admin API; choose another name` : null;
}
