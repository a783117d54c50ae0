/**
 * Entities as the audit log keeps them: with nothing by which anybody could get in anywhere, neither what the Admin API
 * shows to nobody nor what it shows to those who may see credentials.
 */
import { type Field, isObject, isReference } from "@gatehouse/sdk";
import type { EntityType } from "../entities/entities.ts";
import { holdsText, REDACTED, SECRET_NAME, textWithoutSecrets } from "../entities/redacted.ts";
import type { Entity } from "../entities/relations.ts";
import { withoutSecrets } from "../entities/shown.ts";

const MAX_DEPTH = 64;

/** @param config schema of a plugin's config; null if nobody knows it, and nothing of it is shown. */
export function withoutAnySecret(
  type: EntityType,
  entity: Entity,
  config: Field | null,
): Record<string, unknown> {
  const { ws_id: _, ...own } = withoutSecrets(type, entity);
  const shown: Record<string, unknown> = { ...own };
  for (const name of [...type.quietFields, ...(type.hashedFields?.(entity) ?? [])])
    if (Object.hasOwn(shown, name)) shown[name] = concealed(shown[name]);
  for (const [name, field] of Object.entries(type.schema.fields ?? {}))
    if (Object.hasOwn(shown, name)) shown[name] = marked(field, shown[name], null);
  if (type.name === "plugins")
    shown.config = config === null ? REDACTED : marked(config, shown.config, SECRET_NAME);
  return shown;
}

/** Without what the schema marks as a secret, and what has the name of one. */
function marked(field: Field | undefined, value: unknown, names: RegExp | null, depth = 0): unknown {
  if (field?.encrypted === true) return concealed(value);
  if (depth > MAX_DEPTH) return REDACTED;
  if (typeof value === "string" && names !== null) return textWithoutSecrets(value);
  if (Array.isArray(value)) return value.map((each) => marked(field?.elements, each, names, depth + 1));
  if (!isObject(value)) return value;
  // What people name themselves, such as header fields, may have the name of a secret anywhere.
  if (field?.type === "map") names = SECRET_NAME;
  const shown = ([name, each]: [string, unknown]): [string, unknown] =>
    names?.test(name) === true && holdsText(each)
      ? [name, concealed(each)]
      : [name, marked(childOf(field, name), each, names, depth + 1)];
  return Object.fromEntries(Object.entries(value).map(shown));
}

function childOf(field: Field | undefined, name: string): Field | undefined {
  const { fields } = field ?? {};
  return fields !== undefined && Object.hasOwn(fields, name) ? fields[name] : field?.values;
}

/** A reference to a vault tells where a secret is, and is none. */
function concealed(value: unknown): unknown {
  if (value === null || value === undefined) return value;
  return typeof value === "string" && isReference(value) ? value : REDACTED;
}
