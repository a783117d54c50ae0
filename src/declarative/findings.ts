/** What is wrong with an entity for itself, told with its place and with what was most likely meant. */
import type { Field } from "@gatehouse/sdk";
import type { EntityType, PluginCatalogue } from "../entities/entities.ts";
import { fieldAt } from "../entities/field-at.ts";
import type { Finding } from "../entities/inspect.ts";
import type { Draft, Faults, Path } from "./draft.ts";
import { foundAt } from "./found.ts";
import { OFFERED, suggest, writableNames } from "./gather.ts";
import { pluginHint } from "./plugin-hint.ts";

export function tellFinding(
  draft: Draft,
  { path, message, of, hint, unknownPlugin }: Finding,
  plugins: PluginCatalogue,
  faults: Faults,
): void {
  if (of !== null) return tellViolation(draft, path, message, of, faults);
  const named = unknownPlugin
    ? pluginHint(String(draft.input.name), plugins.names?.(draft.scope.name) ?? [], faults.speller)
    : null;
  faults.entity(draft, path, message, hint ?? named);
}

function tellViolation(
  draft: Draft,
  path: Path,
  message: string,
  of: { readonly schema: Field; readonly prefix: Path },
  faults: Faults,
): void {
  const last = path.at(-1);
  // A broken shorthand is reported itself.
  if (message === "required field missing" && draft.expanded?.has(String(path[0]))) return;
  const unknown = message === "unknown field" && typeof last === "string";
  const inside = path.slice(of.prefix.length, -1);
  const hint = !unknown
    ? null
    : path.length === 1 && draft.type.schemaUnder?.expressions?.fields?.[last] !== undefined
      ? "routes have it under router_flavor: expressions"
      : suggest(last, namesAt(draft.type, of.schema, inside, of.prefix), faults.speller);
  const found = foundAt(draft.type, draft.input, path, message, of, faults.speller);
  faults.entity(draft, path, message, hint ?? found.hint, unknown, found.shown);
}

/** The names that may stand where an unknown one was found. */
function namesAt(type: EntityType, schema: Field, path: Path, prefix: Path): string[] {
  if (path.length === 0 && prefix.length === 0) {
    const names = writableNames(type, schema);
    return type.name === "workspaces" ? [...names, ...OFFERED] : names;
  }
  return Object.keys(fieldAt(schema, path)?.fields ?? {});
}
