/** What stands where something else was expected: shown as far as it is no secret, and what was most likely meant. */
import { type Field, isObject } from "@gatehouse/sdk";
import type { EntityType } from "../entities/entities.ts";
import { fieldsAlong } from "../entities/field-at.ts";
import { SECRET_NAME } from "../entities/redacted.ts";
import type { Speller } from "./nearest.ts";

type Path = readonly (string | number)[];

const MAX_SHOWN = 60;
/** Messages of schemas about a value by itself; rules of their own say what they are about. */
const OF_VALUES = /^(expected|value should|value must be greater|length must|should start)/;
/** Messages that say it themselves, or are about what is not there. */
const SAID = ["required field missing", "unknown field"];

export interface Found {
  readonly shown: string | null;
  readonly hint: string | null;
}

/**
 * @param path leads to the value from `input`.
 * @param schema that the value was judged by, which begins at `prefix`.
 */
export function foundAt(
  type: EntityType,
  input: unknown,
  path: Path,
  message: string,
  { schema, prefix }: { readonly schema: Field; readonly prefix: Path },
  speller: Speller,
): Found {
  let value: unknown = input;
  for (const step of path) value = Object(value)[step];
  if (value === undefined || value === null || SAID.includes(message)) return { shown: null, hint: null };
  const hint = meant(message, value, speller);
  const isHidden = isSecret(type, path, schema, prefix);
  if (isHidden && typeof value !== "object") return { shown: null, hint };
  const isSeen = typeof value === "object" && !message.startsWith("expected");
  return { shown: isSeen || !OF_VALUES.test(message) ? null : shown(value), hint };
}

function isSecret(type: EntityType, path: Path, schema: Field, prefix: Path): boolean {
  const dotted = path.filter((step) => typeof step === "string").join(".");
  if ([...type.secretFields, ...type.quietFields].some((field) => dotted === field)) return true;
  for (const { encrypted } of fieldsAlong(schema, path.slice(prefix.length)))
    if (encrypted === true) return true;
  return prefix.length > 0 && path.some((step) => typeof step === "string" && SECRET_NAME.test(step));
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (isObject(value)) return "a map";
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

/** What was most likely meant: YAML makes other things of words and digits than their author. */
function meant(message: string, value: unknown, speller: Speller): string | null {
  const [, listed] = /^expected one of: (.*)$/.exec(message) ?? [];
  if (listed !== undefined && typeof value === "string") {
    const near = speller.nearest(value, listed.split(", "));
    return near === null ? null : `did you mean '${near}'?`;
  }
  if (message === "expected a string" && (typeof value === "number" || typeof value === "boolean"))
    return "write it in quotes";
  if (typeof value !== "string") return null;
  if (/^expected an? (integer|number)$/.test(message) && /^-?\d+(\.\d+)?$/.test(value))
    return "write it without quotes";
  if (message === "expected a boolean" && /^(yes|no|on|off|true|false)$/i.test(value))
    return "write true or false, without quotes";
  return null;
}
